// draft-ietf-httpapi-idempotency-key-header-07: a creating call repeated with the same key is done once.
import { CasemateError } from "@casemate/foundation/errors";
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";

/** How long an answer can be asked for again. */
export const IDEMPOTENCY_WINDOW_MS = 24 * 60 * 60 * 1000;

export interface IdempotencyEntry {
  /** SHA-256 of operation, path and body: the same key for another request is refused. */
  readonly fingerprint: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** The answer, sealed so that only the same token can read it; absent while the call is under way or when it was cut off. */
  readonly sealed?: Uint8Array;
}

/** Where entries are kept; `id` is 32 bytes. Synchronous, like the storage behind it; durable before it returns. */
export interface IdempotencyStore {
  get(id: Uint8Array): IdempotencyEntry | undefined;
  put(id: Uint8Array, entry: IdempotencyEntry): void;
  remove(id: Uint8Array): void;
  /** Drops what began before `at`. */
  purge(at: number): void;
  close(): void;
}

/** Keeps at most so many entries. */
const MEMORY_ENTRIES = 10_000;

/** For servers without a place on disk: answers are remembered until the process ends. */
export function memoryIdempotency(): IdempotencyStore {
  const entries = new Map<string, IdempotencyEntry>();
  const name = (id: Uint8Array): string => id.toHex();
  return {
    get: (id) => entries.get(name(id)),
    put(id, entry) {
      if (entries.size >= MEMORY_ENTRIES && !entries.has(name(id))) {
        throw new CasemateError("RATE_LIMITED", `${MEMORY_ENTRIES} idempotency keys are in use`);
      }
      entries.set(name(id), entry);
    },
    remove: (id) => void entries.delete(name(id)),
    purge(at) {
      for (const [id, entry] of entries) if (entry.at < at) entries.delete(id);
    },
    close: () => entries.clear(),
  };
}

const NONCE = 12;
const TAG = 16;

/**
 * Names and protects one call's answer. The answer may hold a secret that is shown once (a new token), so it is kept
 * only encrypted under a key that comes from the caller's own token: the server cannot read it back on its own.
 */
export class SealedAnswer {
  readonly id: Uint8Array;
  readonly #key: Uint8Array;

  constructor(principal: string, token: string, idempotencyKey: string) {
    this.id = createHash("sha256")
      .update(JSON.stringify([principal, token, idempotencyKey]))
      .digest();
    this.#key = new Uint8Array(hkdfSync("sha256", token, this.id, "casemate idempotency", 32));
  }

  seal(answer: string): Uint8Array {
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce);
    return Buffer.concat([nonce, cipher.update(answer, "utf8"), cipher.final(), cipher.getAuthTag()]);
  }

  /** @throws TAMPER_DETECTED when the kept answer was changed. */
  open(sealed: Uint8Array): string {
    try {
      const decipher = createDecipheriv("aes-256-gcm", this.#key, sealed.subarray(0, NONCE));
      decipher.setAuthTag(sealed.subarray(sealed.length - TAG));
      const body = decipher.update(sealed.subarray(NONCE, sealed.length - TAG));
      return Buffer.concat([body, decipher.final()]).toString("utf8");
    } catch (cause) {
      throw new CasemateError("TAMPER_DETECTED", "the answer kept for this Idempotency-Key was changed", {
        hint: "It is in idempotency.db in the data directory. Look for what was done, and use a new key.",
        cause,
      });
    }
  }
}

/** Order of fields does not matter, so that a client may build the same request anew. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, part]) => [name, canonical(part)]);
}

export function fingerprintOf(operation: string, params: unknown, body: unknown): Uint8Array {
  return createHash("sha256")
    .update(JSON.stringify([operation, canonical(params), canonical(body)]))
    .digest();
}
