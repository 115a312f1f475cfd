/** Casemate virtual HSM wire v1: the bodies of requests and replies. Big-endian; every size and count is bounded by LIMITS. */
import {
  bool8,
  bytes,
  enumOf,
  fixed,
  list,
  optional,
  rest,
  struct,
  u16,
  u32,
  u64,
  u8,
  utf8,
  type Codec,
  type Infer,
} from "@casemate/foundation/codec";
import {
  algorithmCodec,
  cipherSchemeCodec,
  inputKindCodec,
  macSchemeCodec,
  signSchemeCodec,
  usagesCodec,
  wrapSchemeCodec,
} from "./algorithms.ts";
import { LIMITS } from "./limits.ts";

const SPEC = "virtual HSM wire v1";
const ref = bytes(u16, LIMITS.ref);
const data = bytes(u32, LIMITS.data);
const context = bytes(u32, LIMITS.context);

/** Nothing at all. */
export const emptyCodec: Codec<Record<never, never>> = struct("empty", SPEC, {});

export const rootKindCodec = enumOf("root of trust", u8, { "key-file": 1, passphrase: 2 });
export const deviceStateCodec = enumOf("device state", u8, {
  starting: 0,
  operational: 1,
  locked: 2,
  tampered: 3,
  error: 4,
});

export const restoreRequest = struct("restore", SPEC, {
  root: rootKindCodec,
  /** What the host kept, newest first; empty on the first start. */
  generations: list(u8, bytes(u32, LIMITS.state), LIMITS.generations),
});

export const stateSave = struct("state save", SPEC, { sequence: u64, sealed: bytes(u32, LIMITS.state) });
export const saveOutcomeCodec = enumOf("save outcome", u8, { kept: 1, full: 2, failed: 3 });
export const stateSaved = struct("state saved", SPEC, { sequence: u64, outcome: saveOutcomeCodec });

export const statusReply = struct("status", SPEC, {
  state: deviceStateCodec,
  detail: utf8(u16, LIMITS.text),
  root: optional(rootKindCodec),
  serial: utf8(u8, 64),
  firmware: utf8(u8, 64),
  /** SPKI DER of the identity key; empty while the device is locked for the first time. */
  identityKey: bytes(u16, LIMITS.publicKey),
  counters: list(u8, struct("counter", SPEC, { name: utf8(u8, 64), value: u64 }), LIMITS.counterNames),
  notes: list(u8, utf8(u16, LIMITS.text), LIMITS.notes),
});
/** Pushed by the device when its state changes by itself. */
export const stateEvent = struct("state event", SPEC, { state: deviceStateCodec, detail: utf8(u16, LIMITS.text) });

export const randomRequest = struct("random", SPEC, { length: u32 });
export const bytesReply = struct("bytes", SPEC, { bytes: rest });

const spec = { algorithm: algorithmCodec, usages: usagesCodec, exportable: bool8 } as const;
export const generateRequest = struct("generate", SPEC, spec);
export const newKeyReply = struct("new key", SPEC, { ref, publicKey: optional(bytes(u16, LIMITS.publicKey)) });
export const refRequest = struct("key", SPEC, { ref });

export const signRequest = struct("sign", SPEC, {
  ref,
  scheme: signSchemeCodec,
  kind: inputKindCodec,
  inputs: list(u16, data, LIMITS.items),
});
export const verifyRequest = struct("verify", SPEC, {
  ref,
  scheme: signSchemeCodec,
  kind: inputKindCodec,
  items: list(u16, struct("item", SPEC, { input: data, signature: bytes(u32, LIMITS.signature) }), LIMITS.items),
});
export const encryptRequest = struct("encrypt", SPEC, {
  ref,
  scheme: cipherSchemeCodec,
  items: list(u16, struct("item", SPEC, { data, context, iv: bytes(u8, LIMITS.iv) }), LIMITS.items),
});
export const decryptRequest = struct("decrypt", SPEC, {
  ref,
  scheme: cipherSchemeCodec,
  items: list(u16, struct("item", SPEC, { data: bytes(u32, LIMITS.data + LIMITS.overhead), context }), LIMITS.items),
});
export const macRequest = struct("mac", SPEC, {
  ref,
  scheme: macSchemeCodec,
  inputs: list(u16, data, LIMITS.items),
});
export const checkMacRequest = struct("check mac", SPEC, {
  ref,
  scheme: macSchemeCodec,
  items: list(u16, struct("item", SPEC, { input: data, mac: bytes(u16, LIMITS.mac) }), LIMITS.items),
});

