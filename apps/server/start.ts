import { existsSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { systemClock } from "@casemate/foundation/effects";
import { asCasemateError, CasemateError } from "@casemate/foundation/errors";
import type { RestServer } from "@casemate/interfaces/rest";
import type { Announcement } from "./announce.ts";
import { foreignOwner, readRunning, type DataPaths, type Running } from "./data-directory.ts";
import { openDevices, type DeviceSet } from "./devices.ts";
import { DEFAULT_DEVICE, readDevices, writeDevices } from "./devices-file.ts";
import { firstRun } from "./first-run.ts";
import { hardenServer } from "./harden.ts";
import type { Log } from "./log.ts";
import { isEveryAddress, type RunOptions } from "./options.ts";
import { openPkcs11, type Pkcs11Door } from "./pkcs11.ts";
import { startFailure } from "./start-failure.ts";
import { tlsMaterial } from "./tls.ts";
import manifest from "./package.json" with { type: "json" };

/** Longest path that fits into a socket address, with its terminating zero. */
const SOCKET_PATH_BYTES = 107;
const SCHEDULE_EVERY_MS = 15_000;

export interface Server {
  readonly log: Log;
  readonly announcement: Announcement;
  /** Reads devices.json again. */
  reload(): Promise<void>;
  /** Finishes requests under way, signs a last checkpoint, stops the boundary processes. */
  close(): Promise<void>;
}

async function ownDataDirectory(paths: DataPaths) {
  const { openSqliteStore } = await import("@casemate/keyring/storage");
  try {
    return await openSqliteStore(paths.root);
  } catch (error) {
    const known = asCasemateError(error);
    const owner = known.code === "STORAGE_IN_USE" ? readRunning(paths) : undefined;
    if (owner === undefined) throw error;
    throw new CasemateError(
      "STORAGE_IN_USE",
      `the data directory ${paths.root} is in use by the server at ${owner.url} (process ${owner.pid})`,
      { hint: "Use that server, stop it first, or choose another directory with --data DIR.", cause: known },
    );
  }
}

/** `--root` is for the first run: what unlocks a device is decided when the device is made. */
function chooseRoot(paths: DataPaths, root: RunOptions["root"]): void {
  if (root === undefined) return;
  const made = existsSync(paths.deviceState(DEFAULT_DEVICE.id)) || existsSync(paths.devices);
  const present = made ? (readDevices(paths).find(({ id }) => id === DEFAULT_DEVICE.id)?.["root"] ?? "key-file") : root;
  if (present !== root) {
    throw new CasemateError("CONFIG_INVALID", `hsm-1 was made with the root of trust ${present}; it stays so`, {
      hint: "Leave --root out, or start with an empty data directory.",
    });
  }
  if (!made) writeDevices(paths, [{ ...DEFAULT_DEVICE, root }]);
}

/** Settles everything that was begun, so that a failed start leaves no process behind. */
async function closeBegun(begun: readonly Promise<{ close(): Promise<void> }>[]): Promise<void> {
  const settled = await Promise.allSettled(begun);
  for (const result of settled) if (result.status === "fulfilled") await result.value.close().catch(() => undefined);
}

async function openParts(paths: DataPaths, log: Log, { reseal, acceptOlderLog, pkcs11Audit }: RunOptions) {
  const store = await ownDataDirectory(paths);
  const { audit: expected } = await store.head();
  // What needs neither the other's result runs side by side: the boundary process starts while code is being loaded.
  const devices = openDevices(paths, log);
  const core = import("@casemate/keyring/core");
  const audit = core.then(({ openAudit }) =>
    openAudit({ directory: paths.audit, clock: systemClock, ...(expected.size === 0 ? {} : { expected }) }),
  );
  const policy = core.then(({ createPolicyEngine }) =>
    createPolicyEngine(systemClock, (message, error) => log.error({ err: error }, message)),
  );
  const rest = import("@casemate/interfaces/rest");
  try {
    const [set, auditLog, engine] = await Promise.all([devices, audit, policy]);
    const { openKeyring } = await core;
    const keyring = await openKeyring({
      store,
      audit: auditLog,
      policy: engine,
      devices: set.map,
      clock: systemClock,
      reseal,
      acceptOlderLog,
      relaxedSources: pkcs11Audit === "relaxed" ? ["pkcs11"] : [],
      log: (message, error) => log.warn({ err: error }, message),
    });
    return { keyring, devices: set, audit: auditLog, rest: await rest };
  } catch (error) {
    await closeBegun([devices, audit, Promise.resolve(store)]);
    throw error;
  }
}

async function reloadDevices(set: DeviceSet, parts: Awaited<ReturnType<typeof openParts>>, log: Log): Promise<void> {
  const { added, removed } = await set.reload();
  for (const [ids, action] of [
    [added, "device.added"],
    [removed, "device.removed"],
  ] as const) {
    for (const id of ids) {
      log.info({ device: id }, action);
      const entry = {
        principal: "owner",
        source: "devices.json",
        action,
        resource: `device/${id}`,
        outcome: "ok",
        count: 1,
      };
      await parts.audit.append(entry);
    }
  }
  await parts.keyring.devicesChanged();
}

async function retryDevices(set: DeviceSet, keyring: { devicesChanged(): Promise<void> }): Promise<void> {
  if ((await set.retry()).length > 0) await keyring.devicesChanged();
}

/** Tells clients how to reach this server. Undefined, or what to say where it cannot be written: reading goes on on a full disk. */
function writeRunning(paths: DataPaths, running: Running): string | undefined {
  try {
    writeFileSync(paths.running, `${JSON.stringify(running)}\n`, { mode: 0o600 });
    return undefined;
  } catch (error) {
    rmSync(paths.running, { force: true });
    return `${paths.running} could not be written (${(error as NodeJS.ErrnoException).code}): clients without the socket need --url ${running.url}`;
  }
}

const BROKEN: ReadonlySet<string> = new Set(["tampered", "error", "absent"]);

/** What is wrong with devices beyond the one that the alarm is about. */
async function broken(devices: DeviceSet, alarm: string | undefined): Promise<string[]> {
  const remarks: string[] = [];
  for (const [id, device] of devices.map) {
    const status = await device.status().catch(() => undefined);
    const { state, detail = "it does not say why", files } = status ?? {};
    if (BROKEN.has(state ?? "") && alarm?.includes(detail) !== true)
      remarks.push(`device ${id} is ${state}: ${detail}${files === undefined ? "" : ` (${files})`}`);
  }
  return remarks;
}

/** The catalogue points to a device that devices.json does not name (any more). */
function unconfigured(device: string, keys: number): string {
  const [are, them] = keys === 1 ? ["1 key is", "it"] : [`${keys} keys are`, "them"];
  return `${are} in the device ${device}, which devices.json does not name, and nobody can use ${them}: put devices.json back from a backup, or add the device again by \`casemate device add … --id ${device}\``;
}

async function startParts(options: RunOptions, paths: DataPaths, log: Log): Promise<Server> {
  const { version } = manifest;
  const remarks = [...hardenServer()];
  const foreign = foreignOwner(paths.root);
  if (foreign !== undefined) remarks.push(foreign);
  chooseRoot(paths, options.root);
  const parts = await openParts(paths, log, options);
  const { keyring, devices, rest: interfaces } = parts;
  let rest: RestServer | undefined;
  let pkcs11: Pkcs11Door | undefined;
  const closeAll = async (): Promise<void> => {
    // One that fails must not keep the others open: the keyring's end signs the last checkpoint.
    for (const end of [() => pkcs11?.close(), () => rest?.close(), () => keyring.close(), () => devices.close()]) {
      try {
        await end();
      } catch (error) {
        log.error({ err: error }, "closing");
      }
    }
  };
  try {
    rest = await interfaces.createRestServer({
      keyring,
      version,
      clock: systemClock,
      log,
      idempotency: interfaces.openIdempotencyFile(paths.idempotency),
      allowOrigins: options.allowOrigins,
    });
    const first = await firstRun(paths, keyring);
    remarks.push(...first.remarks);
    const { host, port } = options.listen;
    const tls = await tlsMaterial(options, paths);
    if (tls?.remark !== undefined) remarks.push(tls.remark);
    const { url, port: bound } = await rest.listen({ kind: "tcp", host, port, ...(tls === undefined ? {} : { tls }) });
    if (isEveryAddress(host))
      remarks.push(`every interface is listened on: https://${hostname()}:${bound} from elsewhere`);
    const fits = Buffer.byteLength(paths.socket) <= SOCKET_PATH_BYTES;
    if (fits) await rest.listen({ kind: "unix", path: paths.socket });
    else remarks.push(`the data directory's path is too long for a unix socket; the CLI uses ${url}`);
    pkcs11 = await openPkcs11(keyring, paths, log, options);
    if (pkcs11.remark !== undefined) remarks.push(pkcs11.remark);
    const running: Running = {
      pid: process.pid,
      url,
      ...(fits ? { socket: paths.socket } : {}),
      startedAt: new Date().toISOString(),
      version,
    };
    const { remade } = parts.audit.recovery;
    if (remade.length > 0)
      remarks.push(
        `made again from the audit log's records, since gone or unfit: ${remade.map((name) => `audit/${name}`).join(", ")}`,
      );
    const { aside } = parts.audit.recovery;
    if (aside !== undefined)
      remarks.push(`audit/checkpoints was damaged: what it held is kept as audit/${aside}, and a new one is begun`);
    remarks.push(...(await broken(devices, keyring.alarm)));
    for (const [device, keys] of await keyring.keysWithoutDevice()) remarks.push(unconfigured(device, keys));
    const unwritten = writeRunning(paths, running);
    if (unwritten !== undefined) remarks.push(unwritten);
    const timer = setInterval(() => {
      keyring.runSchedule().catch((error: unknown) => log.error({ err: error }, "scheduled work failed"));
      retryDevices(devices, keyring).catch((error: unknown) =>
        log.error({ err: error }, "devices were not tried again"),
      );
    }, SCHEDULE_EVERY_MS);
    log.info({ url, version, pid: process.pid }, "ready");
    for (const remark of remarks) log.warn(remark);
    return {
      log,
      announcement: {
        url,
        socket: fits ? paths.socket : undefined,
        paths,
        devices: devices.map,
        program: process.env["npm_execpath"] === undefined ? "casemate" : "npx casemate",
        firstRun: first.made,
        readyMs: performance.now(),
        remarks,
        alarm: keyring.sealing ?? keyring.alarm,
      },
      reload: () => reloadDevices(devices, parts, log),
      async close() {
        clearInterval(timer);
        await closeAll();
        rmSync(paths.running, { force: true });
        log.info("stopped");
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/**
 * Opens everything and answers requests.
 * @throws CONFIG_INVALID, STORAGE_IN_USE, STORAGE_NEWER, STORAGE_FULL, TAMPER_DETECTED and what the first device throws.
 */
export async function startServer(options: RunOptions, paths: DataPaths, log: Log): Promise<Server> {
  try {
    return await startParts(options, paths, log);
  } catch (error) {
    throw startFailure(error, paths.root);
  }
}
