// Which mechanisms each version of p11-kit's client lets through: a fixed list inside the client that no server can widen.
import { CKM, type MechanismName } from "@casemate/protocols/p11-rpc";
import { MECHANISMS } from "./mechanisms.ts";

export interface ClientVersion {
  /** As distributions call it. */
  readonly name: string;
  /** Second number of p11-kit's version, from which on the row holds. */
  readonly minor: number;
  /** Protocol version that it offers. */
  readonly rpc: 0 | 1 | 2;
  /** Mechanisms that it carries. */
  carries(type: number): boolean;
}

const set = (names: string): ReadonlySet<number> =>
  new Set(
    names
      .trim()
      .split(/\s+/)
      .map((name) => CKM[name as MechanismName]),
  );

/** Of our mechanisms, what the client of 0.23 and 0.24 carries (found by asking it). */
const OLD = set(`
  RSA_PKCS_KEY_PAIR_GEN RSA_PKCS RSA_X_509 RSA_PKCS_OAEP MD5_RSA_PKCS SHA1_RSA_PKCS SHA256_RSA_PKCS SHA384_RSA_PKCS
  SHA512_RSA_PKCS RSA_PKCS_PSS EC_KEY_PAIR_GEN ECDSA ECDSA_SHA1 GENERIC_SECRET_KEY_GEN AES_KEY_GEN AES_ECB DES_KEY_GEN
  DES2_KEY_GEN DES3_KEY_GEN DES_ECB DES3_ECB MD5 SHA_1 SHA256 SHA384 SHA512 MD5_HMAC SHA_1_HMAC SHA256_HMAC SHA384_HMAC
  SHA512_HMAC`);

/** Of our mechanisms, what no released client up to 0.26.4 carries. */
const NEVER = set(`
  EDDSA EC_EDWARDS_KEY_PAIR_GEN EC_MONTGOMERY_KEY_PAIR_GEN AES_KEY_WRAP AES_KEY_WRAP_KWP RSA_AES_KEY_WRAP MD5_HMAC_GENERAL`);

/** Newest first. */
export const CLIENT_VERSIONS: readonly ClientVersion[] = [
  { name: "0.26", minor: 26, rpc: 2, carries: (type) => MECHANISMS.has(type) && !NEVER.has(type) },
  { name: "0.25", minor: 25, rpc: 1, carries: (type) => MECHANISMS.has(type) && !NEVER.has(type) },
  { name: "0.23, 0.24", minor: 0, rpc: 0, carries: (type) => OLD.has(type) },
];
