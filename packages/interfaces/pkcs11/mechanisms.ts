// Implements: PKCS #11 v3.0 Current Mechanisms, what Casemate does with each; one row per mechanism, read by every handler.
import { CKF, CKK, CKM, type MechanismName } from "@casemate/protocols/p11-rpc";

export type Hash = "md5" | "sha1" | "sha224" | "sha256" | "sha384" | "sha512" | "sha512-224" | "sha512-256";

/** `cts` is CBC with ciphertext stealing (CS1); `cfb` feeds whole blocks back, the others bytes and bits. */
type Mode = "ecb" | "cbc" | "cbc-pad" | "cts" | "ctr" | "ofb" | "cfb" | "cfb8" | "cfb1";

export type SignSpec =
  | { readonly kind: "rsa-pkcs1" | "rsa-pss" | "ecdsa"; readonly hash?: Hash }
  | { readonly kind: "rsa-x509" | "eddsa" }
  | { readonly kind: "hmac"; readonly hash: Hash; readonly general: boolean }
  | { readonly kind: "cmac"; readonly general: boolean };

export type CipherSpec =
  | { readonly kind: "rsa-pkcs1" | "rsa-oaep" | "rsa-x509" }
  | { readonly kind: "block"; readonly cipher: "aes" | "des"; readonly mode: Mode }
  | { readonly kind: "gcm" };

export interface MechanismRow {
  readonly type: number;
  readonly name: MechanismName;
  /** Key types that it works with; empty for digests. */
  readonly keyTypes: readonly number[];
  /** Smallest and largest key, in the unit that the standard gives the mechanism (bits for RSA and EC, bytes for secrets). */
  readonly sizes: readonly [number, number];
  readonly digest?: Hash;
  readonly sign?: SignSpec;
  readonly cipher?: CipherSpec;
  /** C_GenerateKey makes this type. */
  readonly generate?: number;
  /** C_GenerateKeyPair makes this type. */
  readonly generatePair?: number;
  readonly derive?: "ecdh" | Hash;
  /** Wraps with the device's own wrapping, never through plaintext. */
  readonly wrap?: "aes-kw" | "aes-kwp" | "rsa-aes-kwp";
  readonly flags: number;
}

const RSA = [CKK.RSA];
const EC = [CKK.EC];
const GENERIC = [
  CKK.GENERIC_SECRET,
  CKK.MD5_HMAC,
  CKK.SHA_1_HMAC,
  CKK.SHA224_HMAC,
  CKK.SHA256_HMAC,
  CKK.SHA384_HMAC,
  CKK.SHA512_HMAC,
  CKK.SHA512_224_HMAC,
  CKK.SHA512_256_HMAC,
];
/**
 * What C_GetMechanismInfo promises is true of every key, in a device or of the session: 2048 bits and more (NIST SP 800-131A).
 * A smaller session key is made and used when an application asks for it all the same.
 */
const RSA_BITS = [2048, 4096] as const;
export const SMALLEST_SESSION_RSA = 1024;
const EC_BITS = [256, 521] as const;
const AES_BYTES = [16, 32] as const;
const SECRET_BYTES = [1, 4096] as const;
/** CKM_GENERIC_SECRET_KEY_GEN tells its sizes in bits. */
const SECRET_BITS = [8, 32_768] as const;

const EC_FLAGS = CKF.EC_F_P | CKF.EC_NAMEDCURVE | CKF.EC_UNCOMPRESS;
const SIGNS = CKF.SIGN | CKF.VERIFY;
const RECOVERS = CKF.SIGN_RECOVER | CKF.VERIFY_RECOVER;
const CIPHERS = CKF.ENCRYPT | CKF.DECRYPT;
const WRAPS = CKF.WRAP | CKF.UNWRAP;

type Row = Omit<MechanismRow, "type" | "name">;

const digest = (hash: Hash): Row => ({ keyTypes: [], sizes: [0, 0], digest: hash, flags: CKF.DIGEST });
const rsaSign = (kind: "rsa-pkcs1" | "rsa-pss", hash?: Hash): Row => ({
  keyTypes: RSA,
  sizes: RSA_BITS,
  sign: { kind, ...(hash === undefined ? {} : { hash }) },
  flags: SIGNS,
});
const ecdsa = (hash?: Hash): Row => ({
  keyTypes: EC,
  sizes: EC_BITS,
  sign: { kind: "ecdsa", ...(hash === undefined ? {} : { hash }) },
  flags: SIGNS | EC_FLAGS,
});
const hmac = (hash: Hash, general: boolean): Row => ({
  keyTypes: GENERIC,
  sizes: SECRET_BYTES,
  sign: { kind: "hmac", hash, general },
  flags: SIGNS,
});
const cmac = (general: boolean): Row => ({
  keyTypes: [CKK.AES],
  sizes: AES_BYTES,
  sign: { kind: "cmac", general },
  flags: SIGNS,
});
const aes = (mode: Mode): Row => ({
  keyTypes: [CKK.AES],
  sizes: AES_BYTES,
  cipher: { kind: "block", cipher: "aes", mode },
  flags: CIPHERS | WRAPS,
});
const des = (keyTypes: readonly number[], size: number, mode: "ecb" | "cbc" | "cbc-pad"): Row => ({
  keyTypes,
  sizes: [size, size],
  cipher: { kind: "block", cipher: "des", mode },
  flags: CIPHERS | WRAPS,
});
const generate = (keyType: number, sizes: readonly [number, number]): Row => ({
  keyTypes: [keyType],
  sizes,
  generate: keyType,
  flags: CKF.GENERATE,
});
const derivation = (hash: Hash): Row => ({
  keyTypes: [...GENERIC, CKK.AES],
  sizes: SECRET_BYTES,
  derive: hash,
  flags: CKF.DERIVE,
});
const wrap = (kind: NonNullable<MechanismRow["wrap"]>, keyType: number, sizes: readonly [number, number]): Row => ({
  keyTypes: [keyType],
  sizes,
  wrap: kind,
  flags: WRAPS,
});

