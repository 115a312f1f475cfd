import type { Device } from "@casemate/devices/contract";
import { systemClock, systemRandom, type Clock, type Random } from "@casemate/foundation/effects";
import { asCasemateError, isCasemateError } from "@casemate/foundation/errors";
import { Alarms } from "./alarms.ts";
import { KeyCache } from "./catalogue/key-cache.ts";
import { Changes } from "./changes.ts";
import { composeUseCases } from "./compose.ts";
import type { Core } from "./core.ts";
import { keysWithoutDevice } from "./devices/keys-without-device.ts";
import { watchDevices } from "./devices/watch-devices.ts";
import { Guard } from "./guard.ts";
import { Schedule } from "./lifecycle/schedule.ts";
import { Locks } from "./locks.ts";
import { Metrics } from "./metrics.ts";
import type { ObjectStore } from "./objects.ts";
import { openObjects } from "./open-objects.ts";
import { loadPolicies } from "./policies/set-policy.ts";
import type { AuditLog, PolicyEngine } from "./ports.ts";
import { Recorder } from "./recorder.ts";
import { recallFinding } from "./startup/findings.ts";
import { Signing } from "./startup/signing.ts";
import { dropInternalKeys, lostIn, storageKey, storageKeyDevice } from "./startup/internal-keys.ts";
import { checkHistory, checkUnkeyed, recordDrop } from "./startup/history.ts";
import { sealedBy } from "./startup/sealed-by.ts";
import type { Store } from "./store.ts";
import { tokenProblem } from "./tokens/authenticate.ts";
import { bootstrapAdmin, keepWaitingToken } from "./tokens/bootstrap-admin.ts";
import { flushTokens } from "./tokens/flush-tokens.ts";
import { serviceCaller } from "./tokens/service-caller.ts";
import { stillValid } from "./tokens/still-valid.ts";
import { TokenCache } from "./tokens/token-cache.ts";
import type { Caller, Keyring, Role, TokenView } from "./types.ts";
import { UseCounters } from "./use/use-counters.ts";

export interface KeyringOptions {
  readonly store: Store;
  readonly audit: AuditLog;
  readonly policy: PolicyEngine;
  /** In order of preference: the first that can make a key gets it. */
  readonly devices: ReadonlyMap<string, Device>;
  readonly clock?: Clock;
  readonly random?: Random;
  /** For what has no caller to answer to. Gets no secrets. */
  readonly log?: (message: string, error?: unknown) => void;
  /**
   * When the device with the storage key has lost it (zeroized elsewhere, replaced), accept the rows as they are and
   * seal them under a new key. They cannot be verified then: a decision for the owner, made once.
   */
  readonly reseal?: boolean;
  /**
   * When a device has witnessed more of the audit log than there is, go on with the older one, on record: a decision for the owner who
   * restored it, made once.
   */
  readonly acceptOlderLog?: boolean;
  /**
   * Sources (`Caller.source`) whose uses of keys are answered once their record is written, before it is synced: a killed
   * process loses none, a power cut those of the last moments. Refusals and changes always wait for the disk. Default: none.
   */
  readonly relaxedSources?: readonly string[];
  /** Keys and tokens kept ready; the default is 10 000 of each. */
  readonly cacheSize?: number;
}

export interface OpenKeyring extends Keyring {
  /** Objects that are no keys, for PKCS#11. */
  readonly objects: ObjectStore;
  /** A caller for a part of the server itself. No token stands for it, and no interface hands it out. */
  serviceCaller(principal: string, roles: readonly Role[]): Promise<Caller>;
  /** An administrator token for the owner of the data directory; revokes earlier ones of its kind. For the composition root alone. */
  bootstrapAdmin(principal?: string): Promise<{ readonly token: string; readonly view: TokenView }>;
  /** Why a token is refused, undefined for one that holds. For the composition root alone: its use is not on record. */
  tokenProblem(token: string): Promise<string | undefined>;
  /** Whether no token was ever made here: then none that is kept elsewhere belongs to this database. */
  withoutTokens(): Promise<boolean>;
  /** What is wrong with the storage key's device beyond being locked, and what to do about it: for whoever starts the server. */
  readonly sealing: string | undefined;
  /** Why all but unlocking is refused, while a locked device holds the storage key. */
  readonly sealed: boolean;
  /** Resolves when every stored row was read and found untouched. @throws TAMPER_DETECTED naming the first bad one. */
  checkStorage(): Promise<void>;
  /** Devices that keys are in and that are none of this keyring's, with the number of keys that are not destroyed. */
  keysWithoutDevice(): Promise<ReadonlyMap<string, number>>;
  /** To be called after devices were attached or taken away: their states are on record from then on. */
  devicesChanged(): Promise<void>;
}

const CACHE_SIZE = 10_000;
/** Up to this many rows the store is checked before the first answer, else beside them. */
const CHECK_AT_ONCE = 2_000;

