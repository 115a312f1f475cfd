import { fsync } from "node:fs";
import { promisify } from "node:util";
import { superviseBoundary, type BoundaryProcess } from "@casemate/devices/boundary";
import type { AlgorithmSupport, Device, DeviceEvent, DeviceIdentity, DeviceState } from "@casemate/devices/contract";
import { decode } from "@casemate/foundation/codec";
import { CasemateError, withHint } from "@casemate/foundation/errors";
import { ALGORITHMS, KEY_ALGORITHM_NAMES, LIMITS, NOTICES, type WireState } from "@casemate/protocols/hsm";
import { createCall, type Call } from "./calls.ts";
import * as facets from "./facets.ts";
import { openKeyFile, type RootOptions } from "./key-file.ts";
import { openStateDirectory } from "./state-directory.ts";
import { witnessFacet } from "./witness.ts";

const DEFAULT_SECURE_HEAP = 2 * 1024 * 1024;

export interface VirtualHsmOptions {
  readonly id: string;
  /** Absolute path of the virtual HSM's main module. */
  readonly entry: string;
  /** Where the sealed state is kept; made when missing. */
  readonly stateDirectory: string;
  readonly root: RootOptions;
  /** Power of two; 0 for none. Default 2 MiB: some 2000 loaded RSA-2048 keys. */
  readonly secureHeapBytes?: number;
  /** Only the virtual HSM built for tests takes one. */
  readonly testSeed?: Uint8Array;
  /** Gets the boundary process's diagnostics. */
  readonly log?: (line: string) => void;
}

const algorithms: readonly AlgorithmSupport[] = KEY_ALGORITHM_NAMES.map((algorithm) => {
  const { usages, sign, cipher, mac, wrap } = ALGORITHMS[algorithm];
  return { algorithm, usages, sign, cipher, mac, wrap };
});

function noRoomFor({ id, stateDirectory }: VirtualHsmOptions): CasemateError {
  return new CasemateError("STORAGE_FULL", `device ${id} was not made: its state did not fit into ${stateDirectory}`, {
    hint: "Free space on the disk, then start again.",
  });
}

/** What a device means that cannot open its state: it knows files by descriptors alone. */
function filesOf({ root, stateDirectory }: VirtualHsmOptions, state: WireState): { readonly files?: string } {
  if (state !== "tampered" && state !== "error") return {};
  return { files: `${root.kind === "key-file" ? `key file ${root.path}, ` : ""}sealed state in ${stateDirectory}` };
}

const contractState = (state: WireState): DeviceState => (state === "starting" ? "absent" : state);

/**
 * Starts a virtual HSM in its boundary process and keeps it running.
 * @throws CONFIG_INVALID for an unusable or missing key file; STORAGE_FULL for a new device without room; DEVICE_FAILED, TIMEOUT, UNAVAILABLE when the process does not start.
 */
