/**
 * AES-GCM nonces (SP 800-38D §8.2): 64 random bits drawn for each key at each start of the device, then a 32-bit count
 * that never goes back. The count is reserved in sealed state before it is used, so a killed process skips numbers and repeats
 * none; should an old state come back, the random bits keep the new nonces apart from the earlier ones.
 */
import type { Random } from "@casemate/foundation/effects";
import { LIMITS } from "@casemate/protocols/hsm";
import type { CounterTable } from "./packed-tables.ts";
import type { Persistence } from "./persistence.ts";
import { refuse } from "./refuse.ts";

export const NONCE_BYTES = 12;
const PREFIX_BYTES = 8;
/** Invocations reserved by one save. */
const BLOCK = 65_536;
/** Keys whose stock is at hand; another one's is dropped, its unused numbers with it. */
const MAX_STOCKS = 16_384;
/** Invocations of one key, ever (SP 800-38D §8.3). */
export const KEY_USES = 2 ** 32;

interface Stock {
  next: number;
  end: number;
  prefix: Uint8Array;
  refill: Promise<void> | undefined;
}

export interface Nonces {
  /** `count` fresh nonces; a promise when they must be reserved first. @throws KEY_LIMIT, DEVICE_FULL, STORAGE_* */
  take(keyId: string, count: number): readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  forget(keyId: string): void;
}

/** Big-endian. Without a DataView: asking a small array for its buffer moves it to memory of its own. */
function writeCount(nonce: Uint8Array, count: number): void {
  nonce[PREFIX_BYTES] = count >>> 24;
  nonce[PREFIX_BYTES + 1] = count >>> 16;
  nonce[PREFIX_BYTES + 2] = count >>> 8;
  nonce[PREFIX_BYTES + 3] = count;
}

interface Options {
  readonly random: Random;
  /** Reserved so far, by key id: part of the sealed state. */
  readonly reserved: CounterTable;
  readonly persistence: Persistence;
  /** For tests: a smaller limit. */
  readonly keyUses?: number;
}

export function createNonces(options: Options): Nonces {
  const { random, reserved, persistence } = options;
  const limit = options.keyUses ?? KEY_USES;
  const stocks = new Map<string, Stock>();

  const fresh = (keyId: string): Stock => {
    const start = reserved.get(keyId) ?? 0;
    return { next: start, end: start, prefix: random.bytes(PREFIX_BYTES), refill: undefined };
  };

  const dropOldest = (): void => {
    if (stocks.size < MAX_STOCKS) return;
    for (const [keyId, { refill: busy }] of stocks) {
      if (busy !== undefined) continue;
      stocks.delete(keyId);
      return;
    }
  };

  const exhausted = (): Error =>
    refuse("KEY_LIMIT", `the key has used its ${limit} AES-GCM encryptions`, "Rotate the key; decryption goes on.");

  const reserve = async (keyId: string, stock: Stock, count: number): Promise<void> => {
    if (!reserved.has(keyId) && reserved.size >= LIMITS.counters) {
      throw refuse(
        "DEVICE_FULL",
        "the device counts the AES-GCM uses of no more keys",
        "Destroy keys that are no longer used.",
      );
    }
    // At most the limit: the state never claims more uses than a key may have.
    const end = Math.min(limit, Math.max(stock.end, stock.next + count) + BLOCK);
    const before = reserved.get(keyId);
    reserved.set(keyId, end);
    try {
      await persistence.save();
    } catch (error) {
      // Not durable: unless somebody reserved further meanwhile, give the numbers back unused.
      if (reserved.get(keyId) === end) {
        if (before === undefined) reserved.delete(keyId);
        else reserved.set(keyId, before);
      }
      throw error;
    }
    stock.end = end;
  };

  const refill = (keyId: string, stock: Stock, count: number): Promise<void> =>
    (stock.refill ??= reserve(keyId, stock, count).finally(() => {
      stock.refill = undefined;
    }));

  const cut = (stock: Stock, count: number): Uint8Array[] =>
    Array.from({ length: count }, () => {
      const nonce = new Uint8Array(NONCE_BYTES);
      nonce.set(stock.prefix);
      writeCount(nonce, stock.next);
      stock.next += 1;
      return nonce;
    });

  return {
    take(keyId, count) {
      let stock = stocks.get(keyId);
      if (stock === undefined) {
        dropOldest();
        stocks.set(keyId, (stock = fresh(keyId)));
      }
      if (stock.next + count > limit) throw exhausted();
      if (stock.next + count <= stock.end) {
        const nonces = cut(stock, count);
        // Ahead of need, so that a busy key never waits; a failure shows when the stock is empty.
        if (stock.end - stock.next < BLOCK / 4 && stock.end < limit)
          void refill(keyId, stock, 0).catch(() => undefined);
        return nonces;
      }
      const own = stock;
      return (async () => {
        while (own.next + count > own.end) {
          if (own.next + count > limit) throw exhausted();
          // oxlint-disable-next-line no-await-in-loop -- several callers share one reservation
          await refill(keyId, own, count);
        }
        return cut(own, count);
      })();
    },
    forget(keyId) {
      stocks.delete(keyId);
      reserved.delete(keyId);
    },
  };
}