const UNSEALED = "the database is not sealed: the device that held its key was zeroized, and no other is ready";

/**
 * The keyring over its parts, which it then owns and closes; when it throws they are still the caller's.
 * @throws TAMPER_DETECTED, STORAGE_FAILED, DEVICE_FAILED.
 */
export async function openKeyring(options: KeyringOptions): Promise<OpenKeyring> {
  const core = assemble(options);
  const schedule = new Schedule(core);
  const signing = new Signing(core);
  let opening: Promise<void> | undefined;
  const open = (): Promise<void> => {
    opening ??= unseal(core, schedule, signing).finally(() => {
      opening = undefined;
    });
    return opening;
  };
  let rekeying: Promise<void> | undefined;
  /** A new storage key in place of one that went with its device. Who asks meanwhile waits for the same. */
  const replaceKey = (): Promise<void> => {
    rekeying ??= rekey(core, signing).finally(() => {
      rekeying = undefined;
    });
    return rekeying;
  };
  /** After an unlocking, a restart or a zeroization of a device: what waits for one may go on. */
  const reopen = async (): Promise<void> => {
    if (core.guard.finding !== undefined) throw core.guard.finding;
    if (core.guard.sealed) await open().catch((error: unknown) => alarmed(core, error));
    else if (core.store.state === "new") return replaceKey();
    else return signing.late();
    if (core.store.state === "open") await core.recorder.append(system("storage.open", await standing(core)));
  };
  const zeroized = (): Promise<void> => {
    signing.lost();
    return reopen();
  };
  await open();
  if (core.guard.sealed) core.log(core.guard.warning ?? `only unlocking is answered: ${core.guard.waiting}`);
  const watch = watchDevices(core, async (state) => {
    if (state === "operational") await reopen();
    else if (core.guard.sealed) core.guard.seal(await sealedBy(core));
  });
  const relaxed = options.relaxedSources ?? [];
  const details = { ...(await standing(core)), ...(relaxed.length === 0 ? {} : { relaxed: relaxed.join() }) };
  await core.recorder.appendIfRoom(system("start", details));
  const alarm = (): string | undefined => core.alarms.first ?? core.guard.alarm;
  checkAuditBeside(core);
  let closing: Promise<void> | undefined;
  return {
    ...composeUseCases(core, { opened: reopen, zeroized }),
    get alarm() {
      return alarm();
    },
    get warning() {
      if (core.guard.sealed) return core.guard.waiting;
      const unsealed = core.store.state === "new" ? UNSEALED : undefined;
      return [unsealed, signing.unsigned].filter((text) => text !== undefined).join("; ") || undefined;
    },
    objects: openObjects(core),
    subscribe: (listener) => core.changes.subscribe(listener),
    serviceCaller: serviceCaller(core),
    bootstrapAdmin: bootstrapAdmin(core),
    tokenProblem: tokenProblem(core),
    withoutTokens: async () => (await core.store.count("token", {})) === 0,
    get sealing() {
      return core.guard.warning;
    },
    get sealed() {
      return core.guard.sealed;
    },
    checkStorage: () => core.store.check(),
    keysWithoutDevice: () => keysWithoutDevice(core),
    devicesChanged: () => watch.refresh(),
    metrics: () => ({
      ...core.metrics.read(),
      casemate_cached_keys: core.keys.size,
      casemate_devices: core.devices.size,
      casemate_audit_records: core.audit.head.size,
      casemate_sealed: core.guard.sealed ? 1 : 0,
      casemate_alarm: alarm() === undefined ? 0 : 1,
      casemate_checkpoints_signed: signing.signs ? 1 : 0,
    }),
    count: (series, amount) => core.metrics.add(series, amount),
    runSchedule: () => schedule.run(),
    close: () => (closing ??= close(core, () => watch.stop())),
  };
}

function assemble(options: KeyringOptions): Core {
  const { store, audit, policy, devices } = options;
  const log = options.log ?? (() => undefined);
  const locks = new Locks();
  const metrics = new Metrics();
  const recorder = new Recorder(audit, metrics);
  const clock = options.clock ?? systemClock;
  const keys = new KeyCache(store, options.cacheSize ?? CACHE_SIZE, clock);
  const tokens = new TokenCache(store, options.cacheSize ?? CACHE_SIZE);
  return {
    store,
    audit,
    policy,
    devices,
    keys,
    locks,
    metrics,
    recorder,
    changes: new Changes(),
    clock,
    reseal: options.reseal ?? false,
    acceptOlderLog: options.acceptOlderLog ?? false,
    alarms: new Alarms(recorder, log),
    random: options.random ?? systemRandom,
    tokens,
    counters: new UseCounters(store, locks, (changes) => store.commit(changes, audit.head)),
    guard: new Guard({
      recorder,
      policy,
      keys,
      metrics,
      relaxedSources: new Set(options.relaxedSources),
      deviceKind: (id) => devices.get(id)?.identity.kind ?? "absent",
      stillValid: stillValid(tokens, clock),
      keepHead: () => {
        if (store.state !== "open") return;
        store.commit([], audit.head).catch((error: unknown) => log("the log's head could not be kept", error));
      },
    }),
    log,
  };
}

