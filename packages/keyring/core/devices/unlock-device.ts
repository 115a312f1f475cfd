import type { Device, DeviceStatus } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import { deviceOf, type Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { facet } from "../use/select.ts";
import { deviceView, statusOf } from "./device-view.ts";

const MAX_SEALED = 4096;

export function deviceChallenge(core: Core): Keyring["deviceChallenge"] {
  return (caller, id) =>
    core.guard.keyring(caller, "device.unlock", `device/${id.slice(0, 128)}`, async (note) => {
      note.details = { step: "challenge" };
      const device = deviceOf(core, id);
      return (await unlockOf(device)).challenge();
    });
}

/** `opened` is told, so that what waited for the device can go on. */
export function unlockDevice(core: Core, opened: () => Promise<void>): Keyring["unlockDevice"] {
  return (caller, id, sealed) =>
    core.guard.keyring(caller, "device.unlock", `device/${id.slice(0, 128)}`, async (note) => {
      note.details = { step: "unlock" };
      if (sealed.length === 0 || sealed.length > MAX_SEALED)
        throw new CasemateError("BAD_REQUEST", `the sealed secret has 1 to ${MAX_SEALED} bytes`);
      const device = deviceOf(core, id);
      await (await unlockOf(device)).unlock(sealed);
      await opened();
      return deviceView(core, device);
    });
}

/** @throws NOT_SUPPORTED; of a device that is locked all the same, as a zeroized one is, with what it says of the way out. */
async function unlockOf(device: Device): Promise<NonNullable<Device["unlock"]>> {
  const { state, detail }: Pick<DeviceStatus, "state" | "detail"> =
    device.unlock === undefined ? await statusOf(device) : { state: "operational" };
  const why = state === "locked" && detail !== undefined ? detail : "its root of trust needs nobody";
  return facet(device, device.unlock, `be unlocked: ${why}`);
}

export function lockDevice(core: Core): Keyring["lockDevice"] {
  return (caller, id) =>
    core.guard.keyring(caller, "device.lock", `device/${id.slice(0, 128)}`, async () => {
      const device = deviceOf(core, id);
      await facet(device, device.unlock, "be locked: its root of trust needs nobody").lock();
      return deviceView(core, device);
    });
}
