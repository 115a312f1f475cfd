/** Single calls on the same key in the same turn of the event loop become one batch: the cost of a message is shared. */
import type { Many } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import { ALGORITHMS, KEY_REF_HEADER_BYTES, peekAlgorithm, type Family } from "@casemate/protocols/hsm";

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
  readonly most: number;
  readonly items: I[];
  readonly settle: { readonly resolve: (answer: Many<R>) => void; readonly reject: (error: unknown) => void }[];
  readonly send: (items: I[]) => Promise<Many<R>>;
}

export interface Coalescer<I, R> {
  /** As `send([item])`, perhaps together with others of the same `group` and key. */
  one(group: string, ref: Uint8Array, item: I, size: number, send: (items: I[]) => Promise<Many<R>>): Promise<Many<R>>;
}

/** How many items a batch on this key may have; 1 for keys whose items travel alone. */
function mostFor(ref: Uint8Array): number {
  const algorithm = peekAlgorithm(ref);
  if (algorithm === undefined) return 1;
  const { family, slow } = ALGORITHMS[algorithm];
  return slow ? 1 : (MOST_ITEMS[family] ?? 1);
}

/** The reference's header tells keys apart; whether two references are the same is compared in full. */
const nameOf = (group: string, ref: Uint8Array): string =>
  group + Buffer.from(ref.buffer, ref.byteOffset, KEY_REF_HEADER_BYTES).toString("latin1");

export function createCoalescer<I, R>(): Coalescer<I, R> {
  const waiting = new Map<string, Waiting<I, R>>();
  /** The batch last added to: under load the next item nearly always belongs to it. */
  let latest: { readonly group: string; readonly batch: Waiting<I, R> } | undefined;
  let scheduled = false;
  /** Batches that are not answered yet. */
  let out = 0;

  const flushOne = ({ items, settle, send }: Waiting<I, R>): void => {
    out++;
    send(items).then(
      (answers) => {
        out--;
        for (let index = 0; index < settle.length; index++) {
          const answer = answers[index];
          if (answer !== undefined) settle[index]!.resolve([answer]);
          else settle[index]!.reject(new CasemateError("DEVICE_FAILED", "the device left an item unanswered"));
        }
      },
      (error: unknown) => {
        out--;
        for (const { reject } of settle) reject(error);
      },
    );
  };
  const flush = (): void => {
    scheduled = false;
    latest = undefined;
    const batches = [...waiting.values()];
    waiting.clear();
    for (const batch of batches) flushOne(batch);
  };

  /** The batch for this item, or undefined when it travels alone. */
  const batchFor = (
    group: string,
    ref: Uint8Array,
    send: (items: I[]) => Promise<Many<R>>,
  ): Waiting<I, R> | undefined => {
    if (latest !== undefined && latest.batch.ref === ref && latest.group === group) return latest.batch;
    const most = mostFor(ref);
    if (most === 1) return undefined;
    const name = nameOf(group, ref);
    let batch = waiting.get(name);
    if (batch !== undefined && Buffer.compare(batch.ref, ref) !== 0) return undefined;
    if (batch === undefined) {
      batch = { ref, most, items: [], settle: [], send };
      waiting.set(name, batch);
    }
    latest = { group, batch };
    return batch;
  };

  return {
    one(group, ref, item, size, send) {
      const batch = size > MOST_BYTES ? undefined : batchFor(group, ref, send);
      if (batch === undefined) return send([item]);
      if (!scheduled) {
        scheduled = true;
        // A device that waits for work gets the first at once. While it works: when every socket that had something to say has
        // been read. At the next tick would be after each of them: batches of one.
        if (out === 0) process.nextTick(flush);
        else setImmediate(flush);
      }
      return new Promise((resolve, reject) => {
        batch.items.push(item);
        batch.settle.push({ resolve, reject });
        if (batch.items.length < batch.most) return;
        waiting.delete(nameOf(group, ref));
        latest = undefined;
        flushOne(batch);
      });
    },
  };
}
