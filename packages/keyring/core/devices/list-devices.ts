import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { deviceView } from "./device-view.ts";

export function listDevices(core: Core): Keyring["listDevices"] {
  return (caller) =>
    core.guard.keyring(caller, "device.list", "", () =>
      Promise.all([...core.devices.values()].map((device) => deviceView(core, device))),
    );
}
