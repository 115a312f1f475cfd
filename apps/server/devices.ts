import type { Device } from "@casemate/devices/contract";
import { CasemateError, asCasemateError } from "@casemate/foundation/errors";
import { absentDevice } from "./absent-device.ts";
import type { DataPaths } from "./data-directory.ts";
import { readDevices, type DeviceConfig } from "./devices-file.ts";
import { openDevice, type FindVirtualHsm } from "./drivers/index.ts";
import type { Log } from "./log.ts";

/** The devices of devices.json, open. The map is one object for the server's life; its entries come and go. */
export interface DeviceSet {
  readonly map: ReadonlyMap<string, Device>;
  /** Opens what is new in devices.json, closes what is gone, tries again what is absent. Answers what changed. */
  reload(): Promise<{ readonly added: readonly string[]; readonly removed: readonly string[] }>;
  close(): Promise<void>;
}

interface Member {
  readonly config: DeviceConfig;
  readonly absent: boolean;
}

/**
 * Opens all devices side by side. The first one must open, since it signs the audit log; a further one that fails is absent.
 * @throws CONFIG_INVALID, and what opening the first device throws.
 */
export async function openDevices(paths: DataPaths, log: Log): Promise<DeviceSet> {
  const map = new Map<string, Device>();
  const members = new Map<string, Member>();

  const opening = new Map<string, Promise<readonly [Member, Device]>>();

  const find: FindVirtualHsm = async (id) => {
    const driver = readDevices(paths).find((config) => config.id === id)?.driver;
    if (driver !== "virtual-hsm") {
      throw new CasemateError("CONFIG_INVALID", `${id} is no virtual HSM of this server`, {
        hint: "pinRoot names one, such as hsm-1.",
      });
    }
    const opened = await opening.get(id);
    if (opened === undefined) throw new CasemateError("DEVICE_ABSENT", `${id} is not open`);
    return opened[1];
  };
  const open = (config: DeviceConfig, needed: boolean): Promise<readonly [Member, Device]> => {
    const opened = openOne(config, needed);
    opening.set(config.id, opened);
    return opened;
  };
  const openOne = async (config: DeviceConfig, needed: boolean): Promise<readonly [Member, Device]> => {
    try {
      return [
        { config, absent: false },
        await openDevice(config, paths, (line) => log.warn({ device: config.id }, line), find),
      ];
    } catch (error) {
      if (needed) throw error;
      const why = asCasemateError(error);
      log.warn({ device: config.id, code: why.code, err: why }, "device could not be opened");
      return [{ config, absent: true }, absentDevice(config.id, config.driver, why)];
    }
  };
  const put = (opened: readonly (readonly [Member, Device])[]): void => {
    for (const [member, device] of opened) {
      members.set(member.config.id, member);
      map.set(member.config.id, device);
    }
  };

  put(await Promise.all(readDevices(paths).map((config, i) => open(config, i === 0))));
  return {
    map,
    async reload() {
      const wanted = readDevices(paths);
      const removed = [...members.keys()].filter((id) => !wanted.some((config) => config.id === id));
      for (const id of removed) {
        const device = map.get(id);
        map.delete(id);
        members.delete(id);
        opening.delete(id);
        await device?.close();
      }
      const fresh = wanted.filter(({ id }) => members.get(id)?.absent !== false);
      const added = fresh.filter(({ id }) => !members.has(id)).map(({ id }) => id);
      put(await Promise.all(fresh.map((config) => open(config, false))));
      return { added, removed };
    },
    async close() {
      await Promise.allSettled([...map.values()].map((device) => device.close()));
    },
  };
}
