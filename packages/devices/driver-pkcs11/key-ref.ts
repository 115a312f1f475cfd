// Implements: key reference of driver-pkcs11 v1 and v2: where a key stands in a token, u8 version | u8 algorithm | u8 class | id | label | check.
import { createHash } from "node:crypto";
import { KEY_ALGORITHMS, type KeyAlgorithm, type KeyRef } from "@casemate/devices/contract";
import { concat, equalBytes, toUtf8 } from "@casemate/foundation/bytes";
import { bytes, decode, encode, enumOf, fixed, struct, u16, u8, type Infer } from "@casemate/foundation/codec";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { ALGORITHMS } from "@casemate/protocols/hsm";
import { CKO } from "@casemate/protocols/p11-rpc";

const SPEC = "driver-pkcs11 key reference v1";
const CHECK_BYTES = 8;
/** Bytes of CKA_ID and of CKA_LABEL that a reference can name. */
export const MOST_ID = 255;
export const MOST_LABEL = 1024;
const DOMAIN = toUtf8(`${SPEC}\0`);

export const algorithmCodec = enumOf(
  "algorithm",
  u8,
  Object.fromEntries(KEY_ALGORITHMS.map((name) => [name, ALGORITHMS[name].code])) as Record<KeyAlgorithm, number>,
);

const codec = struct("KEY_REF", SPEC, {
  version: enumOf("version", u8, { v1: 1 }),
  /** What the key was made as: tells apart secrets of equal size. */
  algorithm: algorithmCodec,
  objectClass: enumOf("class", u8, { private: CKO.PRIVATE_KEY, secret: CKO.SECRET_KEY }),
  id: bytes(u8, MOST_ID),
  /** CKA_LABEL, byte for byte. */
  label: bytes(u16, MOST_LABEL),
  check: fixed(CHECK_BYTES),
});

export type Address = Omit<Infer<typeof codec>, "version" | "check">;

/** Over all other fields and the token's label: a reference that was changed, or is another token's, is refused unasked. */
function checkOf(token: string, address: Address): Uint8Array {
  const hash = createHash("sha256").update(DOMAIN).update(toUtf8(token)).update(Uint8Array.of(0));
  hash.update(Uint8Array.of(ALGORITHMS[address.algorithm].code, address.objectClass === "private" ? 3 : 4));
  hash.update(concat(Uint8Array.of(address.id.length), address.id, address.label));
  return hash.digest().subarray(0, CHECK_BYTES);
}

export function encodeKeyRef(token: string, address: Address): KeyRef {
  return encode(codec, { version: "v1", ...address, check: checkOf(token, address) });
}

/** @throws NOT_FOUND for bytes that are no reference into the token of this label. */
export function decodeKeyRef(token: string, ref: KeyRef): Address {
  try {
    const { version: _, check, ...address } = decode(codec, ref);
    if (equalBytes(check, checkOf(token, address)))
      return { ...address, id: address.id.slice(), label: address.label.slice() };
  } catch (error) {
    if (!isCasemateError(error)) throw error;
  }
  throw new CasemateError("NOT_FOUND", `${ref.length} bytes are no key reference of this device`);
}

const EXPECTING = 2;
const HEAD_BYTES = 3;

/** A reference with the public key (SPKI DER) that the key there must have: u8 2 | u16 length of the reference | reference | public key. */
export function encodeExpecting(ref: KeyRef, publicKey: Uint8Array): KeyRef {
  return concat(Uint8Array.of(EXPECTING, ref.length >> 8, ref.length & 0xff), ref, publicKey);
}

/** The reference itself, and what its key is expected to be, where it says so. */
export function splitKeyRef(ref: KeyRef): { readonly place: KeyRef; readonly expected: Uint8Array | undefined } {
  const [version, high = 0, low = 0] = ref;
  if (version !== EXPECTING) return { place: ref, expected: undefined };
  const end = HEAD_BYTES + (high << 8) + low;
  return { place: ref.subarray(HEAD_BYTES, end), expected: ref.slice(end) };
}
