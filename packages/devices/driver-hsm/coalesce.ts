/** Single calls on the same key in the same tick become one batch: the cost of a message is shared. */
import process from "node:process";
import type { Many } from "@casemate/devices/contract";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { equalBytes } from "@casemate/foundation/bytes";
import { ALGORITHMS, peekKeyRef, type Family } from "@casemate/protocols/hsm";

/**
 * Items per batch: enough to share the cost of a message, few enough to answer early. Of the slower kinds a few, so that the
 * two processes wake each other less often; of the slow ones none, because a message costs nothing beside them.
 */
const MOST_ITEMS: Readonly<Partial<Record<Family, number>>> = {
  ec: 32,
  edwards: 32,
  aes: 32,
  hmac: 32,
  rsa: 4,
  "ml-dsa": 4,
};
/** Larger items travel alone. */
const MOST_BYTES = 8192;

interface Waiting<I, R> {
  readonly ref: Uint8Array;
  readonly items: I[];
  readonly settle: { readonly resolve: (value: R) => void; readonly reject: (error: unknown) => void }[];
  readonly send: (items: I[]) => Promise<Many<R>>;
}

export interface Coalescer<I, R> {
  /** As `send([item])`, perhaps together with others of the same `group` and key. Resolves with the item's value or rejects with its error. */
  one(group: string, ref: Uint8Array, item: I, size: number, send: (items: I[]) => Promise<Many<R>>): Promise<R>;
}

interface Group {
  readonly name: string;
  readonly most: number;
}

function groupOf(group: string, ref: Uint8Array): Group | undefined {
  const header = peekKeyRef(ref);
  if (header === undefined) return undefined;
  const { family, slow } = ALGORITHMS[header.algorithm];
  const most = slow ? undefined : MOST_ITEMS[family];
  if (most === undefined) return undefined;
  const id = Buffer.from(header.keyId.buffer, header.keyId.byteOffset, header.keyId.length).toString("latin1");
  return { name: group + id, most };
}

async function alone<I, R>(item: I, send: (items: I[]) => Promise<Many<R>>): Promise<R> {
  const [value] = await send([item]);
  if (value === undefined) throw new CasemateError("DEVICE_FAILED", "the device answered no item");
  if (isCasemateError(value)) throw value;
  return value;
}

export function createCoalescer<I, R>(): Coalescer<I, R> {
  const waiting = new Map<string, Waiting<I, R>>();
  let scheduled = false;

  const flushOne = ({ items, settle, send }: Waiting<I, R>): void => {
    send(items).then(
      (values) => {
        for (const [index, { resolve, reject }] of settle.entries()) {
          const value = values[index];
          if (value === undefined) reject(new CasemateError("DEVICE_FAILED", "the device left an item unanswered"));
          else if (isCasemateError(value)) reject(value);
          else resolve(value);
        }
      },
      (error: unknown) => {
        for (const { reject } of settle) reject(error);
      },
    );
  };
  const flush = (): void => {
    scheduled = false;
    const batches = [...waiting.values()];
    waiting.clear();
    for (const batch of batches) flushOne(batch);
  };

  return {
    one(group, ref, item, size, send) {
      const found = size > MOST_BYTES ? undefined : groupOf(group, ref);
      if (found === undefined) return alone(item, send);
      const { name, most } = found;
      let batch = waiting.get(name);
      if (batch !== undefined && !equalBytes(batch.ref, ref)) return alone(item, send);
      if (batch === undefined) {
        batch = { ref, items: [], settle: [], send };
        waiting.set(name, batch);
      }
      if (!scheduled) {
        scheduled = true;
        // After every promise callback of this turn: whoever was answered together asks together.
        process.nextTick(flush);
      }
      const { promise, resolve, reject } = Promise.withResolvers<R>();
      batch.items.push(item);
      batch.settle.push({ resolve, reject });
      if (batch.items.length >= most) {
        waiting.delete(name);
        flushOne(batch);
      }
      return promise;
    },
  };
}
