import { CasemateError } from "@casemate/foundation/errors";
import { deviceOf, type Core } from "../core.ts";
import type { Keyring } from "../types.ts";

const MAX_RANDOM = 65_536;

/** Of the named device, or of the first. */
export function random(core: Core): Keyring["random"] {
  return (caller, length, wanted) =>
    core.guard.keyring(caller, "random", "", async (note) => {
      if (!Number.isInteger(length) || length < 1 || length > MAX_RANDOM)
        throw new CasemateError("BAD_REQUEST", `length must be a whole number from 1 to ${MAX_RANDOM} bytes`);
      const device = wanted === undefined ? core.devices.values().next().value : deviceOf(core, wanted);
      if (device === undefined) throw new CasemateError("DEVICE_ABSENT", "no device is attached");
      note.resource = `device/${device.identity.id}`;
      note.details = { bytes: length };
      return device.random(length);
    });
}
