import { fromRow, refDigest } from "../catalogue/key-record.ts";
import type { Core } from "../core.ts";

/** A version of a key that an object of a device is. */
export interface HeldObject {
  readonly name: string;
  readonly version: number;
  readonly publicKey?: Uint8Array;
}

const PAGE = 500;

/** By digest of the reference: every version that the device still holds, where the store's index knows the newest of each key alone. */
export async function heldObjects({ store }: Core, device: string): Promise<ReadonlyMap<string, HeldObject>> {
  const held = new Map<string, HeldObject>();
  let after: string | undefined;
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- each page begins where the one before ended
    const rows = await store.find("key", {
      equals: { device },
      order: "id",
      ...(after === undefined ? {} : { after }),
      limit: PAGE,
    });
    for (const { name, versions } of rows.map(fromRow)) {
      for (const { version, ref, publicKey } of versions) {
        if (ref !== undefined)
          held.set(refDigest(ref), { name, version, ...(publicKey === undefined ? {} : { publicKey }) });
      }
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) return held;
    after = last.id;
  }
}
