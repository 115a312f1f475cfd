import type { Device } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import type { DataPaths } from "../data-directory.ts";
import type { DeviceConfig } from "../devices-file.ts";
import type { DeviceLog, DriverRow, FindVirtualHsm } from "./driver.ts";
import { pkcs11 } from "./pkcs11.ts";
import { virtualHsm } from "./virtual-hsm.ts";

/** Every driver that devices.json may name. */
export const DRIVERS: readonly DriverRow[] = [virtualHsm, pkcs11];

/** @throws CONFIG_INVALID for a driver that there is not, and whatever its `open` throws. */
export function openDevice(
  config: DeviceConfig,
  paths: DataPaths,
  log: DeviceLog,
  find: FindVirtualHsm,
): Promise<Device> {
  const driver = DRIVERS.find(({ name }) => name === config.driver);
  if (driver === undefined) {
    throw new CasemateError("CONFIG_INVALID", `device ${config.id}: there is no driver ${config.driver}`, {
      hint: `There are: ${DRIVERS.map(({ name }) => name).join(", ")}.`,
    });
  }
  return driver.open(config, paths, log, find);
}
