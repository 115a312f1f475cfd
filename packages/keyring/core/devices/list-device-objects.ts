import { refDigest } from "../catalogue/key-record.ts";
import { deviceOf, type Core } from "../core.ts";
import type { DeviceObjectView, Keyring } from "../types.ts";
import { facet } from "../use/select.ts";

export function listDeviceObjects(core: Core): Keyring["listDeviceObjects"] {
  return (caller, id) =>
    core.guard.keyring(caller, "device.objects", `device/${id.slice(0, 128)}`, async (note) => {
      const device = deviceOf(core, id);
      const objects = await facet(device, device.objects, "list the keys it holds").list();
      note.details = { objects: objects.length };
      const views: DeviceObjectView[] = [];
      for (const object of objects) {
        const row = await core.store.get("key", "ref", refDigest(object.ref));
        views.push({
          label: object.label,
          id: object.id,
          usages: object.usages,
          ...(object.algorithm === undefined ? {} : { algorithm: object.algorithm }),
          ...(object.publicKey === undefined ? {} : { publicKey: object.publicKey }),
          ...(row === undefined ? {} : { adoptedAs: String(row.index["name"]) }),
        });
      }
      return views;
    });
}
