/** Runs a creating call once per Idempotency-Key, over retries and restarts of the server. */
import { CasemateError, asCasemateError } from "@casemate/foundation/errors";
import { equalBytes } from "@casemate/foundation/bytes";
import { randomUUID } from "node:crypto";
import type { Clock } from "@casemate/foundation/effects";
import { fingerprintOf, IDEMPOTENCY_WINDOW_MS, type IdempotencyStore, SealedAnswer } from "./idempotency.ts";
import { REST_LIMITS } from "./limits.ts";

const KEY = new RegExp(`^[\\x21-\\x7e]{1,${REST_LIMITS.idempotencyKeyLength}}$`);
const PURGE_EVERY_MS = 10 * 60 * 1000;

export interface IdempotentRequest {
  readonly key: string;
  readonly principal: string;
  readonly token: string;
  readonly operation: string;
  readonly params: unknown;
  readonly body: unknown;
}

/** @throws BAD_REQUEST. */
export function checkIdempotencyKey(key: string): void {
  if (KEY.test(key)) return;
  throw new CasemateError("BAD_REQUEST", "the Idempotency-Key is not 1 to 128 visible ASCII characters", {
    hint: "Send a random UUID, the same one for every retry of the same call.",
  });
}

export type Attempt =
  | { readonly kind: "replay"; readonly answer: string }
  | {
      readonly kind: "run" | "recover";
      readonly finish: (answer: string) => void;
      readonly fail: (error: unknown) => void;
    };

export class IdempotentCalls {
  readonly #store: IdempotencyStore;
  readonly #clock: Clock;
  readonly #run = randomUUID();
  #purgedAt = Number.NEGATIVE_INFINITY;

  constructor(store: IdempotencyStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** @throws IDEMPOTENCY_MISMATCH for another request under the same key, CONFLICT while the first is under way, STORAGE_*. */
  begin(request: IdempotentRequest): Attempt {
    const now = this.#clock.now();
    this.#purge(now);
    const sealed = new SealedAnswer(request.principal, request.token, request.key);
    const fingerprint = fingerprintOf(request.operation, request.params, request.body);
    const entry = this.#store.get(sealed.id);
    if (entry !== undefined && entry.at >= now - IDEMPOTENCY_WINDOW_MS) {
      if (!equalBytes(entry.fingerprint, fingerprint)) {
        throw new CasemateError("IDEMPOTENCY_MISMATCH", "this Idempotency-Key was used for another request", {
          hint: "Use a new key for a new request.",
        });
      }
      if (entry.sealed !== undefined) return { kind: "replay", answer: sealed.open(entry.sealed) };
      if (entry.run === this.#run) {
        throw new CasemateError("CONFLICT", "the first call with this Idempotency-Key is still under way", {
          hint: "Try again in a moment.",
        });
      }
    }
    const cutOff = entry !== undefined && entry.run !== this.#run && entry.sealed === undefined;
    const begun = { fingerprint, run: this.#run, at: now };
    this.#store.put(sealed.id, begun);
    return {
      kind: cutOff ? "recover" : "run",
      finish: (answer) => this.#store.put(sealed.id, { ...begun, sealed: sealed.seal(answer) }),
      fail: (error) => this.#failed(sealed.id, begun, error),
    };
  }

  /** A refused call may be tried again under its key. Where the outcome is unknown, the next try must look first. */
  #failed(id: Uint8Array, begun: { fingerprint: Uint8Array; run: string; at: number }, error: unknown): void {
    const { code } = asCasemateError(error);
    if (UNKNOWN_OUTCOME.has(code)) this.#store.put(id, { ...begun, run: "" });
    else this.#store.remove(id);
  }

  #purge(now: number): void {
    if (this.#clock.monotonic() < this.#purgedAt + PURGE_EVERY_MS) return;
    this.#purgedAt = this.#clock.monotonic();
    this.#store.purge(now - IDEMPOTENCY_WINDOW_MS);
  }
}

const UNKNOWN_OUTCOME: ReadonlySet<string> = new Set(["TIMEOUT", "DEVICE_RESTARTED", "STORAGE_FAILED", "INTERNAL"]);
