import type { Device, DeviceStatus } from "@casemate/devices/contract";
import { asCasemateError } from "@casemate/foundation/errors";
import type { Core } from "../core.ts";
import { witnessView } from "../startup/checkpoint-key.ts";
import type { DeviceView } from "../types.ts";
import { livingKeys } from "./living-keys.ts";

/** A device that does not answer is shown as such, not left out. */
export async function deviceView(core: Core, device: Device): Promise<DeviceView> {
  const [status, keys, witness] = await Promise.all([
    statusOf(device),
    livingKeys(core.store, device.identity.id),
    witnessView(core, device),
  ]);
  return { identity: device.identity, status, algorithms: device.algorithms, keys, witness };
}

/** Of a device that does not answer, why. */
export async function statusOf(device: Device): Promise<DeviceStatus> {
  try {
    return await device.status();
  } catch (error) {
    const { code, message } = asCasemateError(error);
    const state = code === "DEVICE_LOCKED" ? "locked" : code === "DEVICE_TAMPERED" ? "tampered" : "absent";
    return { state, detail: message, counters: {}, notes: [] };
  }
}
