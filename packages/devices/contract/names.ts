/** The names of algorithms, schemes and usages as everything above the driver line spells them. */

export const KEY_ALGORITHMS = [
  "rsa-2048",
  "rsa-3072",
  "rsa-4096",
  "ec-p256",
  "ec-p384",
  "ec-p521",
  "ec-secp256k1",
  "ed25519",
  "ed448",
  "x25519",
  "x448",
  "aes-128",
  "aes-192",
  "aes-256",
  "hmac-sha256",
  "hmac-sha384",
  "hmac-sha512",
  "ml-dsa-44",
  "ml-dsa-65",
  "ml-dsa-87",
  "ml-kem-512",
  "ml-kem-768",
  "ml-kem-1024",
  "slh-dsa-sha2-128s",
  "slh-dsa-sha2-128f",
  "slh-dsa-sha2-192s",
  "slh-dsa-sha2-192f",
  "slh-dsa-sha2-256s",
  "slh-dsa-sha2-256f",
  "slh-dsa-shake-128s",
  "slh-dsa-shake-128f",
  "slh-dsa-shake-192s",
  "slh-dsa-shake-192f",
  "slh-dsa-shake-256s",
  "slh-dsa-shake-256f",
] as const;
export type KeyAlgorithm = (typeof KEY_ALGORITHMS)[number];

export const SIGN_SCHEMES = [
  "rsa-pkcs1-sha256",
  "rsa-pkcs1-sha384",
  "rsa-pkcs1-sha512",
  /** PKCS#1 v1.5 type 1 padding around bytes the caller encoded (a DigestInfo, usually). */
  "rsa-pkcs1-raw",
  "rsa-pss-sha256",
  "rsa-pss-sha384",
  "rsa-pss-sha512",
  /** Exactly modulus-length bytes, no padding: for encodings made by the caller. */
  "rsa-raw",
  "ecdsa-sha256",
  "ecdsa-sha384",
  "ecdsa-sha512",
  /** A digest of any hash, 1 to 66 bytes; the leftmost bits count (FIPS 186-5 §6.4.1). */
  "ecdsa-raw",
  /** Ed25519, Ed448, ML-DSA and SLH-DSA over the message itself, no outer hash. */
  "pure",
  /** The same over a hash: Ed25519ph is `prehash-sha512`, Ed448ph `prehash-shake256` (64 bytes), HashML-DSA and HashSLH-DSA any that is strong enough. */
  "prehash-sha256",
  "prehash-sha384",
  "prehash-sha512",
  "prehash-shake256",
] as const;
export type SignScheme = (typeof SIGN_SCHEMES)[number];

export const CIPHER_SCHEMES = [
  /** Ciphertext is nonce(12) ‖ body ‖ tag(16); the device makes the nonce. */
  "aes-gcm",
  /** Ciphertext is iv(16) ‖ body, PKCS#7 padded; the device makes the iv. No integrity. */
  "aes-cbc",
  /** Ciphertext is counter(16) ‖ body; the device makes the start counter. No integrity. */
  "aes-ctr",
  /** Single blocks without chaining, for PKCS#11 CKM_AES_ECB only. */
  "aes-ecb",
  "rsa-oaep-sha256",
  "rsa-oaep-sha384",
  "rsa-oaep-sha512",
  /** What RSA-OAEP means where nobody names a hash (RFC 8017 §A.2.1): OAEP asks of its hash nothing that SHA-1 lost. */
  "rsa-oaep-sha1",
  /** PKCS#1 v1.5 encryption with implicit rejection, for PKCS#11 CKM_RSA_PKCS only. */
  "rsa-pkcs1",
] as const;
export type CipherScheme = (typeof CIPHER_SCHEMES)[number];

export const MAC_SCHEMES = ["hmac-sha256", "hmac-sha384", "hmac-sha512", "aes-cmac"] as const;
export type MacScheme = (typeof MAC_SCHEMES)[number];

/** RFC 3394, RFC 5649, and PKCS#11 CKM_RSA_AES_KEY_WRAP with OAEP SHA-256. */
export const WRAP_SCHEMES = ["aes-kw", "aes-kwp", "rsa-aes-kwp"] as const;
export type WrapScheme = (typeof WRAP_SCHEMES)[number];

/** What a key may be used for. `sign` includes verify, `encrypt` decrypt, `mac` its check, `wrap` unwrap. */
export const USAGES = ["sign", "encrypt", "mac", "agree", "kem", "wrap"] as const;
export type Usage = (typeof USAGES)[number];

/** Lengths that a data key may have. */
export const DATA_KEY_BYTES = [16, 24, 32, 64] as const;
export type DataKeyBytes = (typeof DATA_KEY_BYTES)[number];

/** Whether the bytes to sign are the message or its digest under the scheme's hash; for ML-DSA under `pure` the 64-byte μ of FIPS 204 §6.2. */
export type InputKind = "message" | "digest";
