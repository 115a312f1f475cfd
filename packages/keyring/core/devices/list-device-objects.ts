import { equalBytes } from "@casemate/foundation/bytes";
import { refDigest } from "../catalogue/key-record.ts";
import { deviceOf, type Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { facet } from "../use/select.ts";
import { heldObjects, type HeldObject } from "./held-objects.ts";
import type { DeviceObjectView } from "./object-view.ts";

export function listDeviceObjects(core: Core): Keyring["listDeviceObjects"] {
  return (caller, id) =>
    core.guard.keyring(caller, "device.objects", `device/${id.slice(0, 128)}`, async (note) => {
      const device = deviceOf(core, id);
      const objects = await facet(device, device.objects, "list the keys it holds").list();
      note.details = { objects: objects.length };
      const held = await heldObjects(core, id);
      return objects.map(({ ref, label, id: identifier, usages, algorithm, publicKey }): DeviceObjectView => ({
        label,
        id: identifier,
        usages,
        ...(algorithm === undefined ? {} : { algorithm }),
        ...(publicKey === undefined ? {} : { publicKey }),
        ...inCatalogue(held.get(refDigest(ref)), publicKey),
      }));
    });
}

function inCatalogue(
  held: HeldObject | undefined,
  publicKey: Uint8Array | undefined,
): Pick<DeviceObjectView, "adoptedAs" | "version" | "replaced"> {
  if (held === undefined) return {};
  const { name, version, publicKey: recorded } = held;
  const other = publicKey !== undefined && recorded !== undefined && !equalBytes(publicKey, recorded);
  return { adoptedAs: name, version, ...(other ? { replaced: true } : {}) };
}
