import { existsSync } from "node:fs";
import type { Command } from "commander";
import { setTimeout as sleep } from "node:timers/promises";
import { CasemateError } from "@casemate/foundation/errors";
import { prepareDataDirectory, readRunning, type DataPaths } from "@casemate/server/data-directory";
import { checkDeviceId, readDevices, writeDevices, type DeviceConfig } from "@casemate/server/devices-file";
import { twinOf } from "@casemate/server/twins";
import { ADDABLE_DRIVERS, freeId, type AddableDriver } from "../../device-drivers.ts";
import { shown } from "../../failure.ts";
import type { Session } from "../../session.ts";
import type { Device } from "@casemate/sdk";

const RELOAD_MS = 15_000;
/** Each question is a record of the audit log: they come more and more slowly. */
const ASK_AGAIN_MS = { first: 100, most: 2_000 };

/** Tells a running server of this data directory to read devices.json again. False when there is none. */
function askToReload(session: Session): boolean {
  const running = readRunning(session.paths);
  if (running === undefined || !existsSync(session.paths.socket)) return false;
  try {
    process.kill(running.pid, "SIGHUP");
    return true;
  } catch {
    return false;
  }
}

async function devicesNow(session: Session): Promise<readonly Device[]> {
  const client = await session.client();
  return (await client.listDevices()).items;
}

/** The devices of the server, or undefined where none answers. */
async function devicesIfAny(session: Session): Promise<readonly Device[] | undefined> {
  try {
    return await devicesNow(session);
  } catch (error) {
    if (shown(error).details["reachable"] === false) return undefined;
    throw error;
  }
}

/** What becomes of keys whose device is removed. */
const STAY = "keys in it then stay in the catalogue and cannot be used until the device is back.";

/** What a device that is removed may leave in the data directory, for the case that it is added again. */
const LEFT: readonly { readonly what: string; readonly at: (paths: DataPaths, id: string) => string }[] = [
  { what: "Its sealed state", at: (paths, id) => paths.deviceState(id) },
  { what: "Its key file", at: (paths, id) => paths.rootKey(id) },
  { what: "Its PIN, encrypted,", at: (paths, id) => paths.keptPin(id) },
];

/** Waits until the running server has, or no longer has, the device. */
async function waitFor(session: Session, id: string, present: boolean): Promise<Device | undefined> {
  let pause = ASK_AGAIN_MS.first;
  for (const end = Date.now() + RELOAD_MS; Date.now() < end; await sleep(pause)) {
    pause = Math.min(2 * pause, ASK_AGAIN_MS.most);
    const device = (await devicesNow(session)).find(({ identity }) => identity.id === id);
    if ((device !== undefined) === present) return device;
  }
  throw new CasemateError("TIMEOUT", `the server has not taken the change of ${id} within ${RELOAD_MS / 1000} s`, {
    hint: "Its log says why; a restart reads devices.json again.",
  });
}

/** Takes back a device whose token is another one's, which only the token tells. @throws ALREADY_EXISTS. */
async function refuseTwin(
  session: Session,
  added: Parameters<typeof twinOf>[0],
  before: readonly DeviceConfig[],
): Promise<void> {
  const identities = new Map((await devicesNow(session)).map(({ identity }) => [identity.id, identity]));
  const others = before.flatMap((config) => {
    const identity = identities.get(config.id);
    return identity === undefined ? [] : [{ config, identity }];
  });
  const twin = twinOf(added, others);
  if (twin === undefined) return;
  writeDevices(session.paths, before);
  if (askToReload(session)) await waitFor(session, added.config.id, false);
  session.out.progress("");
  throw new CasemateError("ALREADY_EXISTS", `the token is the device ${twin} already, through another module`, {
    hint: `Use ${twin}, or \`casemate device remove ${twin}\` first.`,
  });
}

async function add(session: Session, driver: AddableDriver, options: Record<string, unknown>): Promise<void> {
  const { paths, out } = session;
  prepareDataDirectory(paths.root);
  const devices = readDevices(paths);
  const id = typeof options["id"] === "string" ? options["id"] : freeId(driver.idPrefix, devices);
  checkDeviceId(id);
  if (devices.some((device) => device.id === id)) {
    throw new CasemateError("ALREADY_EXISTS", `there is a device ${id} already`, { hint: "Choose another --id." });
  }
  const settings = driver.settings(options);
  await driver.check?.(settings, devices);
  const config: DeviceConfig = { id, driver: driver.name, ...settings };
  writeDevices(paths, [...devices, config]);
  out.progress(`opening ${id} …`);
  const device = askToReload(session) ? await waitFor(session, id, true) : undefined;
  if (device !== undefined) await refuseTwin(session, { config, identity: device.identity }, devices);
  out.progress("");
  out.answer(device ?? config, () => {
    if (device === undefined) out.line(`Device ${id} is added; the next \`casemate up\` opens it.`);
    else out.line(`Device ${id} is added and ${device.status.state}.`);
    if (device?.status.detail !== undefined) out.note(device.status.detail);
  });
}

async function remove(session: Session, id: string, force: boolean): Promise<void> {
  const { paths, out } = session;
  const devices = readDevices(paths);
  if (!devices.some((device) => device.id === id)) {
    const hint = `There are: ${devices.map((device) => device.id).join(", ")}.`;
    throw new CasemateError("NOT_FOUND", `there is no device ${id}`, { hint });
  }
  if (devices.length === 1) {
    throw new CasemateError("CONFIG_INVALID", `${id} is the only device`, { hint: "Add another one first." });
  }
  const running = await devicesIfAny(session);
  if (running === undefined && !force) {
    throw new CasemateError("UNAVAILABLE", `no server answers, so that nobody knows whether keys are in ${id}`, {
      hint: `Start one with \`casemate up\`, or say --force: ${STAY}`,
      details: { reachable: false },
    });
  }
  const present = running?.find(({ identity }) => identity.id === id);
  if (present !== undefined && present.keys > 0 && !force) {
    throw new CasemateError(
      "CONFLICT",
      present.keys === 1 ? `1 key is in ${id}` : `${present.keys} keys are in ${id}`,
      {
        hint: `Destroy them first, or say --force: ${STAY}`,
      },
    );
  }
  writeDevices(
    paths,
    devices.filter((device) => device.id !== id),
  );
  if (running !== undefined && askToReload(session)) await waitFor(session, id, false);
  const kept = LEFT.map(({ what, at }) => ({ what, path: at(paths, id) })).filter(({ path }) => existsSync(path));
  out.answer({ id, removed: true, kept: kept.map(({ path }) => path) }, () => {
    out.line(`Device ${id} is no longer used. Nothing in it was changed.`);
    for (const { what, path } of kept) out.line(`${what} is kept in ${path}.`);
  });
}

export function defineDeviceAdd(command: Command, session: Session): void {
  const group = command.command("add").description("use a further device");
  for (const driver of ADDABLE_DRIVERS) {
    const sub = group
      .command(driver.name)
      .description(driver.summary)
      .option("--id <id>", "what to call it here (default: the first free one)");
    driver.options(sub);
    sub.action((options: Record<string, unknown>) => add(session, driver, options));
  }
  command
    .command("remove")
    .argument("<device>", "id of the device")
    .description("no longer use a device; nothing in it is destroyed")
    .option("--force", "even when keys are in it, or no server answers that would know")
    .action((id: string, options: { readonly force?: boolean }) => remove(session, id, options.force === true));
}
