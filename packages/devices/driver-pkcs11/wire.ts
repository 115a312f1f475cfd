// Implements: Casemate vendor host wire v1: contract operations as the virtual HSM's wire has them, and those that only a token needs.
import {
  bool8,
  bytes,
  decode,
  encode,
  enumOf,
  flags,
  list,
  optional,
  struct,
  u16,
  u32,
  u64,
  u8,
  utf8,
  type Codec,
  type Infer,
} from "@casemate/foundation/codec";
import { LIMITS, OPERATIONS as HSM } from "@casemate/protocols/hsm";
import { algorithmCodec, MOST_ID, MOST_LABEL } from "./key-ref.ts";
import { planCodec } from "./plan.ts";

const SPEC = "vendor host wire v1";
const PATH_BYTES = 4096;
const ref = bytes(u16, LIMITS.ref);
const empty: Codec<Record<never, never>> = struct("empty", SPEC, {});
const usages = flags("usages", u8, { sign: 0, encrypt: 1, mac: 2, agree: 3, kem: 4, wrap: 5 });
const wrapScheme = enumOf("wrap scheme", u8, { "aes-kw": 1, "aes-kwp": 2, "rsa-aes-kwp": 3 });

const spec = { algorithm: algorithmCodec, usages, exportable: bool8, label: utf8(u16, 1024) } as const;

/** CKA_ID of a key to be made. */
const keyId = bytes(u8, 32);

const connectRequest = struct("connect", SPEC, {
  /** Directory of the pkcs11js package. */
  addon: utf8(u16, PATH_BYTES),
  module: utf8(u16, PATH_BYTES),
  token: utf8(u8, 128),
  /** Threads that will call the module. */
  threads: u8,
});
const connectReply = struct("connected", SPEC, {
  maker: utf8(u8, 255),
  model: utf8(u8, 255),
  serial: utf8(u8, 255),
  firmware: utf8(u8, 255),
  library: utf8(u8, 255),
  slot: u64,
  /** C_Initialize accepted calls from several threads, and this many sessions may be open. */
  threads: u8,
  loginRequired: bool8,
  /** How many wrong PINs the token still bears. */
  pin: enumOf("pin state", u8, { fine: 1, low: 2, final: 3, locked: 4, unset: 5 }),
  plan: planCodec,
});
const attachRequest = struct("attach", SPEC, {
  addon: utf8(u16, PATH_BYTES),
  module: utf8(u16, PATH_BYTES),
  token: utf8(u8, 128),
  slot: u64,
  plan: planCodec,
});

const listedObject = struct("object", SPEC, {
  ref,
  label: utf8(u16, MOST_LABEL),
  id: bytes(u8, MOST_ID),
  algorithm: optional(algorithmCodec),
  usages,
  publicKey: optional(bytes(u16, LIMITS.publicKey)),
});

export interface Operation<Q, R> {
  readonly op: number;
  readonly request: Codec<Q>;
  readonly reply: Codec<R>;
}
const operation = <Q, R>(op: number, request: Codec<Q>, reply: Codec<R>): Operation<Q, R> => ({ op, request, reply });

export const OPERATIONS = {
  random: HSM.random,
  publicKey: HSM.publicKey,
  destroy: HSM.destroy,
  sign: HSM.sign,
  verify: HSM.verify,
  encrypt: HSM.encrypt,
  decrypt: HSM.decrypt,
  mac: HSM.mac,
  checkMac: HSM.checkMac,
  agree: HSM.agree,
  exportKey: HSM.exportKey,
  dataKeys: HSM.dataKeys,
  challenge: HSM.challenge,
  /** Logs in with the PIN inside the message. */
  unlock: HSM.unlock,
  /** Loads the module, finds the token, opens a session. Once, on the first channel. */
  connect: operation(64, connectRequest, connectReply),
  /** Tries what the mechanisms promise, once logged in. */
  probe: operation(65, empty, planCodec),
  /** Makes a further thread ready: its own session at the token that is connected. */
  attach: operation(66, attachRequest, empty),
  /** Whether token, session and login are still there. */
  health: operation(67, empty, empty),
  generate: operation(68, struct("generate", SPEC, { id: keyId, ...spec }), HSM.generate.reply),
  importKey: operation(
    69,
    struct("import", SPEC, {
      wrapping: ref,
      scheme: wrapScheme,
      wrapped: bytes(u16, LIMITS.wrapped),
      id: keyId,
      ...spec,
    }),
    HSM.generate.reply,
  ),
  list: operation(
    70,
    struct("list", SPEC, { skip: u32 }),
    struct("objects", SPEC, { next: u32, objects: list(u16, listedObject, 1000) }),
  ),
  /** A reference that this thread must not resolve any more, or may again. */
  forget: operation(71, struct("forget", SPEC, { ref, gone: bool8 }), empty),
  /** `unlock` that answers with the PIN, encrypted by RSA-OAEP with SHA-256 to the recipient's SPKI under the label. */
  unlockKeeping: operation(
    72,
    struct("unlock keeping", SPEC, {
      sealed: bytes(u16, LIMITS.unlock),
      recipient: bytes(u16, LIMITS.publicKey),
      label: bytes(u8, 255),
    }),
    struct("kept", SPEC, { pin: bytes(u16, 1024) }),
  ),
  /** Destroys what `generate` or `importKey` with that id left, of which no answer came. */
  takeBack: operation(73, struct("take back", SPEC, { id: keyId }), struct("taken", SPEC, { objects: u32 })),
} as const;

export type OperationName = keyof typeof OPERATIONS;
export type RequestOf<N extends OperationName> = Infer<(typeof OPERATIONS)[N]["request"]>;
export type ReplyOf<N extends OperationName> = Infer<(typeof OPERATIONS)[N]["reply"]>;

export type Handlers = {
  readonly [N in OperationName]: (request: RequestOf<N>) => ReplyOf<N>;
};

const BY_NUMBER: ReadonlyMap<number, OperationName> = new Map(
  Object.entries(OPERATIONS).map(([name, { op }]) => [op, name as OperationName]),
);

/** @throws undefined operation: the caller answers NOT_SUPPORTED. */
export function operationNumbered(op: number): OperationName | undefined {
  return BY_NUMBER.get(op);
}

export const encodeRequest = <N extends OperationName>(name: N, request: RequestOf<N>): Uint8Array =>
  encode(OPERATIONS[name].request as Codec<unknown>, request);

export const decodeReply = <N extends OperationName>(name: N, body: Uint8Array): ReplyOf<N> =>
  decode(OPERATIONS[name].reply as Codec<unknown>, body) as ReplyOf<N>;

export const decodeRequest = <N extends OperationName>(name: N, body: Uint8Array): RequestOf<N> =>
  decode(OPERATIONS[name].request as Codec<unknown>, body) as RequestOf<N>;

export const encodeReply = <N extends OperationName>(name: N, reply: ReplyOf<N>): Uint8Array =>
  encode(OPERATIONS[name].reply as Codec<unknown>, reply);
