import { deviceOf, type Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { deviceView } from "./device-view.ts";

export function getDevice(core: Core): Keyring["getDevice"] {
  return (caller, id) =>
    core.guard.keyring(caller, "device.read", `device/${id.slice(0, 128)}`, async () =>
      deviceView(core, deviceOf(core, id)),
    );
}
