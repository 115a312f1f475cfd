// Implements: OASIS PKCS #11 v3.0 §2 (mechanisms), RFC 5480 §2.1.1.1 and RFC 8410 §3 (curve identifiers), as rows of one table.
import type { CipherScheme, KeyAlgorithm, MacScheme, SignScheme, WrapScheme } from "@casemate/devices/contract";
import { fromHex, toUtf8 } from "@casemate/foundation/bytes";
import { CKF, CKK, CKM } from "@casemate/protocols/p11-rpc";

export type Hash = "sha256" | "sha384" | "sha512";
export type OaepHash = Hash | "sha1";

export interface Curve {
  /** CKA_EC_PARAMS as an object identifier. */
  readonly oid: Uint8Array;
  /** The same as a PrintableString: what some modules want for the curves of RFC 7748 and RFC 8032. */
  readonly printable?: Uint8Array;
  /** SubjectPublicKeyInfo DER up to the public key's own bytes. */
  readonly spkiPrefix: Uint8Array;
  /** Bytes of a coordinate, or of the whole public key where it is one string. */
  readonly size: number;
  /** ECDSA: bytes of the group's order, to which longer digests are cut. */
  readonly orderBytes: number;
}

export interface AlgorithmRow {
  readonly keyType: number;
  readonly generate: number;
  /** What C_GetMechanismInfo counts for `generate`: modulus or order bits; key bytes for AES. */
  readonly size: number;
  readonly curve?: Curve;
}

const printable = (name: string): Uint8Array => Uint8Array.of(0x13, name.length, ...toUtf8(name));

const weierstrass = (oid: string, size: number, spkiPrefix: string): Curve => ({
  oid: fromHex(oid),
  spkiPrefix: fromHex(spkiPrefix),
  size,
  orderBytes: size,
});
const modern = (oid: string, name: string, size: number, spkiPrefix: string): Curve => ({
  oid: fromHex(oid),
  printable: printable(name),
  spkiPrefix: fromHex(spkiPrefix),
  size,
  orderBytes: 0,
});

const rsa = (size: number): AlgorithmRow => ({ keyType: CKK.RSA, generate: CKM.RSA_PKCS_KEY_PAIR_GEN, size });
const ec = (size: number, curve: Curve): AlgorithmRow => ({
  keyType: CKK.EC,
  generate: CKM.EC_KEY_PAIR_GEN,
  size,
  curve,
});
const edwards = (size: number, curve: Curve): AlgorithmRow => ({
  keyType: CKK.EC_EDWARDS,
  generate: CKM.EC_EDWARDS_KEY_PAIR_GEN,
  size,
  curve,
});
const montgomery = (size: number, curve: Curve): AlgorithmRow => ({
  keyType: CKK.EC_MONTGOMERY,
  generate: CKM.EC_MONTGOMERY_KEY_PAIR_GEN,
  size,
  curve,
});
const aes = (size: number): AlgorithmRow => ({ keyType: CKK.AES, generate: CKM.AES_KEY_GEN, size });
const hmac = (size: number): AlgorithmRow => ({
  keyType: CKK.GENERIC_SECRET,
  generate: CKM.GENERIC_SECRET_KEY_GEN,
  size,
});

/** Every key algorithm this driver knows; a device offers those that it has and that were found to work. */
export const ALGORITHM_ROWS: ReadonlyMap<KeyAlgorithm, AlgorithmRow> = new Map<KeyAlgorithm, AlgorithmRow>([
  ["rsa-2048", rsa(2048)],
  ["rsa-3072", rsa(3072)],
  ["rsa-4096", rsa(4096)],
  ["ec-p256", ec(256, weierstrass("06082a8648ce3d030107", 32, "3059301306072a8648ce3d020106082a8648ce3d030107034200"))],
  ["ec-p384", ec(384, weierstrass("06052b81040022", 48, "3076301006072a8648ce3d020106052b81040022036200"))],
  ["ec-p521", ec(521, weierstrass("06052b81040023", 66, "30819b301006072a8648ce3d020106052b8104002303818600"))],
  ["ec-secp256k1", ec(256, weierstrass("06052b8104000a", 32, "3056301006072a8648ce3d020106052b8104000a034200"))],
  ["ed25519", edwards(255, modern("06032b6570", "edwards25519", 32, "302a300506032b6570032100"))],
  ["ed448", edwards(448, modern("06032b6571", "edwards448", 57, "3043300506032b6571033a00"))],
  ["x25519", montgomery(255, modern("06032b656e", "curve25519", 32, "302a300506032b656e032100"))],
  ["x448", montgomery(448, modern("06032b656f", "curve448", 56, "3042300506032b656f033900"))],
  ["aes-128", aes(16)],
  ["aes-192", aes(24)],
  ["aes-256", aes(32)],
  ["hmac-sha256", hmac(32)],
  ["hmac-sha384", hmac(48)],
  ["hmac-sha512", hmac(64)],
]);

/** How a signature is made: the caller's hash and a mechanism over its digest, or a mechanism that hashes by itself. */
export interface SignRow {
  readonly keyTypes: readonly number[];
  readonly hash?: Hash;
  /** Takes a digest (or the encoded block). */
  readonly raw: number;
  /** Takes the message; used where a module has no `raw`. */
  readonly hashing?: number;
  readonly pss?: boolean;
}

