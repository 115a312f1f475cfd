import type { Device } from "@casemate/devices/contract";
import type { DataPaths } from "../data-directory.ts";
import type { DeviceConfig } from "../devices-file.ts";

/** Gets what a device's own process says: diagnostics, never payload. */
export type DeviceLog = (line: string) => void;

/** A virtual HSM of this server, once it is open. @throws CONFIG_INVALID for another device, DEVICE_ABSENT for none. */
export type FindVirtualHsm = (id: string) => Promise<Device>;

/** How a device of one driver is opened from its line in devices.json. */
export interface DriverRow {
  readonly name: string;
  /** @throws CONFIG_INVALID for settings that cannot be; what the driver throws otherwise. */
  open(config: DeviceConfig, paths: DataPaths, log: DeviceLog, find: FindVirtualHsm): Promise<Device>;
}