export async function openVirtualHsm(options: VirtualHsmOptions): Promise<Device> {
  const states = await openStateDirectory(options.stateDirectory);
  // An empty newest generation is what zeroizing leaves: a new device then begins with a new key file.
  const [newest] = await states.generations();
  const keyFile = openKeyFile(options.id, options.root, newest !== undefined && newest.length > 0);
  const listeners = new Set<(event: DeviceEvent) => void>();
  /** Made anew only when it changes: it is asked for with every use of a key. */
  let identity: DeviceIdentity = {
    id: options.id,
    kind: "hsm",
    maker: "Casemate",
    model: "Virtual HSM",
    serial: "",
    firmware: "",
    virtual: true,
    certifications: [],
  };

  const emit = (event: DeviceEvent): void => {
    for (const listener of listeners) listener(event);
  };

  const learn = async (call: Call): Promise<void> => {
    const status = await call("status", {});
    const { firmware, serial } = status;
    identity =
      serial === ""
        ? { ...identity, firmware }
        : { ...identity, firmware, serial, identityKey: status.identityKey.slice() };
  };

  /** Whether the newest save found no room. */
  let full = false;
  let saving: Promise<unknown> = Promise.resolve();
  let keyFileSynced = false;
  /** The guest writes its key file but cannot sync it; it does so only before a process's first save and when zeroizing. */
  const syncKeyFile = async (zeroizing: boolean): Promise<void> => {
    if (keyFileSynced && !zeroizing) return;
    await promisify(fsync)(keyFile.descriptor);
    keyFileSynced = true;
  };

  const save = async (call: Call, body: Uint8Array): Promise<void> => {
    const { sequence, sealed } = decode(NOTICES.stateSave.body, body);
    const synced = await syncKeyFile(sealed.length === 0).then(
      () => true,
      () => false,
    );
    const outcome = synced ? await states.save(sealed) : "failed";
    full = outcome === "full";
    await call("stateSaved", { sequence, outcome });
  };

  const onNotice = (process: BoundaryProcess, op: number, body: Uint8Array): void => {
    const call = createCall(process.channel);
    if (op === NOTICES.stateSave.op) {
      saving = save(call, body).catch(() => undefined); // the process is gone, and its state is on the disk
    } else if (op === NOTICES.stateChanged.op) {
      const { state, detail } = decode(NOTICES.stateChanged.body, body);
      emit(state === "tampered" ? { kind: "tamper", detail } : { kind: "state", state: contractState(state), detail });
    }
  };

  const start = async (process: BoundaryProcess): Promise<void> => {
    keyFileSynced = false;
    process.channel.onNotify((op, body) => onNotice(process, op, body));
    const call = createCall(process.channel);
    const generations = await states.generations();
    await call("restore", { root: options.root.kind, generations });
    if (generations.length === 0 && full) throw noRoomFor(options);
    await learn(call);
  };

  const supervised = await superviseBoundary({
    entry: options.entry,
    descriptors: [keyFile.descriptor],
    secureHeapBytes: options.secureHeapBytes ?? DEFAULT_SECURE_HEAP,
    ...(options.testSeed === undefined ? {} : { testSeed: options.testSeed }),
    ...(options.log === undefined ? {} : { log: options.log }),
    onStart: start,
    onExit: ({ code, signal }) =>
      emit({
        kind: "state",
        state: "absent",
        detail: `the device's process ended (${signal === null ? `exit code ${code}` : `signal ${signal}`}); restarting`,
      }),
  }).catch(async (error: unknown) => {
    await saving; // or a state could appear whose root is taken away
    const kept = await states.generations().catch(() => undefined);
    // A root that opens no state is of no use, and one that was written in part would be in the way of the next start.
    if (kept?.length === 0) keyFile.discard();
    else keyFile.close();
    throw error;
  });
  const unlocking = options.root.kind === "passphrase" ? `Unlock it: casemate device unlock ${options.id}.` : undefined;
  const call = createCall(supervised.channel, unlocking);
  const unlock = facets.unlockFacet(call);
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await supervised.stop();
    keyFile.close();
  };

  return {
    get identity() {
      return identity;
    },
    algorithms,
    async status() {
      const counters = { restarts: supervised.restarts, inFlight: supervised.channel.inFlight };
      if (supervised.state !== "running") {
        const { reason } = supervised;
        const detail = reason === undefined ? `the device's process is ${supervised.state}` : withHint(reason);
        return { state: "absent", detail, counters, notes: [], rootOfTrust: options.root.kind };
      }
      const status = await call("status", {});
      const { current } = supervised;
      return {
        state: contractState(status.state),
        ...(status.detail === "" ? {} : { detail: status.detail }),
        ...filesOf(options, status.state),
        counters: {
          ...Object.fromEntries(status.counters.map(({ name, value }) => [name, Number(value)])),
          ...counters,
        },
        notes: status.notes,
        rootOfTrust: options.root.kind,
        ...(current === undefined ? {} : { isolation: current.isolation, pid: current.pid }),
      };
    },
    async random(length) {
      if (!Number.isInteger(length) || length < 1 || length > LIMITS.random)
        throw new CasemateError("BAD_REQUEST", `1 to ${LIMITS.random} random bytes at once, not ${length}`);
      return (await call("random", { length })).bytes;
    },
    keys: facets.keysFacet(call),
    sign: facets.signFacet(call),
    cipher: facets.cipherFacet(call),
    mac: facets.macFacet(call),
    agree: facets.agreeFacet(call),
    kem: facets.kemFacet(call),
    wrap: facets.wrapFacet(call),
    dataKeys: facets.dataKeysFacet(call),
    witness: witnessFacet(call),
    ...(options.root.kind === "passphrase"
      ? {
          unlock: {
            ...unlock,
            async unlock(sealed: Uint8Array) {
              await unlock.unlock(sealed);
              await learn(call);
            },
          },
        }
      : {}),
    zeroize: {
      async zeroize() {
        await call("zeroize", {});
        const { identityKey: _, ...anonymous } = identity;
        identity = { ...anonymous, serial: "" };
      },
    },
    watch: {
      watch(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    close: () => (closing ??= close()),
  };
}
