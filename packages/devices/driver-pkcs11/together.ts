/** Single calls on the same key share messages where that costs none of them a place beside the others. */
import process from "node:process";
import type { Many } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";

/** Items above this size travel alone. */
const MOST_BYTES = 8192;
const MOST_ITEMS = 16;
/** A device may work on several operations that take longer side by side. */
const SLOW_MS = 0.25;
/**
 * How much slower a key may seem from one measurement to the next. A measurement holds all that a busy machine adds to the
 * token's own time, so the quickest of late is what counts; a mean would take a quick token for a slow one, and keep it slow.
 */
const MOST_SLOWER = 1.02;
/** Longest wait for messages that are under way: a thread that stalls must not keep others. */
const MOST_WAIT_MS = 2;
const MOST_KEYS = 10_000;

/** What is known of one key in one use. */
interface Shared<I, R> {
  /** Milliseconds per item. */
  pace: number;
  /** Messages, and items in them, that are not answered yet. */
  messages: number;
  itemsOut: number;
  items: I[];
  settle: ((answer: Many<R> | Promise<never>) => void)[];
  send: (items: I[]) => Promise<Many<R>>;
}

export interface Together<I, R> {
  /** As `send([item])`, perhaps with others of the same `group` and key. */
  one(group: string, ref: Uint8Array, item: I, size: number, send: (items: I[]) => Promise<Many<R>>): Promise<Many<R>>;
}

export interface TogetherOptions {
  /** How many messages can be worked on side by side. As many of a key are under way. */
  readonly lanes: () => number;
  /** Whether slow operations are not worked on side by side beyond that either. */
  readonly always: () => boolean;
}

/** What is asked while messages are under way goes with the next ones, since each message costs both processes a wake-up. */
export function createTogether<I, R>({ lanes, always }: TogetherOptions): Together<I, R> {
  const known = new Map<string, Shared<I, R>>();
  const waiting = new Set<Shared<I, R>>();
  let scheduled = false;
  let timer: NodeJS.Timeout | undefined;

  const sharedOf = (name: string, send: Shared<I, R>["send"]): Shared<I, R> => {
    let shared = known.get(name);
    if (shared !== undefined) return shared;
    if (known.size >= MOST_KEYS) for (const [key, { messages }] of known) if (messages === 0) known.delete(key);
    known.set(name, (shared = { pace: 0, messages: 0, itemsOut: 0, items: [], settle: [], send }));
    return shared;
  };
  const measured = (shared: Shared<I, R>, begun: number, items: number): void => {
    const ms = (performance.now() - begun) / items;
    shared.pace = shared.pace === 0 ? ms : Math.min(ms, shared.pace * MOST_SLOWER);
  };
  const soon = (): void => {
    if (scheduled) return;
    scheduled = true;
    // After every promise callback of this turn: whoever was answered together asks together.
    process.nextTick(flush);
  };

  const sendPart = (shared: Shared<I, R>, count: number): void => {
    const begun = performance.now();
    const whole = count === shared.items.length;
    const items = whole ? shared.items : shared.items.splice(0, count);
    const settle = whole ? shared.settle : shared.settle.splice(0, count);
    if (whole) [shared.items, shared.settle] = [[], []];
    shared.messages++;
    shared.itemsOut += count;
    const done = (): void => {
      shared.messages--;
      shared.itemsOut -= count;
      if (waiting.has(shared)) soon();
    };
    shared.send(items).then(
      (answers) => {
        measured(shared, begun, count);
        done();
        for (let i = 0; i < count; i++) {
          const answer = answers[i];
          settle[i]?.(
            answer === undefined
              ? Promise.reject(new CasemateError("DEVICE_FAILED", "the vendor host left an item unanswered"))
              : [answer],
          );
        }
      },
      (error: unknown) => {
        done();
        for (const resolve of settle) resolve(Promise.reject(error as Error));
      },
    );
  };

  const sendWaiting = (anyhow: boolean): void => {
    const most = lanes();
    for (const shared of waiting) {
      const part = Math.min(MOST_ITEMS, Math.ceil((shared.itemsOut + shared.items.length) / most));
      while (shared.items.length > 0 && (anyhow || shared.messages < most))
        sendPart(shared, Math.min(part, shared.items.length));
      if (shared.items.length === 0) waiting.delete(shared);
    }
    if (waiting.size === 0 || timer !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      sendWaiting(true);
    }, MOST_WAIT_MS);
  };
  const flush = (): void => {
    scheduled = false;
    sendWaiting(false);
  };

  return {
    one(group, ref, item, size, send) {
      const shared = sharedOf(group + Buffer.from(ref.buffer, ref.byteOffset, ref.length).toString("latin1"), send);
      if (size > MOST_BYTES || (shared.pace > SLOW_MS && !always())) {
        const begun = performance.now();
        const answers = send([item]);
        answers.then(
          () => measured(shared, begun, 1),
          () => undefined,
        );
        return answers;
      }
      const { promise, resolve } = Promise.withResolvers<Many<R>>();
      shared.items.push(item);
      shared.settle.push(resolve);
      waiting.add(shared);
      soon();
      return promise;
    },
  };
}
