// Implements: p11-kit RPC, mechanisms and their parameters (the serializers of p11-kit/rpc-message.c, 0.24 to 0.26).
import { type Reader, type Writer } from "@casemate/foundation/codec";
import { readBytes, writeBytes } from "./attribute.ts";
import { RPC_LIMITS, type RpcVersion } from "./limits.ts";
import { CKM, type MechanismName } from "./mechanism-types.ts";
import { readU64, writeU64 } from "./numbers.ts";

export type MechanismParameter =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "ulong"; readonly value: number }
  | { readonly kind: "pss"; readonly hash: number; readonly mgf: number; readonly saltLength: number }
  | {
      readonly kind: "oaep";
      readonly hash: number;
      readonly mgf: number;
      readonly source: number;
      readonly label: Uint8Array;
    }
  | { readonly kind: "ecdh"; readonly kdf: number; readonly shared: Uint8Array; readonly peer: Uint8Array }
  | { readonly kind: "ctr"; readonly bits: number; readonly block: Uint8Array }
  | {
      readonly kind: "gcm";
      readonly iv: Uint8Array;
      readonly ivBits: number;
      readonly aad: Uint8Array;
      readonly tagBits: number;
    };

/** A CK_MECHANISM. `type` is `NULL_MECHANISM` when the caller passed NULL to cancel an operation. */
export interface Mechanism {
  readonly type: number;
  readonly parameter: MechanismParameter | undefined;
}

export const NULL_MECHANISM = 0xffffffff;

type ParameterKind = MechanismParameter["kind"] | "none";

const named = (names: string): number[] =>
  names
    .trim()
    .split(/\s+/)
    .map((name) => {
      if (!Object.hasOwn(CKM, name)) throw new TypeError(`no mechanism ${name}`);
      return CKM[name as MechanismName];
    });

/** mechanism_has_no_parameters. */
const WITHOUT = named(`
  RSA_PKCS_KEY_PAIR_GEN RSA_X9_31_KEY_PAIR_GEN RSA_PKCS RSA_9796 RSA_X_509 RSA_X9_31 MD2_RSA_PKCS MD5_RSA_PKCS
  SHA1_RSA_PKCS SHA224_RSA_PKCS SHA256_RSA_PKCS SHA384_RSA_PKCS SHA512_RSA_PKCS RIPEMD128_RSA_PKCS RIPEMD160_RSA_PKCS
  SHA1_RSA_X9_31 DSA_KEY_PAIR_GEN DSA_PARAMETER_GEN DSA DSA_SHA1 FORTEZZA_TIMESTAMP EC_KEY_PAIR_GEN ECDSA ECDSA_SHA1
  ECDSA_SHA224 ECDSA_SHA256 ECDSA_SHA384 ECDSA_SHA512 EC_EDWARDS_KEY_PAIR_GEN DH_PKCS_KEY_PAIR_GEN
  DH_PKCS_PARAMETER_GEN X9_42_DH_KEY_PAIR_GEN X9_42_DH_PARAMETER_GEN KEA_KEY_PAIR_GEN GENERIC_SECRET_KEY_GEN
  RC2_KEY_GEN RC4_KEY_GEN RC4 RC5_KEY_GEN AES_KEY_GEN AES_ECB AES_MAC AES_CMAC DES_KEY_GEN DES2_KEY_GEN DES3_KEY_GEN
  CDMF_KEY_GEN CAST_KEY_GEN CAST3_KEY_GEN CAST128_KEY_GEN IDEA_KEY_GEN SSL3_PRE_MASTER_KEY_GEN TLS_PRE_MASTER_KEY_GEN
  SKIPJACK_KEY_GEN BATON_KEY_GEN JUNIPER_KEY_GEN RC2_ECB DES_ECB DES3_ECB CDMF_ECB CAST_ECB CAST3_ECB CAST128_ECB
  RC5_ECB IDEA_ECB RC2_MAC DES_MAC DES3_MAC DES3_CMAC CDMF_MAC CAST_MAC CAST3_MAC RC5_MAC IDEA_MAC SSL3_MD5_MAC
  SSL3_SHA1_MAC SKIPJACK_WRAP BATON_WRAP JUNIPER_WRAP MD2 MD2_HMAC MD5 MD5_HMAC SHA_1 SHA_1_HMAC SHA1_KEY_DERIVATION
  SHA224 SHA224_HMAC SHA224_KEY_DERIVATION SHA256 SHA256_HMAC SHA256_KEY_DERIVATION SHA384 SHA384_HMAC
  SHA384_KEY_DERIVATION SHA512 SHA512_HMAC SHA512_KEY_DERIVATION SHA512_T SHA512_T_HMAC SHA512_T_KEY_DERIVATION
  SHA512_224 SHA512_224_HMAC SHA512_224_KEY_DERIVATION SHA512_256 SHA512_256_HMAC SHA512_256_KEY_DERIVATION FASTHASH
  RIPEMD128 RIPEMD128_HMAC RIPEMD160 RIPEMD160_HMAC KEY_WRAP_LYNKS`);