export const agreeRequest = struct("agree", SPEC, { ref, peer: bytes(u16, LIMITS.publicKey) });
export const encapsulateReply = struct("encapsulated", SPEC, {
  ciphertext: bytes(u16, LIMITS.kemCiphertext),
  sharedSecret: bytes(u8, 64),
});
export const decapsulateRequest = struct("decapsulate", SPEC, { ref, ciphertext: bytes(u16, LIMITS.kemCiphertext) });

export const exportRequest = struct("export", SPEC, { wrapping: ref, scheme: wrapSchemeCodec, target: ref });
export const importRequest = struct("import", SPEC, {
  wrapping: ref,
  scheme: wrapSchemeCodec,
  wrapped: bytes(u16, LIMITS.wrapped),
  ...spec,
});

export const dataKeysRequest = struct("data keys", SPEC, {
  ref,
  count: u16,
  bytes: u8,
  plaintext: bool8,
  context,
});
export const dataKeysReply = list(
  u16,
  struct("data key", SPEC, { wrapped: bytes(u16, 256), plaintext: optional(bytes(u8, 64)) }),
  LIMITS.dataKeys,
);

/** `publicKey` is raw X25519; `signer` (SPKI DER) signs UNLOCK_CONTEXT ‖ publicKey. Both are empty for a device that has no key to sign with while locked. */
export const challengeReply = struct("challenge", SPEC, {
  publicKey: fixed(32),
  signature: bytes(u16, 512),
  signer: bytes(u16, LIMITS.publicKey),
});
export const unlockRequest = struct("unlock", SPEC, { sealed: bytes(u16, LIMITS.unlock) });

const root = fixed(32);
/** What the device remembers of each audit log whose checkpoints it signs. */
export const witnessedLogsReply = list(
  u8,
  struct("witnessed log", SPEC, {
    /** Raw Ed25519 key that signs for the log. */
    publicKey: fixed(32),
    origin: utf8(u8, LIMITS.origin),
    /** Records of the newest checkpoint signed, and of the one before it. */
    size: u64,
    before: u64,
    root,
  }),
  LIMITS.logs,
);
/** `proof` shows that the tree continues the one that was signed last (RFC 6962 §2.1.2); empty for the first checkpoint. */
export const signCheckpointRequest = struct("sign checkpoint", SPEC, {
  ref,
  origin: utf8(u8, LIMITS.origin),
  size: u64,
  root,
  proof: list(u8, fixed(32), LIMITS.proof),
});

export type RootKind = Infer<typeof rootKindCodec>;
export type WireState = Infer<typeof deviceStateCodec>;
export type SaveOutcome = Infer<typeof saveOutcomeCodec>;
export type StatusReply = Infer<typeof statusReply>;
export type RestoreRequest = Infer<typeof restoreRequest>;
export type GenerateRequest = Infer<typeof generateRequest>;
export type SignRequest = Infer<typeof signRequest>;
export type VerifyRequest = Infer<typeof verifyRequest>;
export type EncryptRequest = Infer<typeof encryptRequest>;
export type DecryptRequest = Infer<typeof decryptRequest>;
export type MacRequest = Infer<typeof macRequest>;
export type CheckMacRequest = Infer<typeof checkMacRequest>;
export type ImportRequest = Infer<typeof importRequest>;
export type ExportRequest = Infer<typeof exportRequest>;
export type DataKeysRequest = Infer<typeof dataKeysRequest>;
export type SignCheckpointRequest = Infer<typeof signCheckpointRequest>;
