import type { Store } from "../store.ts";

/** Keys of which a device still holds something. `all` of its keys, where that is known. */
export async function livingKeys(store: Store, device: string, all?: number): Promise<number> {
  const [every, destroyed] = await Promise.all([
    all ?? store.count("key", { device }),
    store.count("key", { device, state: "destroyed" }),
  ]);
  return every - destroyed;
}
