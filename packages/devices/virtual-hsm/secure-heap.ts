/** OpenSSL's secure heap: how full it is, and keeping it below its mark. */
import { secureHeapUsed } from "node:crypto";
import { refuse } from "./refuse.ts";

/** Above this share nothing more is loaded. */
const HIGH_MARK = 0.9;

export interface SecureHeap {
  readonly total: number;
  readonly used: number;
  /** Calls `evict` until `bytes` fit below the mark. @throws UNAVAILABLE when evicting does not help. */
  makeRoom(bytes: number, evict: () => number): void;
}

interface Options {
  /** Runs a full garbage collection: OpenSSL frees a key only when its JavaScript object is collected. */
  readonly collect?: (() => void) | undefined;
  readonly measure?: () => { readonly total: number; readonly used: number };
}

function measureNow(): { readonly total: number; readonly used: number } {
  // Undefined, despite its type, in a process without a secure heap.
  const usage = secureHeapUsed() as { total?: number; used?: number } | undefined;
  return { total: usage?.total ?? 0, used: usage?.used ?? 0 };
}

export function createSecureHeap(options: Options = {}): SecureHeap {
  const measure = options.measure ?? measureNow;
  return {
    get total() {
      return measure().total;
    },
    get used() {
      return measure().used;
    },
    makeRoom(bytes, evict) {
      if (bytes === 0) return;
      const { total, used } = measure();
      if (total === 0) return;
      const mark = total * HIGH_MARK;
      if (used + bytes <= mark) return;
      for (;;) {
        const gone = evict();
        options.collect?.();
        if (measure().used + bytes <= mark) return;
        if (gone === 0) break;
      }
      throw refuse(
        "UNAVAILABLE",
        "the secure heap is full and the keys in it are in use",
        "Try again, or give the device a larger secure heap.",
      );
    },
  };
}

/** What users must know about it; from measurement on Node's own OpenSSL 3.5. */
export function secureHeapNotes(heap: SecureHeap): string[] {
  if (heap.total === 0) return ["no secure heap: private keys live in ordinary process memory"];
  return [
    `secure heap of ${heap.total / 1024} KiB covers the private parts of loaded RSA, EC, Ed25519, Ed448, X25519 and X448 keys`,
    "the secure heap does not cover AES, HMAC, ML-DSA, ML-KEM and SLH-DSA keys, and no copy that exists while a key is made, loaded or wrapped",
  ];
}
