import type { DeviceStatus } from "@casemate/devices/contract";
import type { Core } from "../core.ts";
import { statusOf } from "../devices/device-view.ts";
import { storageKeyDevice } from "./internal-keys.ts";

/** Why rows can be neither verified nor sealed now, and what to do about it. */
export interface SealedBy {
  /** TAMPER_DETECTED: what an unlocking found. */
  readonly code: "DEVICE_LOCKED" | "DEVICE_TAMPERED" | "DEVICE_ABSENT" | "DEVICE_FAILED" | "TAMPER_DETECTED";
  readonly message: string;
  readonly hint?: string | undefined;
}

/** Asks the device with the storage key itself what is wrong with it. */
export async function sealedBy({ store, devices }: Pick<Core, "store" | "devices">): Promise<SealedBy> {
  const id = await storageKeyDevice(store, devices);
  if (id === undefined)
    return {
      code: "DEVICE_LOCKED",
      message: "a device that can hold the storage key is locked or not attached",
      hint: "Unlock it: casemate device unlock DEVICE.",
    };
  const who = `${id}, the storage key's device,`;
  const device = devices.get(id);
  const { state, detail, files }: Pick<DeviceStatus, "state" | "detail" | "files"> =
    device === undefined ? { state: "absent" } : await statusOf(device);
  const why = detail === undefined ? "" : `: ${detail}`;
  const meant = files === undefined ? "" : ` The files: ${files}.`;
  if (state === "tampered")
    return {
      code: "DEVICE_TAMPERED",
      message: `${who} is tampered${why}`,
      // What to put back, the device says itself.
      hint: `Stop the server before anything is put back, and start it again then.${meant}`,
    };
  if (state === "absent")
    return {
      code: "DEVICE_ABSENT",
      message: `${who} is not attached${why}`,
      hint: "Attach it, or start the server with the device that holds the storage key.",
    };
  if (state === "error")
    return {
      code: "DEVICE_FAILED",
      message: `${who} cannot work${why}`,
      hint: `Stop the server, put that right, and start it again.${meant}`,
    };
  return {
    code: "DEVICE_LOCKED",
    message: state === "locked" ? `${who} is locked` : `${who} is not ready${why}`,
    hint: `Unlock it: casemate device unlock ${id}.`,
  };
}
