/** The far end of the wire: decodes a request, checks the device's state, runs it, encodes the answer. */
import { decode, encode, type Codec } from "@casemate/foundation/codec";
import { systemRandom, type Random } from "@casemate/foundation/effects";
import type { CasemateError } from "@casemate/foundation/errors";
import {
  NOTICES,
  OPERATIONS,
  type OperationName,
  type ReplyOf,
  type RequestOf,
  type WireState,
} from "@casemate/protocols/hsm";
import { arithmeticEcSigner } from "./ec-arithmetic.ts";
import type { EcSignerFactory, PreparedSignerFactory } from "./digest-signer.ts";
import { Lifecycle } from "./lifecycle.ts";
import type { OpenDevice } from "./open-device.ts";
import { refuse } from "./refuse.ts";
import type { RootFile } from "./root.ts";
import { createScheduler } from "./scheduler.ts";
import { createSecureHeap, secureHeapNotes } from "./secure-heap.ts";

export const FIRMWARE = "0.1.0";

export interface EngineOptions {
  /** Frames the device starts: numbers and layouts are NOTICES of protocols/hsm. */
  notify(op: number, body: Uint8Array): void;
  /** The key file where it is the root of trust, else the file of the unlock key. */
  readonly rootFile?: RootFile;
  /** ECDSA over digests by OpenSSL; without it, slower arithmetic that is not constant-time. */
  readonly ecSigner?: EcSignerFactory;
  /** Why `ecSigner` is missing, for the status notes. */
  readonly ecSignerMissing?: string;
  /** ML-DSA over message representatives; without it ML-DSA signs whole messages only. */
  readonly preparedSigner?: PreparedSignerFactory;
  /** Runs a full garbage collection. */
  readonly collect?: () => void;
  readonly random?: Random;
  readonly now?: () => number;
  /** For tests. */
  readonly keyUses?: number;
  readonly passphraseCost?: { readonly memoryKiB: number; readonly passes: number; readonly lanes: number };
}