const KINDS: ReadonlyMap<number, ParameterKind> = new Map<number, ParameterKind>([
  ...WITHOUT.map((type): [number, ParameterKind] => [type, "none"]),
  ...named(
    "RSA_PKCS_PSS SHA1_RSA_PKCS_PSS SHA224_RSA_PKCS_PSS SHA256_RSA_PKCS_PSS SHA384_RSA_PKCS_PSS SHA512_RSA_PKCS_PSS",
  ).map((type): [number, ParameterKind] => [type, "pss"]),
  [CKM.RSA_PKCS_OAEP, "oaep"],
  [CKM.ECDH1_DERIVE, "ecdh"],
  ...named(
    "AES_CBC AES_CBC_PAD AES_OFB AES_CFB1 AES_CFB8 AES_CFB64 AES_CFB128 AES_CTS " +
      "DES_CBC DES_CBC_PAD DES3_CBC DES3_CBC_PAD DES_CFB8 DES_CFB64 DES_OFB64 DH_PKCS_DERIVE",
  ).map((type): [number, ParameterKind] => [type, "bytes"]),
  [CKM.AES_CTR, "ctr"],
  [CKM.AES_GCM, "gcm"],
  ...named(
    "SHA_1_HMAC_GENERAL SHA224_HMAC_GENERAL SHA256_HMAC_GENERAL SHA384_HMAC_GENERAL SHA512_HMAC_GENERAL " +
      "SHA512_224_HMAC_GENERAL SHA512_256_HMAC_GENERAL AES_MAC_GENERAL AES_CMAC_GENERAL DES3_MAC_GENERAL DES3_CMAC_GENERAL",
  ).map((type): [number, ParameterKind] => [type, "ulong"]),
]);

const EMPTY = new Uint8Array(0);
const bytesOf = (reader: Reader): Uint8Array => readBytes(reader, RPC_LIMITS.attributeBytes)?.slice() ?? EMPTY;

const READERS: Readonly<Record<MechanismParameter["kind"], (reader: Reader) => MechanismParameter>> = {
  bytes: (reader) => ({ kind: "bytes", bytes: bytesOf(reader) }),
  ulong: (reader) => ({ kind: "ulong", value: readU64(reader) }),
  pss: (reader) => ({ kind: "pss", hash: readU64(reader), mgf: readU64(reader), saltLength: readU64(reader) }),
  oaep: (reader) => ({
    kind: "oaep",
    hash: readU64(reader),
    mgf: readU64(reader),
    source: readU64(reader),
    label: bytesOf(reader),
  }),
  ecdh: (reader) => ({ kind: "ecdh", kdf: readU64(reader), shared: bytesOf(reader), peer: bytesOf(reader) }),
  ctr: (reader) => ({ kind: "ctr", bits: readU64(reader), block: bytesOf(reader) }),
  gcm: (reader) => ({
    kind: "gcm",
    iv: bytesOf(reader),
    ivBits: readU64(reader),
    aad: bytesOf(reader),
    tagBits: readU64(reader),
  }),
};

function writeParameter(writer: Writer, parameter: MechanismParameter): void {
  switch (parameter.kind) {
    case "bytes":
      return writeBytes(writer, parameter.bytes);
    case "ulong":
      return writeU64(writer, parameter.value);
    case "pss":
      for (const value of [parameter.hash, parameter.mgf, parameter.saltLength]) writeU64(writer, value);
      return;
    case "oaep":
      for (const value of [parameter.hash, parameter.mgf, parameter.source]) writeU64(writer, value);
      return writeBytes(writer, parameter.label);
    case "ecdh":
      writeU64(writer, parameter.kdf);
      writeBytes(writer, parameter.shared);
      return writeBytes(writer, parameter.peer);
    case "ctr":
      writeU64(writer, parameter.bits);
      return writeBytes(writer, parameter.block);
    case "gcm":
      writeBytes(writer, parameter.iv);
      writeU64(writer, parameter.ivBits);
      writeBytes(writer, parameter.aad);
      return writeU64(writer, parameter.tagBits);
  }
}

const NONE = 0xffffffff;

/** Versions 0 and 1: all ones stand for no parameter. Version 2: nothing where there never is one, else a presence byte. */
export function readMechanism(reader: Reader, version: RpcVersion): Mechanism {
  const type = reader.u32();
  if (type === NULL_MECHANISM) return { type, parameter: undefined };
  const kind = KINDS.get(type);
  if (version === 2) {
    if (kind === "none") return { type, parameter: undefined };
    if (reader.u8() === 0) return { type, parameter: undefined };
    return { type, parameter: READERS[kind ?? "bytes"](reader) };
  }
  if (kind === "none" || kind === undefined || kind === "bytes") {
    const bytes = readBytes(reader, RPC_LIMITS.attributeBytes);
    if (bytes === undefined) return { type, parameter: undefined };
    return { type, parameter: { kind: "bytes", bytes: bytes.slice() } };
  }
  return { type, parameter: READERS[kind](reader) };
}

export function writeMechanism(writer: Writer, mechanism: Mechanism, version: RpcVersion): void {
  writer.u32(mechanism.type);
  if (mechanism.type === NULL_MECHANISM) return;
  const { parameter } = mechanism;
  if (version === 2) {
    if (KINDS.get(mechanism.type) === "none") return;
    writer.u8(parameter === undefined ? 0 : 1);
  } else if (parameter === undefined) return writer.u32(NONE);
  if (parameter !== undefined) writeParameter(writer, parameter);
}

/** What a call made of a mechanism's parameter. Only IBM's mechanisms have that; others that take a parameter say that there is none, and the rest nothing. */
export function writeParameterUpdate(writer: Writer, type: number | undefined): void {
  if (type !== undefined && KINDS.get(type) !== "none") writer.u8(0);
}
