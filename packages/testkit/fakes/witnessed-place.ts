/** For tests of the device that is a witness of the audit log of a place. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Device } from "@casemate/devices/contract";
import { isCasemateError } from "@casemate/foundation/errors";
import type { OpenKeyring } from "@casemate/keyring/core";
import type { Place } from "./place.ts";
import { softwareDevice, type SoftwareDevice } from "./software-device.ts";

export const tampered =
  (message: RegExp) =>
  (error: unknown): true => {
    assert.ok(isCasemateError(error), String(error));
    assert.equal(error.code, "TAMPER_DETECTED", error.message);
    assert.match(error.message, message);
    return true;
  };

export const audit = (place: Place): string => join(place.data, "audit");

export const putBackBoth = (place: Place, copy: string): void => {
  place.putBack(copy, "audit");
  place.putBack(copy, "database");
};

export async function witnessed(device: Device): Promise<{ readonly size: number; readonly before: number }> {
  const [log, ...others] = (await device.witness?.logs()) ?? [];
  assert.deepEqual(others, []);
  return { size: log?.size ?? 0, before: log?.before ?? 0 };
}

export async function life(place: Place, keys: readonly string[] = []): Promise<void> {
  const { keyring, admin } = await place.open();
  for (const name of keys) await keyring.createKey(admin, { name, algorithm: "ed25519" });
  await keyring.close();
}

export const until = async (what: () => boolean): Promise<void> => {
  for (let tries = 0; !what(); tries++) {
    assert.ok(tries < 2000, "it did not come about");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

export const sizes = async (place: Place): Promise<readonly number[]> =>
  readFileSync(join(audit(place), "checkpoints"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => Number((JSON.parse(line) as string).split("\n")[1]));

/** The storage key in one device, the key of the checkpoints in another. */
export function twoDevices(place: Place): SoftwareDevice {
  const { witness: _, ...first } = place.device;
  const second = softwareDevice("hsm-2");
  const without = { ...first, algorithms: first.algorithms.filter(({ algorithm }) => algorithm !== "ed25519") };
  place.devices = new Map<string, Device>([
    ["hsm-1", without],
    ["hsm-2", second],
  ]);
  return second;
}

export const inUse = async (keyring: OpenKeyring, device: SoftwareDevice): Promise<void> => {
  const records = keyring.metrics()["casemate_audit_records"] ?? 0;
  device.setState("operational");
  await until(() => (keyring.metrics()["casemate_audit_records"] ?? 0) > records);
};