/** What needs the storage key's device: verified rows, policies, the checkpoint key, unfinished work. */
async function unseal(core: Core, schedule: Schedule, signing: Signing): Promise<void> {
  const { store, audit } = core;
  if (store.state !== "open") {
    const replaced = store.state === "new" && (await checkUnkeyed(audit));
    if (!(await keyStore(core, replaced))) {
      core.guard.seal(await sealedBy(core));
      return;
    }
    // What was read before could not be verified.
    core.keys.clear();
    core.tokens.clear();
    core.counters.clear();
  }
  await checkHistory(store, audit);
  const { rows } = await store.head();
  if (rows <= CHECK_AT_ONCE) await store.check();
  else checkLater(core);
  await loadPolicies(store, core.policy);
  await signing.begin(await recallFinding(core));
  await keepWaitingToken(core);
  core.guard.unseal();
  core.changes.tell({ what: "all" });
  await schedule.resume();
}

/** The storage key went with a zeroized device: a new one, as soon as a device can hold it. Until then rows have no MAC. */
async function rekey(core: Core, signing: Signing): Promise<void> {
  const { store, devices } = core;
  const keyed = await keyStore(core, true).catch((error: unknown) => {
    core.log("no new storage key could be made yet", error);
    return false;
  });
  if (keyed) {
    const device = (await storageKeyDevice(store, devices)) ?? "";
    core.log(`a new storage key is made in ${device}: the database is sealed again`);
    await core.recorder.append(system("storage.open", { ...(await standing(core)), device }));
  }
  // Another device may be able to sign although none can hold the storage key.
  await signing.late();
}

/** False while the device with the storage key cannot be asked. */
async function keyStore(core: Core, replaced: boolean): Promise<boolean> {
  const { store, audit, devices } = core;
  const key = await storageKey(store, audit, devices, replaced).catch(async (error: unknown) => {
    if (isCasemateError(error) && NOT_NOW.has(error.code)) return undefined;
    const device = lostIn(error);
    if (device === undefined || !core.reseal) throw error;
    await dropInternalKeys(store, audit, device, () => recordDrop(core, `device ${device} lost the storage key`));
    return storageKey(store, audit, devices);
  });
  if (key === undefined) return false;
  await store.useKey(key);
  return true;
}

function checkLater(core: Core): void {
  core.store.check().catch((error: unknown) => {
    const known = asCasemateError(error);
    if (known.code !== "TAMPER_DETECTED") return core.log(known.message, error);
    core.guard.condemn(known);
    core.alarms.raise("storage.check", known);
  });
}

/**
 * Start-up verifies the log from its last saved point on; the records before it are read beside the work. Keys stay usable:
 * what was changed is the past, and the checkpoints kept elsewhere say what it was.
 */
function checkAuditBeside(core: Core): void {
  core.audit.check().then(
    (remade) => {
      for (const name of remade) core.log(`made again from the audit log's records, since unfit: audit/${name}`);
    },
    (error: unknown) => {
      const known = asCasemateError(error);
      if (known.code === "TAMPER_DETECTED") core.alarms.raise("audit.check", known);
    },
  );
}

/** Found at an unlocking, not at a start that could be refused: everything stays sealed, and every refusal says why. */
function alarmed(core: Core, error: unknown): never {
  const known = asCasemateError(error);
  const { code, message, hint } = known;
  if (code === "TAMPER_DETECTED") {
    core.guard.seal({ code, message, hint });
    core.alarms.raise("storage.check", known);
  }
  throw error;
}

const NOT_NOW: ReadonlySet<string> = new Set(["DEVICE_LOCKED", "DEVICE_ABSENT", "DEVICE_TAMPERED"]);

/** `keyed` is what `checkUnkeyed` looks for at the next start. */
async function standing(core: Core): Promise<Record<string, boolean | number>> {
  const { generation } = await core.store.head();
  return { sealed: core.guard.sealed, keyed: core.store.state !== "new", generation };
}

async function close(core: Core, unwatch: () => void): Promise<void> {
  unwatch();
  try {
    if (core.store.state !== "sealed") {
      await core.counters.flush(true);
      await flushTokens(core, 1);
      await core.store.commit([], core.audit.head);
    }
    await core.recorder.append(system("stop", {}));
  } catch (error) {
    core.log("the end could not be recorded", error);
  }
  const ends = [() => core.audit.close(), ...[...core.devices.values()].map((device) => () => device.close())];
  for (const end of ends) await end().catch((error: unknown) => core.log("closing", error));
  await core.store.close();
}

function system(action: string, details: Readonly<Record<string, string | number | boolean>>) {
  return { principal: "casemate", source: "keyring", action, resource: "", outcome: "ok", count: 1, details };
}
