/** Runs a creating call once per Idempotency-Key, over retries and restarts of the server. */
import { CasemateError, asCasemateError } from "@casemate/foundation/errors";
import { equalBytes } from "@casemate/foundation/bytes";
import type { Clock } from "@casemate/foundation/effects";
import {
  fingerprintOf,
  IDEMPOTENCY_WINDOW_MS,
  SealedAnswer,
  type IdempotencyEntry,
  type IdempotencyStore,
} from "./idempotency.ts";
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

export class IdempotentCalls {
  readonly #store: IdempotencyStore;
  readonly #clock: Clock;
  readonly #underWay = new Set<string>();
  /** Answers of calls that were done, whose keeping failed: the disk was full. */
  readonly #unsaved = new Map<string, IdempotencyEntry>();
  #purgedAt = Number.NEGATIVE_INFINITY;

  constructor(store: IdempotencyStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * The answer of `perform`, or the one that it gave before, once `repeated` lets it out. `since` is when an earlier try under
   * this key began that may have been done, and whose answer nobody knows.
   * @throws IDEMPOTENCY_MISMATCH for another request under the same key, CONFLICT while the first is under way, STORAGE_*.
   */
  async once<A>(
    request: IdempotentRequest,
    perform: (since: number | undefined) => Promise<A>,
    repeated: () => Promise<void>,
  ): Promise<A | string> {
    const now = this.#clock.now();
    this.#purge(now);
    const sealed = new SealedAnswer(request.principal, request.token, request.key);
    const name = sealed.id.toHex();
    const fingerprint = fingerprintOf(request.operation, request.params, request.body);
    const found = this.#unsaved.get(name) ?? this.#store.get(sealed.id);
    const entry = found !== undefined && found.at >= now - IDEMPOTENCY_WINDOW_MS ? found : undefined;
    if (entry !== undefined && !equalBytes(entry.fingerprint, fingerprint)) {
      throw new CasemateError("IDEMPOTENCY_MISMATCH", "this Idempotency-Key was used for another request", {
        hint: "Use a new key for a new request.",
      });
    }
    if (entry?.sealed !== undefined) {
      const answer = sealed.open(entry.sealed);
      await repeated();
      return answer;
    }
    if (this.#underWay.has(name)) {
      throw new CasemateError("CONFLICT", "the first call with this Idempotency-Key is still under way", {
        hint: "Try again in a moment.",
      });
    }
    const begun = { fingerprint, at: entry?.at ?? now };
    this.#store.put(sealed.id, begun);
    this.#underWay.add(name);
    try {
      const answer = await perform(entry?.at);
      if (typeof answer === "string") this.#keep(sealed.id, { ...begun, sealed: sealed.seal(answer) });
      return answer;
    } catch (error) {
      // An earlier try may have been done, whatever refuses this one.
      if (entry === undefined) this.#failed(sealed.id, error);
      throw error;
    } finally {
      this.#underWay.delete(name);
    }
  }

  /** What was done is not refused because its answer finds no room; it is remembered until the process ends. */
  #keep(id: Uint8Array, entry: IdempotencyEntry): void {
    try {
      this.#store.put(id, entry);
    } catch {
      this.#unsaved.set(id.toHex(), entry);
    }
  }

  /** A refused call may be tried again under its key. Where the outcome is unknown, the next try must look first. */
  #failed(id: Uint8Array, error: unknown): void {
    if (UNKNOWN_OUTCOME.has(asCasemateError(error).code)) return;
    try {
      this.#store.remove(id);
    } catch {
      // Then the next try looks first, too; why this one was refused is what the caller must hear.
    }
  }

  #purge(now: number): void {
    if (this.#clock.monotonic() < this.#purgedAt + PURGE_EVERY_MS) return;
    this.#purgedAt = this.#clock.monotonic();
    const before = now - IDEMPOTENCY_WINDOW_MS;
    for (const [name, { at }] of this.#unsaved) if (at < before) this.#unsaved.delete(name);
    this.#store.purge(before);
  }
}

const UNKNOWN_OUTCOME: ReadonlySet<string> = new Set(["TIMEOUT", "DEVICE_RESTARTED", "STORAGE_FAILED", "INTERNAL"]);
