/** Virtual HSM sealed state, versions 1 and 2: what a device must remember, as bytes that only its root opens. */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { concat } from "@casemate/foundation/bytes";
import {
  bytes,
  decode,
  encode,
  enumOf,
  fixed,
  list,
  rest,
  struct,
  u16,
  u32,
  u64,
  u8,
  utf8,
  type Infer,
} from "@casemate/foundation/codec";
import type { Random } from "@casemate/foundation/effects";
import { LIMITS } from "@casemate/protocols/hsm";
import { CounterTable, IdSet, STATE_ID_BYTES } from "./packed-tables.ts";
import { refuse } from "./refuse.ts";

const SPEC = "virtual HSM state v2";
/** Version 1 had no witnessed logs. It is read, and becomes version 2 with the next save. */
const VERSION = 2;
const FIRST_VERSION = 1;
const COUNTER_ENTRY = STATE_ID_BYTES + 8;

const envelopeHead = {
  version: u8,
  root: enumOf("root of trust", u8, { "key-file": 1, passphrase: 2 }),
  /** Grows by one with every save. */
  counter: u64,
  /** The passphrase lock; empty for a key file. */
  lock: bytes(u16, 256),
} as const;
const headCodec = struct("state head", SPEC, envelopeHead);
const envelopeCodec = struct("state envelope", SPEC, {
  ...envelopeHead,
  /** Wrong passphrases since the last right one. Outside the seal: it changes while the device is locked. */
  tries: u16,
  nonce: fixed(12),
  sealed: rest,
});

const firstContent = {
  serial: fixed(8),
  /** PKCS#8 DER of the identity key. */
  identity: bytes(u16, 512),
  /** State ids end to end. */
  destroyed: bytes(u32, LIMITS.destroyed * STATE_ID_BYTES),
  /** State id ‖ u64 reserved AES-GCM invocations, end to end. */
  counters: bytes(u32, LIMITS.counters * COUNTER_ENTRY),
} as const;
const witnessedLog = {
  /** Raw Ed25519 key that signs the log's checkpoints. */
  publicKey: fixed(32),
  origin: utf8(u8, LIMITS.origin),
  /** Records of the newest checkpoint signed, and of the one before it. */
  size: u64,
  before: u64,
  root: fixed(32),
} as const;
const firstContentCodec = struct("state", "virtual HSM state v1", firstContent);
const contentCodec = struct("state", SPEC, {
  ...firstContent,
  witnessed: list(u8, struct("witnessed log", SPEC, { id: fixed(STATE_ID_BYTES), ...witnessedLog }), LIMITS.logs),
});
const witnessedLogCodec = struct("witnessed log", SPEC, witnessedLog);

export type Envelope = Infer<typeof envelopeCodec>;
export type WitnessedLog = Infer<typeof witnessedLogCodec>;

export interface DeviceState {
  serial: Uint8Array;
  identity: Uint8Array;
  readonly destroyed: IdSet;
  /** AES-GCM invocations reserved so far. */
  readonly counters: CounterTable;
  /** Logs whose checkpoints the device signs, by the state id of the key. */
  readonly witnessed: Map<string, WitnessedLog>;
}

/**
 * What the state calls a key id, both in latin1: the first half of the random id. Enough that no two keys of a device ever share it,
 * and half the bytes to keep for every key that was destroyed.
 */
export const stateId = (id: string): string => id.slice(0, STATE_ID_BYTES);

export const idText = (id: Uint8Array): string => Buffer.from(id.buffer, id.byteOffset, id.length).toString("latin1");
export interface SealOptions {
  readonly key: Uint8Array;
  readonly root: Envelope["root"];
  readonly counter: bigint;
  readonly lock: Uint8Array;
  readonly tries: number;
}

export function sealState(state: DeviceState, options: SealOptions, random: Random): Uint8Array {
  const head = { version: VERSION, root: options.root, counter: options.counter, lock: options.lock };
  const nonce = random.bytes(12);
  const content = encode(contentCodec, {
    serial: state.serial,
    identity: state.identity,
    destroyed: state.destroyed.packed(),
    counters: state.counters.packed(),
    witnessed: [...state.witnessed].map(([id, log]) => ({ id: Buffer.from(id, "latin1"), ...log })),
  });
  const cipher = createCipheriv("aes-256-gcm", options.key, nonce);
  cipher.setAAD(encode(headCodec, head));
  const sealed = concat(cipher.update(content), cipher.final(), cipher.getAuthTag());
  content.fill(0);
  return encode(envelopeCodec, { ...head, tries: options.tries, nonce, sealed });
}

/** What is decoded looks into bytes that are wiped. */
const copyOf = (log: WitnessedLog): WitnessedLog => ({
  ...log,
  publicKey: log.publicKey.slice(),
  root: log.root.slice(),
});

/** The same sealed state with another number of wrong tries: needs no root. */
export function withTries(envelope: Envelope, tries: number): Uint8Array {
  return encode(envelopeCodec, { ...envelope, tries });
}

/** The clear part of a saved state. @throws TAMPER_DETECTED when it is not one. */
export function readEnvelope(saved: Uint8Array): Envelope {
  try {
    const envelope = decode(envelopeCodec, saved);
    if (envelope.version === VERSION || envelope.version === FIRST_VERSION) return envelope;
  } catch (cause) {
    throw Object.assign(refuse("TAMPER_DETECTED", "the saved device state is damaged"), { cause });
  }
  throw refuse("STORAGE_NEWER", "the device state was written by a newer version of Casemate");
}

/** @throws TAMPER_DETECTED when the key does not open it. */
export function openState(envelope: Envelope, key: Uint8Array): DeviceState {
  const { version, root, counter, lock, nonce, sealed } = envelope;
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
    decipher.setAAD(encode(headCodec, { version, root, counter, lock }));
    decipher.setAuthTag(sealed.subarray(sealed.length - 16));
    const content = concat(decipher.update(sealed.subarray(0, sealed.length - 16)), decipher.final());
    const fields =
      version === FIRST_VERSION
        ? { ...decode(firstContentCodec, content), witnessed: [] }
        : decode(contentCodec, content);
    const state = {
      serial: fields.serial.slice(),
      identity: fields.identity.slice(),
      destroyed: new IdSet(fields.destroyed),
      counters: new CounterTable(fields.counters),
      witnessed: new Map(fields.witnessed.map(({ id, ...log }) => [idText(id), copyOf(log)])),
    };
    content.fill(0);
    return state;
  } catch (cause) {
    throw Object.assign(
      refuse(
        "TAMPER_DETECTED",
        "the saved device state was changed or belongs to another root of trust",
        "Restore state and root from the same backup.",
      ),
      { cause },
    );
  }
}