export interface Engine {
  /** Answers one request. Throws or rejects with a CasemateError and nothing else for any input. */
  handle(op: number, body: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

type Handlers = { readonly [N in OperationName]: (request: RequestOf<N>) => ReplyOf<N> | Promise<ReplyOf<N>> };

interface Row {
  readonly name: OperationName;
  readonly request: Codec<unknown>;
  readonly reply: Codec<unknown>;
  readonly allowedIn: readonly WireState[];
  readonly run: (request: unknown) => unknown;
}

const REFUSALS: Readonly<Record<WireState, (detail: string, unlocking: string) => CasemateError>> = {
  starting: () => refuse("UNAVAILABLE", "the device is starting", "Try again."),
  operational: () => refuse("CONFLICT", "the device is unlocked already"),
  locked: (detail, unlocking) => refuse("DEVICE_LOCKED", `the device is locked: ${detail}`, unlocking),
  tampered: (detail) => refuse("DEVICE_TAMPERED", `the device refuses to work: ${detail}`),
  error: (detail) => refuse("DEVICE_FAILED", `the device cannot work: ${detail}`),
};

export function createEngine(options: EngineOptions): Engine {
  const heap = createSecureHeap({ collect: options.collect });
  const lifecycle = new Lifecycle({
    random: options.random ?? systemRandom,
    heap,
    scheduler: createScheduler(),
    makeEcSigner: options.ecSigner ?? arithmeticEcSigner,
    makePreparedSigner: options.preparedSigner,
    rootFile: options.rootFile,
    now: options.now ?? (() => performance.now()),
    sendState(sequence, sealed) {
      options.notify(NOTICES.stateSave.op, encode(NOTICES.stateSave.body, { sequence, sealed }));
    },
    onState(state, detail) {
      options.notify(
        NOTICES.stateChanged.op,
        encode(NOTICES.stateChanged.body, { state, detail: detail.slice(0, 500) }),
      );
    },
    ...(options.keyUses === undefined ? {} : { keyUses: options.keyUses }),
    ...(options.passphraseCost === undefined ? {} : { passphraseCost: options.passphraseCost }),
  });

  const notes = (): string[] => [
    ...lifecycle.notes,
    ...secureHeapNotes(heap),
    ...(lifecycle.kind === "key-file"
      ? ["the root of trust is a file: whoever can read it and the sealed state can read every key (software only)"]
      : []),
    ...(lifecycle.kind === "passphrase"
      ? [
          "wrong passphrases are counted outside the seal: putting back an old state file gives the tries back",
          ...(lifecycle.unlockKey === undefined
            ? []
            : [`unlock challenges are signed by its unlock key ${lifecycle.unlockKey.fingerprint}`]),
        ]
      : []),
    ...(options.ecSigner === undefined
      ? [
          `ECDSA runs on slower arithmetic that is not constant-time: ${options.ecSignerMissing ?? "no native signer was given"}`,
        ]
      : []),
    options.preparedSigner === undefined
      ? "Ed25519, Ed448, ML-DSA and SLH-DSA sign whole messages only on this machine, no digests"
      : "digests: Ed25519, Ed448, ML-DSA and SLH-DSA sign them by their prehash variants (prehash-…), which verify as such only; " +
        "under pure, ML-DSA takes the 64-byte message representative μ of FIPS 204; " +
        "an SLH-DSA prehash signature holds up every other request for as long as it takes, up to a second with the s sets",
  ];

  const status = (): ReplyOf<"status"> => {
    const device = lifecycle.device;
    const { saves, wrongTries } = lifecycle.counters;
    const counters: Readonly<Record<string, number | bigint>> = {
      operations: device?.operations ?? 0,
      keysGenerated: device?.generated ?? 0,
      keysLoaded: device?.vault.size ?? 0,
      keyLoads: device?.vault.loads ?? 0,
      keysDestroyed: device?.state.destroyed.size ?? 0,
      logsWitnessed: device?.state.witnessed.size ?? 0,
      stateSaves: saves,
      wrongTries,
      secureHeapBytes: heap.total,
      secureHeapUsed: heap.used,
    };
    return {
      state: lifecycle.state,
      detail: lifecycle.detail.slice(0, 500),
      root: lifecycle.kind,
      serial: lifecycle.serial,
      firmware: FIRMWARE,
      identityKey: device?.identityPublic ?? new Uint8Array(),
      counters: Object.entries(counters).map(([name, value]) => ({ name, value: BigInt(value) })),
      notes: notes(),
    };
  };

  /** The dispatcher let it through: the device is operational. */
  const open = (): OpenDevice => lifecycle.device as OpenDevice;

  const handlers: Handlers = {
    async restore(request) {
      await lifecycle.restore(request);
      return {};
    },
    status,
    stateSaved({ sequence, outcome }) {
      lifecycle.settled(sequence, outcome);
      return {};
    },
    random: (request) => open().random(request),
    generate: (request) => open().generate(request),
    publicKey: (request) => open().publicKey(request),
    destroy: (request) => open().destroy(request),
    sign: (request) => open().sign(request),
    verify: (request) => open().verify(request),
    encrypt: (request) => open().encrypt(request),
    decrypt: (request) => open().decrypt(request),
    mac: (request) => open().mac(request),
    checkMac: (request) => open().checkMac(request),
    agree: (request) => open().agree(request),
    encapsulate: (request) => open().encapsulate(request),
    decapsulate: (request) => open().decapsulate(request),
    exportKey: (request) => open().exportKey(request),
    importKey: (request) => open().importKey(request),
    dataKeys: (request) => open().dataKeys(request),
    witnessedLogs: () => open().witnessedLogs(),
    signCheckpoint: (request) => open().signCheckpoint(request),
    challenge: () => lifecycle.challenge(),
    async unlock({ sealed }) {
      await lifecycle.unlock(sealed);
      return {};
    },
    async lock() {
      await lifecycle.lock();
      return {};
    },
    async zeroize() {
      await lifecycle.zeroize();
      return {};
    },
  };

  const rows = new Map<number, Row>(
    (Object.keys(OPERATIONS) as OperationName[]).map((name) => {
      const { op, request, reply, allowedIn } = OPERATIONS[name];
      return [op, { name, request, reply, allowedIn, run: handlers[name] } as Row];
    }),
  );

  return {
    handle(op, body) {
      const row = rows.get(op);
      if (row === undefined) throw refuse("NOT_SUPPORTED", `the virtual HSM has no operation ${op}`);
      const { state } = lifecycle;
      if (!row.allowedIn.includes(state)) throw REFUSALS[state](lifecycle.detail, lifecycle.unlocking);
      const answer = row.run(decode(row.request, body));
      if (answer instanceof Promise) return answer.then((reply) => encode(row.reply, reply));
      return encode(row.reply, answer);
    },
  };
}