const pkcs1 = (hash: Hash, hashing: number): SignRow => ({ keyTypes: [CKK.RSA], hash, raw: CKM.RSA_PKCS, hashing });
const pss = (hash: Hash, hashing: number): SignRow => ({
  keyTypes: [CKK.RSA],
  hash,
  raw: CKM.RSA_PKCS_PSS,
  hashing,
  pss: true,
});
const ecdsa = (hash: Hash, hashing: number): SignRow => ({ keyTypes: [CKK.EC], hash, raw: CKM.ECDSA, hashing });

export const SIGN_ROWS: ReadonlyMap<SignScheme, SignRow> = new Map<SignScheme, SignRow>([
  ["rsa-pkcs1-sha256", pkcs1("sha256", CKM.SHA256_RSA_PKCS)],
  ["rsa-pkcs1-sha384", pkcs1("sha384", CKM.SHA384_RSA_PKCS)],
  ["rsa-pkcs1-sha512", pkcs1("sha512", CKM.SHA512_RSA_PKCS)],
  ["rsa-pkcs1-raw", { keyTypes: [CKK.RSA], raw: CKM.RSA_PKCS }],
  ["rsa-pss-sha256", pss("sha256", CKM.SHA256_RSA_PKCS_PSS)],
  ["rsa-pss-sha384", pss("sha384", CKM.SHA384_RSA_PKCS_PSS)],
  ["rsa-pss-sha512", pss("sha512", CKM.SHA512_RSA_PKCS_PSS)],
  ["rsa-raw", { keyTypes: [CKK.RSA], raw: CKM.RSA_X_509 }],
  ["ecdsa-sha256", ecdsa("sha256", CKM.ECDSA_SHA256)],
  ["ecdsa-sha384", ecdsa("sha384", CKM.ECDSA_SHA384)],
  ["ecdsa-sha512", ecdsa("sha512", CKM.ECDSA_SHA512)],
  ["ecdsa-raw", { keyTypes: [CKK.EC], raw: CKM.ECDSA }],
  ["pure", { keyTypes: [CKK.EC_EDWARDS], raw: CKM.EDDSA }],
]);

/** DigestInfo up to the digest (RFC 8017 §9.2 note 1). */
export const DIGEST_INFO: Readonly<Record<Hash, Uint8Array>> = {
  sha256: fromHex("3031300d060960864801650304020105000420"),
  sha384: fromHex("3041300d060960864801650304020205000430"),
  sha512: fromHex("3051300d060960864801650304020305000440"),
};

export interface CipherRow {
  readonly keyType: number;
  readonly mechanism: number;
  readonly oaep?: OaepHash;
}

export const CIPHER_ROWS: ReadonlyMap<CipherScheme, CipherRow> = new Map<CipherScheme, CipherRow>([
  ["aes-gcm", { keyType: CKK.AES, mechanism: CKM.AES_GCM }],
  ["aes-cbc", { keyType: CKK.AES, mechanism: CKM.AES_CBC_PAD }],
  ["aes-ctr", { keyType: CKK.AES, mechanism: CKM.AES_CTR }],
  ["aes-ecb", { keyType: CKK.AES, mechanism: CKM.AES_ECB }],
  ["rsa-oaep-sha256", { keyType: CKK.RSA, mechanism: CKM.RSA_PKCS_OAEP, oaep: "sha256" }],
  ["rsa-oaep-sha384", { keyType: CKK.RSA, mechanism: CKM.RSA_PKCS_OAEP, oaep: "sha384" }],
  ["rsa-oaep-sha512", { keyType: CKK.RSA, mechanism: CKM.RSA_PKCS_OAEP, oaep: "sha512" }],
  ["rsa-oaep-sha1", { keyType: CKK.RSA, mechanism: CKM.RSA_PKCS_OAEP, oaep: "sha1" }],
]);

export const MAC_ROWS: ReadonlyMap<MacScheme, { readonly mechanism: number; readonly bytes: number }> = new Map([
  ["hmac-sha256", { mechanism: CKM.SHA256_HMAC, bytes: 32 }],
  ["hmac-sha384", { mechanism: CKM.SHA384_HMAC, bytes: 48 }],
  ["hmac-sha512", { mechanism: CKM.SHA512_HMAC, bytes: 64 }],
  ["aes-cmac", { mechanism: CKM.AES_CMAC, bytes: 16 }],
]);

/** RFC 5649 has two numbers: the first is unambiguous, the second pads by PKCS #7 in some modules and by RFC 5649 in others. */
export const WRAP_ROWS: ReadonlyMap<WrapScheme, { readonly keyType: number; readonly mechanism: number }> = new Map([
  ["aes-kw", { keyType: CKK.AES, mechanism: CKM.AES_KEY_WRAP }],
  ["aes-kwp", { keyType: CKK.AES, mechanism: CKM.AES_KEY_WRAP_KWP }],
  ["rsa-aes-kwp", { keyType: CKK.RSA, mechanism: CKM.RSA_PKCS_OAEP }],
]);

/** Operations of C_GetMechanismInfo's flags, by the name this driver uses. */
export const FLAG = {
  sign: CKF.SIGN,
  verify: CKF.VERIFY,
  encrypt: CKF.ENCRYPT,
  decrypt: CKF.DECRYPT,
  wrap: CKF.WRAP,
  unwrap: CKF.UNWRAP,
  derive: CKF.DERIVE,
  generate: CKF.GENERATE,
  generatePair: CKF.GENERATE_KEY_PAIR,
} as const;
