/** Single calls on the same key in the same turn share a message, as long as the token is fast enough for that to matter. */
import process from "node:process";
import type { Many } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";

/** Items above this size travel alone. */
const MOST_BYTES = 8192;
const MOST_ITEMS = 32;
/** An operation that takes longer gains nothing from sharing, and others could run beside it. */
const SLOW_MS = 0.25;
/** Weight of the newest measurement. */
const NEWEST = 0.2;
const MOST_KEYS = 10_000;

interface Waiting<I, R> {
  readonly items: I[];
  readonly settle: ((answer: Many<R> | Promise<never>) => void)[];
  readonly send: (items: I[]) => Promise<Many<R>>;
}

export interface Together<I, R> {
  /** As `send([item])`, perhaps with others of the same `group` and key. */
  one(group: string, ref: Uint8Array, item: I, size: number, send: (items: I[]) => Promise<Many<R>>): Promise<Many<R>>;
}

/** `lanes` says how many messages can be worked on side by side. */
export function createTogether<I, R>(lanes: () => number): Together<I, R> {
  const waiting = new Map<string, Waiting<I, R>>();
  /** Milliseconds per item, by key. */
  const pace = new Map<string, number>();
  let scheduled = false;

  const measured = (name: string, ms: number): void => {
    const before = pace.get(name);
    if (before === undefined && pace.size >= MOST_KEYS) pace.clear();
    pace.set(name, before === undefined ? ms : before + (ms - before) * NEWEST);
  };

  const send = (name: string, { items, settle, send: sendItems }: Waiting<I, R>): void => {
    const begun = performance.now();
    sendItems(items).then(
      (answers) => {
        measured(name, (performance.now() - begun) / items.length);
        for (let i = 0; i < settle.length; i++) {
          const answer = answers[i];
          settle[i]?.(
            answer === undefined
              ? Promise.reject(new CasemateError("DEVICE_FAILED", "the vendor host left an item unanswered"))
              : [answer],
          );
        }
      },
      (error: unknown) => {
        for (const resolve of settle) resolve(Promise.reject(error as Error));
      },
    );
  };

  const flush = (): void => {
    scheduled = false;
    const batches = [...waiting];
    waiting.clear();
    const free = Math.max(1, lanes());
    for (const [name, batch] of batches) {
      const { items, settle, send: sendItems } = batch;
      const part = Math.ceil(items.length / Math.min(free, items.length));
      for (let from = 0; from < items.length; from += part)
        send(name, { items: items.slice(from, from + part), settle: settle.slice(from, from + part), send: sendItems });
    }
  };

  return {
    one(group, ref, item, size, sendItems) {
      const name = group + Buffer.from(ref.buffer, ref.byteOffset, ref.length).toString("latin1");
      if (size > MOST_BYTES || (pace.get(name) ?? 0) > SLOW_MS) {
        const begun = performance.now();
        const answers = sendItems([item]);
        answers.then(
          () => measured(name, performance.now() - begun),
          () => undefined,
        );
        return answers;
      }
      let batch = waiting.get(name);
      if (batch === undefined) waiting.set(name, (batch = { items: [], settle: [], send: sendItems }));
      if (!scheduled) {
        scheduled = true;
        // After every promise callback of this turn: whoever was answered together asks together.
        process.nextTick(flush);
      }
      const { promise, resolve } = Promise.withResolvers<Many<R>>();
      batch.items.push(item);
      batch.settle.push(resolve);
      if (batch.items.length >= MOST_ITEMS) {
        waiting.delete(name);
        send(name, batch);
      }
      return promise;
    },
  };
}
