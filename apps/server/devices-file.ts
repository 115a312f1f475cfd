import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { CasemateError } from "@casemate/foundation/errors";
import type { DataPaths } from "./data-directory.ts";

/** One device as `devices.json` names it. The driver's own settings stand beside these. */
export interface DeviceConfig {
  readonly id: string;
  /** A row of the drivers table. */
  readonly driver: string;
  readonly [setting: string]: string | number | boolean;
}

export const DEFAULT_DEVICE: DeviceConfig = { id: "hsm-1", driver: "virtual-hsm", root: "key-file" };

const DEVICE_ID = /^[a-z0-9][a-z0-9-]{0,31}$/;

function invalid(paths: DataPaths, what: string): CasemateError {
  return new CasemateError("CONFIG_INVALID", `${paths.devices}: ${what}`, {
    hint: "Correct the file, or put a device in by `casemate device add`.",
  });
}

function parsed(paths: DataPaths, row: unknown): DeviceConfig {
  if (typeof row !== "object" || row === null) throw invalid(paths, "a device is not an object");
  const { id, driver } = row as Partial<DeviceConfig>;
  if (typeof id !== "string" || !DEVICE_ID.test(id)) {
    throw invalid(paths, `${JSON.stringify(id)} is not a device id (a-z, 0-9 and -, at most 32 characters)`);
  }
  if (typeof driver !== "string") throw invalid(paths, `device ${id} names no driver`);
  for (const [name, value] of Object.entries(row)) {
    if (!["string", "number", "boolean"].includes(typeof value))
      throw invalid(paths, `${id}.${name} is not a plain value`);
  }
  return row as DeviceConfig;
}

/** The devices to open; the virtual HSM `hsm-1` when the file is absent. @throws CONFIG_INVALID. */
export function readDevices(paths: DataPaths): readonly DeviceConfig[] {
  if (!existsSync(paths.devices)) return [DEFAULT_DEVICE];
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(paths.devices, "utf8"));
  } catch (error) {
    throw invalid(paths, `not JSON: ${(error as Error).message}`);
  }
  const rows = (value as { devices?: unknown } | null)?.devices;
  if (!Array.isArray(rows) || rows.length === 0)
    throw invalid(paths, "there is no array `devices` with at least one device");
  const devices = rows.map((row) => parsed(paths, row));
  const twice = devices.find((device, i) => devices.findIndex(({ id }) => id === device.id) !== i);
  if (twice !== undefined) throw invalid(paths, `device ${twice.id} is there twice`);
  return devices;
}

/** Replaces the file at once, so that a crash leaves the old or the new one. */
export function writeDevices(paths: DataPaths, devices: readonly DeviceConfig[]): void {
  const fresh = `${paths.devices}.new`;
  writeFileSync(fresh, `${JSON.stringify({ devices }, null, 2)}\n`, { mode: 0o600, flush: true });
  renameSync(fresh, paths.devices);
}

/** @throws BAD_REQUEST for an id that is no device id. */
export function checkDeviceId(id: string): void {
  if (!DEVICE_ID.test(id)) {
    throw new CasemateError("BAD_REQUEST", `${id} is not a device id`, {
      hint: "Use a-z, 0-9 and -, at most 32 characters, beginning with a letter or digit.",
    });
  }
}
