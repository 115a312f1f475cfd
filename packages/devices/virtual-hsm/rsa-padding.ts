/** RFC 8017 paddings for digests that somebody else computed: DigestInfo (§9.2) and EMSA-PSS (§9.1). */
import { constants, hash, privateEncrypt, publicDecrypt, type KeyObject } from "node:crypto";
import { concat, equalBytes, fromHex } from "@casemate/foundation/bytes";
import type { Random } from "@casemate/foundation/effects";
import { refuse } from "./refuse.ts";

export type HashName = "sha256" | "sha384" | "sha512";

export const HASH_BYTES: Readonly<Record<HashName, number>> = { sha256: 32, sha384: 48, sha512: 64 };

/** RFC 8017 §9.2 note 1. */
const DIGEST_INFO: Readonly<Record<HashName, Uint8Array>> = {
  sha256: fromHex("3031300d060960864801650304020105000420"),
  sha384: fromHex("3041300d060960864801650304020205000430"),
  sha512: fromHex("3051300d060960864801650304020305000440"),
};

export function requireDigest(name: HashName, digest: Uint8Array): void {
  if (digest.length === HASH_BYTES[name]) return;
  throw refuse("BAD_REQUEST", `a ${name} digest has ${HASH_BYTES[name]} bytes, got ${digest.length}`);
}

export const digestInfo = (name: HashName, digest: Uint8Array): Uint8Array => concat(DIGEST_INFO[name], digest);

function mgf1(name: HashName, seed: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(Math.ceil(length / HASH_BYTES[name]) * HASH_BYTES[name]);
  const input = concat(seed, new Uint8Array(4));
  const view = new DataView(input.buffer);
  for (let counter = 0, at = 0; at < length; counter++, at += HASH_BYTES[name]) {
    view.setUint32(seed.length, counter);
    out.set(hash(name, input, "buffer"), at);
  }
  return out.subarray(0, length);
}

/** H of §9.1.1 step 6: over eight zeros, the digest and the salt. */
const saltedHash = (name: HashName, digest: Uint8Array, salt: Uint8Array): Uint8Array =>
  hash(name, concat(new Uint8Array(8), digest, salt), "buffer");

/** EMSA-PSS-ENCODE with a salt as long as the digest, for a modulus of `bits` (a multiple of 8). */
function encodePss(name: HashName, digest: Uint8Array, bits: number, random: Random): Uint8Array {
  const length = bits / 8;
  const size = HASH_BYTES[name];
  const salt = random.bytes(size);
  const h = saltedHash(name, digest, salt);
  const db = new Uint8Array(length - size - 1);
  db[db.length - size - 1] = 1;
  db.set(salt, db.length - size);
  const mask = mgf1(name, h, db.length);
  for (let i = 0; i < db.length; i++) db[i] = (db[i] as number) ^ (mask[i] as number);
  db[0] = (db[0] as number) & 0x7f;
  return concat(db, h, Uint8Array.of(0xbc));
}

/** EMSA-PSS-VERIFY with a salt as long as the digest. */
function checkPss(name: HashName, digest: Uint8Array, encoded: Uint8Array): boolean {
  const size = HASH_BYTES[name];
  const split = encoded.length - size - 1;
  if (encoded[encoded.length - 1] !== 0xbc || ((encoded[0] as number) & 0x80) !== 0) return false;
  const h = encoded.subarray(split, split + size);
  const db = encoded.slice(0, split);
  const mask = mgf1(name, h, split);
  for (let i = 0; i < split; i++) db[i] = (db[i] as number) ^ (mask[i] as number);
  db[0] = (db[0] as number) & 0x7f;
  const start = split - size - 1;
  if (db.subarray(0, start).some((byte) => byte !== 0) || db[start] !== 1) return false;
  return equalBytes(saltedHash(name, digest, db.subarray(start + 1)), h);
}

const { RSA_NO_PADDING, RSA_PKCS1_PADDING } = constants;

/** s = m^d: `block` is exactly as long as the modulus and smaller than it. @throws BAD_REQUEST */
export function rawSign(key: KeyObject, block: Uint8Array): Uint8Array {
  try {
    return privateEncrypt({ key, padding: RSA_NO_PADDING }, block);
  } catch {
    throw refuse("BAD_REQUEST", "the block is not as long as the modulus, or not smaller than it");
  }
}

/** Undefined when the signature is not as long as the modulus (RFC 8017 §8.2.2 step 1), or no number below it. */
function rawOpen(key: KeyObject, signature: Uint8Array): Uint8Array | undefined {
  if (signature.length * 8 !== key.asymmetricKeyDetails?.modulusLength) return undefined;
  try {
    return publicDecrypt({ key, padding: RSA_NO_PADDING }, signature);
  } catch {
    return undefined;
  }
}

/** PKCS#1 v1.5 type 1 around bytes that the caller encoded. @throws BAD_REQUEST when they are too many. */
export function pkcs1Sign(key: KeyObject, encoded: Uint8Array): Uint8Array {
  try {
    return privateEncrypt({ key, padding: RSA_PKCS1_PADDING }, encoded);
  } catch {
    throw refuse(
      "BAD_REQUEST",
      `${encoded.length} bytes do not fit PKCS#1 v1.5 padding (11 bytes less than the modulus)`,
    );
  }
}

/** Compares the whole padded block, so no parser can be fooled (RFC 8017 §8.2.2). */
export function pkcs1Verify(key: KeyObject, encoded: Uint8Array, signature: Uint8Array): boolean {
  const block = rawOpen(key, signature);
  if (block === undefined || encoded.length > block.length - 11) return false;
  const expected = new Uint8Array(block.length).fill(0xff);
  expected[0] = 0;
  expected[1] = 1;
  expected[block.length - encoded.length - 1] = 0;
  expected.set(encoded, block.length - encoded.length);
  return equalBytes(block, expected);
}

export function rawVerify(key: KeyObject, block: Uint8Array, signature: Uint8Array): boolean {
  const opened = rawOpen(key, signature);
  return opened !== undefined && equalBytes(opened, block);
}

export function pssSignDigest(key: KeyObject, name: HashName, digest: Uint8Array, random: Random): Uint8Array {
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  return rawSign(key, encodePss(name, digest, bits, random));
}

export function pssVerifyDigest(key: KeyObject, name: HashName, digest: Uint8Array, signature: Uint8Array): boolean {
  const encoded = rawOpen(key, signature);
  return encoded !== undefined && checkPss(name, digest, encoded);
}
