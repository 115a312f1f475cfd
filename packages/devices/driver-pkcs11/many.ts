/** Batches cut to what one frame holds, and to as many parts as there are threads. */
import type { Many } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";

/** Per frame: so that it answers soon and neither request nor reply outgrows it. */
const FRAME = { items: 128, bytes: 4 * 1024 * 1024 } as const;
/** Fewer items than this are not worth a message of their own. */
const SMALLEST_PART = 4;

export interface ManyOptions<I, R> {
  readonly items: readonly I[];
  readonly lanes: number;
  /** Why an item cannot be sent at all, or what its answer is unasked. */
  readonly refuse: (item: I) => R | CasemateError | undefined;
  /** Bytes of one item on the wire. */
  readonly size: (item: I) => number;
  readonly send: (items: I[]) => Promise<Many<R>>;
}

/** @throws what a part throws: the whole call fails then. */
export async function sendMany<I, R>(options: ManyOptions<I, R>): Promise<Many<R>> {
  const { items, lanes, refuse, size, send } = options;
  const [only] = items;
  if (items.length === 1 && only !== undefined) {
    const refused = refuse(only);
    return refused === undefined ? checked(await send([only]), 1) : [refused];
  }
  const results: (R | CasemateError)[] = Array.from({ length: items.length });
  const most = Math.min(FRAME.items, Math.max(SMALLEST_PART, Math.ceil(items.length / lanes)));
  const frames: number[][] = [];
  let bytes = 0;
  for (const [index, item] of items.entries()) {
    const refused = refuse(item);
    if (refused !== undefined) {
      results[index] = refused;
      continue;
    }
    const last = frames.at(-1);
    if (last === undefined || last.length === most || bytes + size(item) > FRAME.bytes) {
      frames.push([index]);
      bytes = size(item);
    } else {
      last.push(index);
      bytes += size(item);
    }
  }
  await Promise.all(
    frames.map(async (frame) => {
      const answers = checked(await send(frame.map((index) => items[index] as I)), frame.length);
      for (const [at, index] of frame.entries()) results[index] = answers[at] as R | CasemateError;
    }),
  );
  return results;
}

function checked<R>(answers: Many<R>, count: number): Many<R> {
  if (answers.length === count) return answers;
  throw new CasemateError("DEVICE_FAILED", `the vendor host answered ${answers.length} of ${count} items`);
}

export const tooLarge = (what: string, size: number, limit: number): CasemateError | undefined =>
  size <= limit
    ? undefined
    : new CasemateError("TOO_LARGE", `${what} of ${size} bytes, at most ${limit} allowed`, {
        details: { size, limit },
      });
