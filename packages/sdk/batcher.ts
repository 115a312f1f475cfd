/** Turns many concurrent calls on one key into few batch requests. */
import type { Client } from "./client.ts";
import { CasemateApiError } from "./error.ts";
import type { CipherScheme, ItemProblem, MacScheme, SignScheme } from "./types.generated.ts";

export interface BatcherOptions {
  /** Items per request at most. Default 100, the server takes up to 1000. */
  readonly maxItems?: number;
  /** Input bytes per request at most. Default 4 MiB. */
  readonly maxBytes?: number;
  /** How long the first item waits for company while no request is under way. Default 0: until the next turn of the event loop. */
  readonly maxDelayMs?: number;
  /** Requests under way at once. Default 2; items gather while they are. */
  readonly maxInFlight?: number;
}

export interface Signed {
  readonly signature: Uint8Array;
  readonly version: number;
  readonly scheme: string;
}
export interface Encrypted {
  readonly ciphertext: Uint8Array;
  readonly version: number;
  readonly scheme: string;
}
export interface Decrypted {
  readonly plaintext: Uint8Array;
  readonly version: number;
  readonly scheme: string;
}
export interface Mac {
  readonly mac: Uint8Array;
  readonly version: number;
  readonly scheme: string;
}

interface SignOptions {
  readonly scheme?: SignScheme;
  readonly kind?: "message" | "digest";
  readonly version?: number;
}
interface CipherOptions {
  readonly scheme?: CipherScheme;
  readonly version?: number;
}
interface MacOptions {
  readonly scheme?: MacScheme;
  readonly version?: number;
}

interface Waiting {
  readonly item: object;
  readonly bytes: number;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

interface BatchAnswer {
  readonly version: number;
  readonly scheme: string;
  readonly results: readonly { readonly error?: ItemProblem }[];
}

/** Calls that may share a request: same operation, same options. */
class Lane {
  readonly queue: Waiting[] = [];
  readonly send: (items: readonly object[]) => Promise<BatchAnswer>;
  inFlight = 0;
  timer: ReturnType<typeof setTimeout> | undefined;

  constructor(send: (items: readonly object[]) => Promise<BatchAnswer>) {
    this.send = send;
  }
}

export class Batcher {
  readonly #client: Client;
  readonly #key: string;
  readonly #lanes = new Map<string, Lane>();
  readonly #maxItems: number;
  readonly #maxBytes: number;
  readonly #maxDelayMs: number;
  readonly #maxInFlight: number;

  constructor(client: Client, key: string, options: BatcherOptions = {}) {
    this.#client = client;
    this.#key = key;
    this.#maxItems = Math.min(1000, Math.max(1, options.maxItems ?? 100));
    this.#maxBytes = options.maxBytes ?? 4 * 1024 * 1024;
    this.#maxDelayMs = options.maxDelayMs ?? 0;
    this.#maxInFlight = Math.max(1, options.maxInFlight ?? 2);
  }

  sign(input: Uint8Array, options: SignOptions = {}): Promise<Signed> {
    return this.#add("sign", options, { input }, input.length, (items) =>
      this.#client.signBatch(this.#key, { ...options, items: items as readonly { input: Uint8Array }[] }),
    );
  }

  verify(input: Uint8Array, signature: Uint8Array, options: SignOptions = {}): Promise<{ readonly valid: boolean }> {
    return this.#add("verify", options, { input, signature }, input.length + signature.length, (items) =>
      this.#client.verifyBatch(this.#key, {
        ...options,
        items: items as readonly { input: Uint8Array; signature: Uint8Array }[],
      }),
    );
  }

  encrypt(data: Uint8Array, context?: Uint8Array, options: CipherOptions = {}): Promise<Encrypted> {
    const item = context === undefined ? { data } : { data, context };
    return this.#add("encrypt", options, item, data.length, (items) =>
      this.#client.encryptBatch(this.#key, { ...options, items: items as readonly { data: Uint8Array }[] }),
    );
  }

  decrypt(data: Uint8Array, context?: Uint8Array, options: CipherOptions = {}): Promise<Decrypted> {
    const item = context === undefined ? { data } : { data, context };
    return this.#add("decrypt", options, item, data.length, (items) =>
      this.#client.decryptBatch(this.#key, { ...options, items: items as readonly { data: Uint8Array }[] }),
    );
  }

  mac(input: Uint8Array, options: MacOptions = {}): Promise<Mac> {
    return this.#add("mac", options, { input }, input.length, (items) =>
      this.#client.macBatch(this.#key, { ...options, items: items as readonly { input: Uint8Array }[] }),
    );
  }

  #add<R>(
    verb: string,
    options: object,
    item: object,
    bytes: number,
    send: (items: readonly object[]) => Promise<BatchAnswer>,
  ): Promise<R> {
    const name = `${verb} ${JSON.stringify(Object.entries(options).toSorted(([a], [b]) => (a < b ? -1 : 1)))}`;
    let lane = this.#lanes.get(name);
    if (lane === undefined) this.#lanes.set(name, (lane = new Lane(send)));
    const chosen = lane;
    return new Promise<R>((resolve, reject) => {
      chosen.queue.push({ item, bytes, resolve: resolve as (value: never) => void, reject });
      this.#schedule(chosen);
    });
  }

  #schedule(lane: Lane): void {
    if (lane.queue.length === 0 || lane.inFlight >= this.#maxInFlight) return;
    if (lane.queue.length >= this.#maxItems) this.#flush(lane);
    else lane.timer ??= setTimeout(() => this.#flush(lane), this.#maxDelayMs);
  }

  #flush(lane: Lane): void {
    clearTimeout(lane.timer);
    lane.timer = undefined;
    const taken = this.#take(lane);
    if (taken.length === 0) return;
    lane.inFlight++;
    lane
      .send(taken.map(({ item }) => item))
      .then(
        (answer) => settle(taken, answer),
        (error: unknown) => {
          for (const { reject } of taken) reject(error);
        },
      )
      .finally(() => {
        lane.inFlight--;
        this.#schedule(lane);
      });
    this.#schedule(lane);
  }

  #take(lane: Lane): readonly Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const waiting of lane.queue) {
      bytes += waiting.bytes;
      if (count === this.#maxItems || (count > 0 && bytes > this.#maxBytes)) break;
      count++;
    }
    return lane.queue.splice(0, count);
  }
}

function settle(taken: readonly Waiting[], answer: BatchAnswer): void {
  const { version, scheme, results } = answer;
  taken.forEach(({ resolve, reject }, at) => {
    const result = results[at];
    if (result === undefined) {
      reject(
        new CasemateApiError({ code: "INTERNAL", status: 0, detail: "the server left out a result", retryable: false }),
      );
    } else if (result.error !== undefined) reject(new CasemateApiError(result.error));
    else resolve({ version, scheme, ...result } as never);
  });
}
