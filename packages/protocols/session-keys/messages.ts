/** Casemate session keys wire v1: the bodies of requests and replies. Big-endian; every size and count is bounded by LIMITS. */
import {
  bool8,
  bytes,
  enumOf,
  fixed,
  list,
  rest,
  struct,
  tagged,
  u16,
  u32,
  u8,
  type Codec,
  type Infer,
} from "@casemate/foundation/codec";
import { LIMITS } from "./limits.ts";

const SPEC = "session keys wire v1";
/** Chosen at random by the process that holds the key: none is valid in another process. */
const id = fixed(LIMITS.keyId);
const data = bytes(u32, LIMITS.data);
const number = bytes(u16, LIMITS.number);
const publicKey = bytes(u16, LIMITS.publicKey);

export const emptyCodec: Codec<Record<never, never>> = struct("empty", SPEC, {});
export const bytesReply = struct("bytes", SPEC, { bytes: rest });

const hash = enumOf("hash", u8, {
  md5: 1,
  sha1: 2,
  sha224: 3,
  sha256: 4,
  sha384: 5,
  sha512: 6,
  "sha512-224": 7,
  "sha512-256": 8,
});
const curve = enumOf("curve", u8, {
  prime256v1: 1,
  secp384r1: 2,
  secp521r1: 3,
  secp256k1: 4,
  ed25519: 5,
  ed448: 6,
  x25519: 7,
  x448: 8,
});
/** What a secret key is for: it decides its sizes and its check value. */
const secretType = enumOf("secret type", u8, { generic: 1, aes: 2, des: 3 });

/** What may leave the process: the value as it is, the value wrapped under another key. Both can only be taken away. */
const grants = { readable: bool8, extractable: bool8 } as const;

/** `check` are the first three bytes of an encrypted block of zeros, or of the SHA-1 of a generic secret. Empty for an empty key. */
export const secretReply = struct("new secret", SPEC, { id, length: u16, check: bytes(u8, 3) });
/** SubjectPublicKeyInfo of the new pair. */
export const privateReply = struct("new private key", SPEC, { id, publicKey });
export const keyRequest = struct("key", SPEC, { id });

export const generateSecretRequest = struct("generate secret", SPEC, { type: secretType, length: u16, ...grants });
export const generateRsaRequest = struct("generate RSA", SPEC, { bits: u16, exponent: u32, ...grants });
export const generateCurveRequest = struct("generate on a curve", SPEC, { curve, ...grants });

export const importSecretRequest = struct("import secret", SPEC, {
  type: secretType,
  value: bytes(u16, LIMITS.secret),
  ...grants,
});
/** Of the numbers after `d` any may be empty: they are found from the others. */
export const importRsaRequest = struct("import RSA", SPEC, {
  n: number,
  e: number,
  d: number,
  p: number,
  q: number,
  dp: number,
  dq: number,
  qi: number,
  ...grants,
});
export const importCurveRequest = struct("import on a curve", SPEC, { curve, value: bytes(u8, 66), ...grants });
export const importPkcs8Request = struct("import PKCS#8", SPEC, { pkcs8: bytes(u16, LIMITS.privateKey), ...grants });

export const grantsRequest = struct("grants", SPEC, { id, ...grants });
export const forgetRequest = struct("forget", SPEC, { ids: list(u16, id, LIMITS.forget) });

export const partsReply = list(
  u8,
  struct("part", SPEC, {
    part: enumOf("part", u8, { value: 1, d: 2, p: 3, q: 4, dp: 5, dq: 6, qi: 7 }),
    bytes: bytes(u16, LIMITS.secret),
  }),
  8,
);

/** `rsa-raw` takes as many bytes as the modulus has; `ecdsa` takes what was hashed; `eddsa` the message. */
export const signRequest = struct("sign", SPEC, {
  id,
  scheme: enumOf("signature scheme", u8, { "rsa-raw": 1, ecdsa: 2, eddsa: 3 }),
  input: data,
});

