import type { Core } from "../core.ts";
import { livingKeys } from "./living-keys.ts";

/** Counts by the index alone, whatever the number of keys; only of a device that is missing the destroyed ones are told apart. */
export async function keysWithoutDevice({ store, devices }: Core): Promise<ReadonlyMap<string, number>> {
  const missing = new Map<string, number>();
  for (const [device, all] of await store.countBy("key", "device")) {
    if (devices.has(device)) continue;
    const living = await livingKeys(store, device, all);
    if (living > 0) missing.set(device, living);
  }
  return missing;
}
