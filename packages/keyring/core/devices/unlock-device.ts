import { CasemateError } from "@casemate/foundation/errors";
import { deviceOf, type Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { facet } from "../use/select.ts";
import { deviceView } from "./device-view.ts";

const MAX_SEALED = 4096;

export function deviceChallenge(core: Core): Keyring["deviceChallenge"] {
  return (caller, id) =>
    core.guard.keyring(caller, "device.unlock", `device/${id.slice(0, 128)}`, async (note) => {
      note.details = { step: "challenge" };
      const device = deviceOf(core, id);
      return facet(device, device.unlock, "be unlocked: its root of trust needs nobody").challenge();
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
      await facet(device, device.unlock, "be unlocked: its root of trust needs nobody").unlock(sealed);
      await opened();
      return deviceView(core, device);
    });
}

export function lockDevice(core: Core): Keyring["lockDevice"] {
  return (caller, id) =>
    core.guard.keyring(caller, "device.lock", `device/${id.slice(0, 128)}`, async () => {
      const device = deviceOf(core, id);
      await facet(device, device.unlock, "be locked: its root of trust needs nobody").lock();
      return deviceView(core, device);
    });
}
