import type { Device, DeviceIdentity } from "@casemate/devices/contract";
import { CasemateError, asCasemateError } from "@casemate/foundation/errors";
import { absentDevice } from "./absent-device.ts";
import type { DataPaths } from "./data-directory.ts";
import { readDevices, type DeviceConfig } from "./devices-file.ts";
import { openDevice, type FindVirtualHsm } from "./drivers/index.ts";
import type { Log } from "./log.ts";
import { twinOf } from "./twins.ts";

/** The devices of devices.json, open. The map is one object for the server's life; its entries come and go. */
export interface DeviceSet {
  readonly map: ReadonlyMap<string, Device>;
  /** Opens what is new in devices.json, closes what is gone, tries again what is absent. Answers what changed. */
  reload(): Promise<{ readonly added: readonly string[]; readonly removed: readonly string[] }>;
  /** Tries again what is absent, each device after pauses that grow. To be called now and then. Answers what is there now. */
  retry(): Promise<readonly string[]>;
  close(): Promise<void>;
}

interface Member {
  readonly config: DeviceConfig;
  readonly device: Device;
  readonly absent?: Absence;
}

interface Absence {
  readonly why: string;
  /** Calls of `retry` that are let pass before the device is tried again. */
  readonly pause: number;
  left: number;
}

const LONGEST_PAUSE = 15;

/**
 * Opens all devices side by side. The first one must open, since it signs the audit log; a further one that fails is absent.
 * @throws CONFIG_INVALID, and what opening the first device throws.
 */
export async function openDevices(paths: DataPaths, log: Log): Promise<DeviceSet> {
  const map = new Map<string, Device>();
  const members = new Map<string, Member>();
  const opening = new Map<string, Promise<Member>>();
  /** One change after another: two must not open one device. */
  let last: Promise<unknown> = Promise.resolve();
  let closed = false;

  const find: FindVirtualHsm = async (id) => {
    const driver = readDevices(paths).find((config) => config.id === id)?.driver;
    if (driver !== "virtual-hsm") {
      throw new CasemateError("CONFIG_INVALID", `${id} is no virtual HSM of this server`, {
        hint: "pinRoot names one, such as hsm-1.",
      });
    }
    const opened = await opening.get(id);
    if (opened === undefined) throw new CasemateError("DEVICE_ABSENT", `${id} is not open`);
    return opened.device;
  };
  const openOne = async (config: DeviceConfig, needed: boolean): Promise<Member> => {
    try {
      const device = await openDevice(config, paths, (line) => log.warn({ device: config.id }, line), find);
      if (closed) await device.close();
      return { config, device };
    } catch (error) {
      if (needed) throw error;
      return standIn(config, asCasemateError(error));
    }
  };
  const standIn = (config: DeviceConfig, why: CasemateError, known?: DeviceIdentity): Member => {
    const before = members.get(config.id)?.absent;
    if (why.message !== before?.why)
      log.warn({ device: config.id, code: why.code, err: why }, "device could not be opened");
    const device = absentDevice(config.id, config.driver, why, known);
    const pause = before === undefined ? 0 : Math.min(LONGEST_PAUSE, before.pause * 2 + 1);
    return { config, device, absent: { why: why.message, pause, left: pause } };
  };
  /** The device, or what stands in for it where its token is another device of this server already. */
  const unlessTwin = async (member: Member): Promise<Member> => {
    const { config, device } = member;
    if (member.absent !== undefined) return member;
    const others = [...members.values()].filter(({ absent }) => absent === undefined);
    const { identity } = device;
    const twin = twinOf(
      { config, identity },
      others.map((other) => ({ config: other.config, identity: other.device.identity })),
    );
    if (twin === undefined) return member;
    await device.close();
    const hint = `Remove one of the two: \`casemate device remove ${config.id}\`.`;
    const what = `its token is the device ${twin} already, through another module`;
    return standIn(config, new CasemateError("ALREADY_EXISTS", what, { hint }), identity);
  };
  const take = (member: Member): void => {
    members.set(member.config.id, member);
    map.set(member.config.id, member.device);
  };
  /** Which token it is, a device knows only when it is there. */
  const watch = ({ config, device }: Member): void => {
    device.watch?.watch((event) => {
      if (event.kind !== "state" || (event.state !== "operational" && event.state !== "locked")) return;
      void inTurn(async () => {
        const member = members.get(config.id);
        if (member !== undefined && member.device === device && !closed) take(await unlessTwin(member));
      });
    });
  };
  const open = async (configs: readonly DeviceConfig[], needed?: DeviceConfig): Promise<void> => {
    const all = configs.map((config) => {
      const opened = openOne(config, config === needed);
      opening.set(config.id, opened);
      return opened;
    });
    const settled = await Promise.allSettled(all);
    const there = settled.filter((each) => each.status === "fulfilled").map(({ value }) => value);
    const refused = settled.find((each) => each.status === "rejected");
    if (refused !== undefined) {
      // The others must not hold the process.
      await Promise.allSettled(there.map(({ device }) => device.close()));
      throw refused.reason;
    }
    for (const opened of there) {
      // oxlint-disable-next-line no-await-in-loop -- which of two is the other's twin depends on what was before
      const member = await unlessTwin(opened);
      take(member);
      watch(member);
    }
  };
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work);
    last = done.catch(() => undefined);
    return done;
  };

  const first = readDevices(paths);
  await open(first, first[0]);
  return {
    map,
    reload: () =>
      inTurn(async () => {
        const wanted = readDevices(paths);
        const removed = [...members.keys()].filter((id) => !wanted.some((config) => config.id === id));
        for (const id of removed) {
          const device = map.get(id);
          map.delete(id);
          members.delete(id);
          opening.delete(id);
          await device?.close();
        }
        const added = wanted.filter(({ id }) => !members.has(id)).map(({ id }) => id);
        await open(wanted.filter(({ id }) => added.includes(id) || members.get(id)?.absent !== undefined));
        return { added, removed };
      }),
    retry: () =>
      inTurn(async () => {
        const due = [...members.values()].filter(({ absent }) => absent !== undefined && absent.left-- <= 0);
        await open(due.map(({ config }) => config));
        const opened = due.map(({ config }) => config.id).filter((id) => members.get(id)?.absent === undefined);
        for (const id of opened) log.info({ device: id }, "device opened at last");
        return opened;
      }),
    async close() {
      closed = true;
      await Promise.allSettled([...map.values()].map((device) => device.close()));
    },
  };
}
