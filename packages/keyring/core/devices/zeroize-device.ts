import { fromRow } from "../catalogue/key-record.ts";
import { saveKey } from "../catalogue/save.ts";
import { deviceOf, type Core } from "../core.ts";
import { gone, settled } from "../lifecycle/destroy-key.ts";
import { recordDrop } from "../startup/history.ts";
import { dropInternalKeys } from "../startup/internal-keys.ts";
import { withVersion } from "../lifecycle/versions.ts";
import type { Keyring } from "../types.ts";
import { facet } from "../use/select.ts";
import { deviceView } from "./device-view.ts";

const SLICE = 200;

/**
 * The device first; then every key of it is marked destroyed. Interrupted in between, it can be asked again.
 * `rekey` is told when keys of Casemate's own went with it.
 */
export function zeroizeDevice(core: Core, rekey: () => Promise<void>): Keyring["zeroizeDevice"] {
  return (caller, id) =>
    core.guard.keyring(caller, "device.zeroize", `device/${id.slice(0, 128)}`, async (note) => {
      const device = deviceOf(core, id);
      note.changed = true; // whatever comes after, it is on record
      await facet(device, device.zeroize, "be zeroized").zeroize();
      const keys = await markDestroyed(core, id);
      note.details = { keys };
      const dropped = () => recordDrop(core, `device ${id} was zeroized`);
      if (await dropInternalKeys(core.store, core.audit, id, dropped))
        await rekey().catch((error: unknown) => core.log("Casemate's own keys could not be replaced yet", error));
      return deviceView(core, device);
    });
}

async function markDestroyed(core: Core, device: string): Promise<number> {
  let keys = 0;
  let after: string | undefined;
  for (;;) {
    const rows = await core.store.find("key", {
      equals: { device },
      order: "name",
      ...(after === undefined ? {} : { after }),
      limit: SLICE,
    });
    for (const row of rows) {
      const { name } = fromRow(row);
      await core.locks.run(`key/${name}`, async () => {
        const { record } = await core.keys.load(name);
        const hit = record.versions.filter((version) => version.device === device && version.state !== "destroyed");
        if (hit.length === 0) return;
        const now = core.clock.now();
        await saveKey(core, settled(hit.reduce((sofar, version) => withVersion(sofar, gone(version, now)), record)));
        keys += 1;
      });
      after = name;
    }
    if (rows.length < SLICE) return keys;
  }
}
