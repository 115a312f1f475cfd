// Implements: RFC 8017 §9.1 (EMSA-PSS), §9.2 (DigestInfo), and RSA on public keys with node:crypto.
import {
  constants,
  createHash,
  publicDecrypt,
  publicEncrypt,
  randomBytes,
  timingSafeEqual,
  type KeyObject,
} from "node:crypto";
import { concat, fromHex } from "@casemate/foundation/bytes";
import { HASH_BYTES, type Hash } from "./mechanisms.ts";
import { failure } from "./status.ts";

const DIGEST_INFO: Readonly<Record<Hash, Uint8Array>> = {
  md5: fromHex("3020300c06082a864886f70d020505000410"),
  sha1: fromHex("3021300906052b0e03021a05000414"),
  sha224: fromHex("302d300d06096086480165030402040500041c"),
  sha256: fromHex("3031300d060960864801650304020105000420"),
  sha384: fromHex("3041300d060960864801650304020205000430"),
  sha512: fromHex("3051300d060960864801650304020305000440"),
  "sha512-224": fromHex("302d300d06096086480165030402050500041c"),
  "sha512-256": fromHex("3031300d060960864801650304020605000420"),
};

export function digestInfo(hash: Hash, digest: Uint8Array): Uint8Array {
  return concat(DIGEST_INFO[hash], digest);
}

export function modulusBits(key: KeyObject): number {
  return key.asymmetricKeyDetails?.modulusLength ?? 0;
}

const digest = (hash: Hash, ...parts: readonly Uint8Array[]): Uint8Array => {
  const state = createHash(hash);
  for (const part of parts) state.update(part);
  return state.digest();
};

function mgf1(hash: Hash, seed: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  const counter = new Uint8Array(4);
  for (let i = 0, at = 0; at < length; i++) {
    new DataView(counter.buffer).setUint32(0, i);
    const block = digest(hash, seed, counter).subarray(0, length - at);
    out.set(block, at);
    at += block.length;
  }
  return out;
}

export interface PssParameters {
  readonly hash: Hash;
  readonly mgf: Hash;
  readonly saltLength: number;
}

const EIGHT = new Uint8Array(8);

/** Whether a modulus of `bits` has room for the hash and the salt (RFC 8017 §9.1.1, step 3). */
export function fitsPss({ hash, saltLength }: PssParameters, bits: number): boolean {
  return Math.ceil((bits - 1) / 8) >= HASH_BYTES[hash] + saltLength + 2;
}

/** The encoded message for a modulus of `bits`, as long as the modulus; hash and salt fit in there. */
export function encodePss(hashed: Uint8Array, pss: PssParameters, bits: number): Uint8Array {
  const length = Math.ceil((bits - 1) / 8);
  const hashLength = HASH_BYTES[pss.hash];
  const salt = randomBytes(pss.saltLength);
  const h = digest(pss.hash, EIGHT, hashed, salt);
  const block = new Uint8Array(length - hashLength - 1);
  block[block.length - pss.saltLength - 1] = 1;
  block.set(salt, block.length - pss.saltLength);
  const mask = mgf1(pss.mgf, h, block.length);
  for (let i = 0; i < block.length; i++) block[i] = (block[i] ?? 0) ^ (mask[i] ?? 0);
  block[0] = (block[0] ?? 0) & (0xff >> (8 * length - (bits - 1)));
  const encoded = concat(block, h, new Uint8Array([0xbc]));
  const whole = new Uint8Array(Math.ceil(bits / 8));
  whole.set(encoded, whole.length - encoded.length);
  return whole;
}

/** Whether it is such an encoded message; hash and salt fit in there. */
export function checkPss(hashed: Uint8Array, encoded: Uint8Array, pss: PssParameters, bits: number): boolean {
  const length = Math.ceil((bits - 1) / 8);
  const hashLength = HASH_BYTES[pss.hash];
  if (encoded.length < length) return false;
  const message = encoded.subarray(encoded.length - length);
  if (message[length - 1] !== 0xbc) return false;
  const block = message.slice(0, length - hashLength - 1);
  const h = message.subarray(block.length, block.length + hashLength);
  const mask = mgf1(pss.mgf, h, block.length);
  for (let i = 0; i < block.length; i++) block[i] = (block[i] ?? 0) ^ (mask[i] ?? 0);
  block[0] = (block[0] ?? 0) & (0xff >> (8 * length - (bits - 1)));
  const saltAt = block.length - pss.saltLength;
  for (let i = 0; i < saltAt - 1; i++) if (block[i] !== 0) return false;
  if (block[saltAt - 1] !== 1) return false;
  return timingSafeEqual(digest(pss.hash, EIGHT, hashed, block.subarray(saltAt)), h);
}

/** EMSA-PKCS1-v1_5 (RFC 8017 §9.2) around what is signed. @throws CKR_DATA_LEN_RANGE. */
export function padPkcs1(input: Uint8Array, length: number): Uint8Array {
  if (input.length > length - 11) throw failure("DATA_LEN_RANGE");
  const padded = new Uint8Array(length).fill(0xff);
  padded.set([0, 1]);
  padded[length - input.length - 1] = 0;
  padded.set(input, length - input.length);
  return padded;
}

/** The public operation without padding; `input` is as long as the modulus. @throws CKR_DATA_INVALID when it is not below the modulus. */
export function publicRaw(key: KeyObject, input: Uint8Array): Uint8Array {
  try {
    return publicEncrypt({ key, padding: constants.RSA_NO_PADDING }, input);
  } catch {
    throw failure("DATA_INVALID");
  }
}

/** What a PKCS#1 v1.5 type 1 signature holds, or undefined. */
export function recoverPkcs1(key: KeyObject, signature: Uint8Array): Uint8Array | undefined {
  try {
    return publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, signature);
  } catch {
    return undefined;
  }
}

/** Left-padded with zeros to the modulus length. @throws CKR_DATA_LEN_RANGE when it is longer. */
export function leftPad(data: Uint8Array, length: number): Uint8Array {
  if (data.length > length) throw failure("DATA_LEN_RANGE");
  const padded = new Uint8Array(length);
  padded.set(data, length - data.length);
  return padded;
}