const macAlgorithm = enumOf("MAC", u8, {
  "hmac-md5": 1,
  "hmac-sha1": 2,
  "hmac-sha224": 3,
  "hmac-sha256": 4,
  "hmac-sha384": 5,
  "hmac-sha512": 6,
  "aes-cmac": 7,
  "hmac-sha512-224": 8,
  "hmac-sha512-256": 9,
});
export const macRequest = struct("mac", SPEC, { id, algorithm: macAlgorithm, input: data });
/** A MAC may be cut: its first bytes are compared, at least one. */
export const checkMacRequest = struct("check mac", SPEC, {
  id,
  algorithm: macAlgorithm,
  input: data,
  mac: bytes(u8, LIMITS.mac),
});
export const checkMacReply = struct("checked", SPEC, { valid: bool8 });

const rsaPadding = tagged("RSA padding", u8, {
  pkcs1: [1, emptyCodec],
  oaep: [2, struct("oaep", SPEC, { hash, label: bytes(u32, LIMITS.context) })],
  none: [3, emptyCodec],
});
export const decryptRequest = struct("decrypt", SPEC, {
  id,
  padding: rsaPadding,
  input: bytes(u16, LIMITS.number),
});

const family = enumOf("block cipher", u8, { aes: 1, des: 2 });
/** Whole blocks, save for the modes that make a stream of bytes. The iv is empty for ECB. */
export const cipherRequest = struct("cipher", SPEC, {
  id,
  cipher: family,
  mode: enumOf("mode", u8, { ecb: 1, cbc: 2, ofb: 3, cfb: 4, cfb8: 5, cfb1: 6 }),
  encrypt: bool8,
  iv: bytes(u8, LIMITS.iv),
  input: data,
});
export const gcmRequest = struct("gcm", SPEC, {
  id,
  encrypt: bool8,
  nonce: bytes(u16, LIMITS.nonce),
  context: bytes(u32, LIMITS.context),
  tagLength: u8,
  input: data,
});

export const agreeRequest = struct("agree", SPEC, { id, peer: publicKey });
/** `part` takes the last bytes away at the front: CKD_NULL and its kin. */
export const deriveRequest = struct("derive", SPEC, {
  id,
  how: tagged("derivation", u8, {
    hash: [1, struct("hash", SPEC, { hash })],
    x963: [2, struct("x963", SPEC, { hash, shared: bytes(u32, LIMITS.shared) })],
    last: [3, emptyCodec],
  }),
  type: secretType,
  length: u16,
  ...grants,
});

const wrapping = tagged("wrapping", u8, {
  block: [
    1,
    struct("block", SPEC, {
      cipher: family,
      mode: enumOf("wrapping mode", u8, { ecb: 1, cbc: 2, "cbc-pad": 3 }),
      iv: bytes(u8, LIMITS.iv),
    }),
  ],
  rsa: [2, struct("rsa", SPEC, { padding: rsaPadding })],
});
export const wrapRequest = struct("wrap", SPEC, { id, how: wrapping, target: id });
export const wrapForRequest = struct("wrap for", SPEC, { publicKey, padding: rsaPadding, target: id });
/** For a device's import key: RSA-OAEP with SHA-256 of an AES key, then RFC 5649 under it. */
export const sealRequest = struct("seal", SPEC, { publicKey, target: id });
const wrapped = bytes(u16, LIMITS.wrapped);
/** `length` 0 takes all that comes out. */
export const unwrapSecretRequest = struct("unwrap secret", SPEC, {
  id,
  how: wrapping,
  wrapped,
  type: secretType,
  length: u16,
  ...grants,
});
export const unwrapPrivateRequest = struct("unwrap private key", SPEC, { id, how: wrapping, wrapped, ...grants });

export const digestRequest = struct("digest", SPEC, {
  hash,
  parts: list(
    u16,
    tagged("digested", u8, { bytes: [1, struct("bytes", SPEC, { bytes: data })], key: [2, keyRequest] }),
    LIMITS.parts,
  ),
});

export const statusReply = struct("status", SPEC, { keys: u32, most: u32 });

export type Hash = Infer<typeof hash>;
export type CurveName = Infer<typeof curve>;
export type SecretType = Infer<typeof secretType>;
export type MacAlgorithm = Infer<typeof macAlgorithm>;
export type RsaPadding = Infer<typeof rsaPadding>;
export type Wrapping = Infer<typeof wrapping>;
export type CipherRequest = Infer<typeof cipherRequest>;
export type DeriveRequest = Infer<typeof deriveRequest>;
export type Grants = { readonly readable: boolean; readonly extractable: boolean };
