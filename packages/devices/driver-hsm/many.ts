/** Batches cut to what one frame holds. */
import type { Many } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";

/** Per frame: so that neither request nor reply (49 856 bytes for the largest signature) outgrows it. */
const FRAME = { items: 256, bytes: 4 * 1024 * 1024 } as const;

export interface ItemRules<I, R> {
  /** Why an item cannot be sent at all. */
  refuse(item: I): R | CasemateError | undefined;
  /** Bytes of one item on the wire. */
  size(item: I): number;
}

export async function sendMany<I, R>(
  rules: ItemRules<I, R>,
  items: readonly I[],
  send: (items: I[]) => Promise<Many<R>>,
): Promise<Many<R>> {
  const results: (R | CasemateError)[] = Array.from({ length: items.length });
  const frames: number[][] = [];
  let bytes = 0;
  for (const [index, item] of items.entries()) {
    const refused = rules.refuse(item);
    if (refused !== undefined) {
      results[index] = refused;
      continue;
    }
    const size = rules.size(item);
    const last = frames.at(-1);
    if (last === undefined || last.length === FRAME.items || bytes + size > FRAME.bytes) {
      frames.push([index]);
      bytes = size;
    } else {
      last.push(index);
      bytes += size;
    }
  }
  await Promise.all(
    frames.map(async (frame) => {
      const answers = await send(frame.map((index) => items[index] as I));
      if (answers.length !== frame.length)
        throw new CasemateError("DEVICE_FAILED", `the device answered ${answers.length} of ${frame.length} items`);
      for (const [at, index] of frame.entries()) results[index] = answers[at] as R | CasemateError;
    }),
  );
  return results;
}

export const tooLarge = (what: string, size: number, limit: number): CasemateError | undefined =>
  size <= limit
    ? undefined
    : new CasemateError("TOO_LARGE", `${what} of ${size} bytes, at most ${limit} allowed`, {
        details: { size, limit },
      });