const ROWS: Readonly<Partial<Record<MechanismName, Row>>> = {
  RSA_PKCS_KEY_PAIR_GEN: { keyTypes: RSA, sizes: RSA_BITS, generatePair: CKK.RSA, flags: CKF.GENERATE_KEY_PAIR },
  RSA_PKCS: {
    keyTypes: RSA,
    sizes: RSA_BITS,
    sign: { kind: "rsa-pkcs1" },
    cipher: { kind: "rsa-pkcs1" },
    flags: SIGNS | RECOVERS | CIPHERS | WRAPS,
  },
  RSA_X_509: {
    keyTypes: RSA,
    sizes: RSA_BITS,
    sign: { kind: "rsa-x509" },
    cipher: { kind: "rsa-x509" },
    flags: SIGNS | RECOVERS | CIPHERS,
  },
  RSA_PKCS_OAEP: { keyTypes: RSA, sizes: RSA_BITS, cipher: { kind: "rsa-oaep" }, flags: CIPHERS | WRAPS },
  MD5_RSA_PKCS: rsaSign("rsa-pkcs1", "md5"),
  SHA1_RSA_PKCS: rsaSign("rsa-pkcs1", "sha1"),
  SHA224_RSA_PKCS: rsaSign("rsa-pkcs1", "sha224"),
  SHA256_RSA_PKCS: rsaSign("rsa-pkcs1", "sha256"),
  SHA384_RSA_PKCS: rsaSign("rsa-pkcs1", "sha384"),
  SHA512_RSA_PKCS: rsaSign("rsa-pkcs1", "sha512"),
  RSA_PKCS_PSS: rsaSign("rsa-pss"),
  SHA1_RSA_PKCS_PSS: rsaSign("rsa-pss", "sha1"),
  SHA224_RSA_PKCS_PSS: rsaSign("rsa-pss", "sha224"),
  SHA256_RSA_PKCS_PSS: rsaSign("rsa-pss", "sha256"),
  SHA384_RSA_PKCS_PSS: rsaSign("rsa-pss", "sha384"),
  SHA512_RSA_PKCS_PSS: rsaSign("rsa-pss", "sha512"),
  EC_KEY_PAIR_GEN: {
    keyTypes: EC,
    sizes: EC_BITS,
    generatePair: CKK.EC,
    flags: CKF.GENERATE_KEY_PAIR | EC_FLAGS,
  },
  ECDSA: ecdsa(),
  ECDSA_SHA1: ecdsa("sha1"),
  ECDSA_SHA224: ecdsa("sha224"),
  ECDSA_SHA256: ecdsa("sha256"),
  ECDSA_SHA384: ecdsa("sha384"),
  ECDSA_SHA512: ecdsa("sha512"),
  EC_MONTGOMERY_KEY_PAIR_GEN: {
    keyTypes: [CKK.EC_MONTGOMERY],
    sizes: [255, 448],
    generatePair: CKK.EC_MONTGOMERY,
    flags: CKF.GENERATE_KEY_PAIR | EC_FLAGS,
  },
  ECDH1_DERIVE: {
    keyTypes: [...EC, CKK.EC_MONTGOMERY],
    sizes: [255, 521],
    derive: "ecdh",
    flags: CKF.DERIVE | EC_FLAGS,
  },
  EC_EDWARDS_KEY_PAIR_GEN: {
    keyTypes: [CKK.EC_EDWARDS],
    sizes: [255, 448],
    generatePair: CKK.EC_EDWARDS,
    flags: CKF.GENERATE_KEY_PAIR | EC_FLAGS,
  },
  EDDSA: { keyTypes: [CKK.EC_EDWARDS], sizes: [255, 448], sign: { kind: "eddsa" }, flags: SIGNS | EC_FLAGS },
  GENERIC_SECRET_KEY_GEN: generate(CKK.GENERIC_SECRET, SECRET_BITS),
  AES_KEY_GEN: generate(CKK.AES, AES_BYTES),
  AES_ECB: aes("ecb"),
  AES_CBC: aes("cbc"),
  AES_CBC_PAD: aes("cbc-pad"),
  AES_CTS: { ...aes("cts"), flags: CIPHERS },
  AES_CTR: { ...aes("ctr"), flags: CIPHERS },
  AES_OFB: { ...aes("ofb"), flags: CIPHERS },
  AES_CFB8: { ...aes("cfb8"), flags: CIPHERS },
  AES_CFB128: { ...aes("cfb"), flags: CIPHERS },
  AES_CFB1: { ...aes("cfb1"), flags: CIPHERS },
  AES_GCM: { keyTypes: [CKK.AES], sizes: AES_BYTES, cipher: { kind: "gcm" }, flags: CIPHERS },
  AES_CMAC: cmac(false),
  AES_CMAC_GENERAL: cmac(true),
  AES_KEY_WRAP: wrap("aes-kw", CKK.AES, AES_BYTES),
  AES_KEY_WRAP_KWP: wrap("aes-kwp", CKK.AES, AES_BYTES),
  RSA_AES_KEY_WRAP: wrap("rsa-aes-kwp", CKK.RSA, RSA_BITS),
  // DES is for an application's own session keys alone: no device makes or holds one.
  DES_KEY_GEN: generate(CKK.DES, [8, 8]),
  DES2_KEY_GEN: generate(CKK.DES2, [16, 16]),
  DES3_KEY_GEN: generate(CKK.DES3, [24, 24]),
  DES_ECB: des([CKK.DES], 8, "ecb"),
  DES_CBC: des([CKK.DES], 8, "cbc"),
  DES_CBC_PAD: des([CKK.DES], 8, "cbc-pad"),
  DES3_ECB: des([CKK.DES2, CKK.DES3], 24, "ecb"),
  DES3_CBC: des([CKK.DES2, CKK.DES3], 24, "cbc"),
  DES3_CBC_PAD: des([CKK.DES2, CKK.DES3], 24, "cbc-pad"),
  MD5: digest("md5"),
  SHA_1: digest("sha1"),
  SHA224: digest("sha224"),
  SHA256: digest("sha256"),
  SHA384: digest("sha384"),
  SHA512: digest("sha512"),
  SHA512_224: digest("sha512-224"),
  SHA512_256: digest("sha512-256"),
  MD5_HMAC: hmac("md5", false),
  SHA_1_HMAC: hmac("sha1", false),
  SHA224_HMAC: hmac("sha224", false),
  SHA256_HMAC: hmac("sha256", false),
  SHA384_HMAC: hmac("sha384", false),
  SHA512_HMAC: hmac("sha512", false),
  SHA512_224_HMAC: hmac("sha512-224", false),
  SHA512_256_HMAC: hmac("sha512-256", false),
  MD5_HMAC_GENERAL: hmac("md5", true),
  SHA_1_HMAC_GENERAL: hmac("sha1", true),
  SHA224_HMAC_GENERAL: hmac("sha224", true),
  SHA256_HMAC_GENERAL: hmac("sha256", true),
  SHA384_HMAC_GENERAL: hmac("sha384", true),
  SHA512_HMAC_GENERAL: hmac("sha512", true),
  SHA512_224_HMAC_GENERAL: hmac("sha512-224", true),
  SHA512_256_HMAC_GENERAL: hmac("sha512-256", true),
  SHA1_KEY_DERIVATION: derivation("sha1"),
  SHA224_KEY_DERIVATION: derivation("sha224"),
  SHA256_KEY_DERIVATION: derivation("sha256"),
  SHA384_KEY_DERIVATION: derivation("sha384"),
  SHA512_KEY_DERIVATION: derivation("sha512"),
  SHA512_224_KEY_DERIVATION: derivation("sha512-224"),
  SHA512_256_KEY_DERIVATION: derivation("sha512-256"),
};

export const MECHANISMS: ReadonlyMap<number, MechanismRow> = new Map(
  Object.entries(ROWS).map(([name, row]) => {
    const type = CKM[name as MechanismName];
    return [type, { ...row, type, name: name as MechanismName }];
  }),
);

export const HASH_BYTES: Readonly<Record<Hash, number>> = {
  md5: 16,
  sha1: 20,
  sha224: 28,
  sha256: 32,
  sha384: 48,
  sha512: 64,
  "sha512-224": 28,
  "sha512-256": 32,
};

/** The hash that a CKM_SHA… number in a parameter means. */
export const HASH_BY_MECHANISM: ReadonlyMap<number, Hash> = new Map([
  [CKM.MD5, "md5"],
  [CKM.SHA_1, "sha1"],
  [CKM.SHA224, "sha224"],
  [CKM.SHA256, "sha256"],
  [CKM.SHA384, "sha384"],
  [CKM.SHA512, "sha512"],
]);
