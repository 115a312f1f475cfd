// Implements: SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) from CKA_MODULUS/CKA_PUBLIC_EXPONENT and CKA_EC_PARAMS/CKA_EC_POINT, in every encoding met.
import { createPublicKey, ECDH } from "node:crypto";
import type { KeyAlgorithm } from "@casemate/devices/contract";
import { concat, equalBytes, toBase64Url } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import { CKK } from "@casemate/protocols/p11-rpc";
import { ALGORITHM_ROWS, type Curve } from "./algorithms.ts";

const OCTET_STRING = 0x04;
const BIT_STRING = 0x03;

export function rsaPublicKey(modulus: Uint8Array, exponent: Uint8Array): Uint8Array {
  const key = createPublicKey({
    key: { kty: "RSA", n: toBase64Url(modulus), e: toBase64Url(exponent) },
    format: "jwk",
  });
  return new Uint8Array(key.export({ format: "der", type: "spki" }));
}

/** Content of a DER string that fills its input; undefined when it is none. */
function stringContent(bytes: Uint8Array): Uint8Array | undefined {
  const [tag, first = 0, second = 0] = bytes;
  if (tag !== OCTET_STRING && tag !== BIT_STRING) return undefined;
  const [length, head] = first < 0x80 ? [first, 2] : first === 0x81 ? [second, 3] : [-1, 0];
  if (length !== bytes.length - head) return undefined;
  const content = bytes.subarray(head);
  if (tag === OCTET_STRING) return content;
  return content[0] === 0 ? content.subarray(1) : undefined;
}

/** OpenSSL's names of the curves whose points come compressed or not. */
const NAMES: ReadonlyMap<number, string> = new Map([
  [32, "prime256v1"],
  [48, "secp384r1"],
  [66, "secp521r1"],
]);

/** The point or key itself: modules give it raw, or inside an OCTET STRING or BIT STRING, whatever its type. */
function barePoint({ orderBytes, size }: Curve, bytes: Uint8Array): Uint8Array | undefined {
  const lengths = orderBytes > 0 ? [1 + 2 * size, 1 + size] : [size];
  for (const candidate of [stringContent(bytes), bytes])
    if (candidate !== undefined && lengths.includes(candidate.length)) return candidate;
  return undefined;
}

/** @throws DEVICE_FAILED for a point that is not on the curve, or in no known encoding. */
export function curvePublicKey(algorithm: KeyAlgorithm, point: Uint8Array): Uint8Array {
  const curve = ALGORITHM_ROWS.get(algorithm)?.curve;
  const bare = curve === undefined ? undefined : barePoint(curve, point);
  try {
    if (curve === undefined || bare === undefined) throw new TypeError(`${point.length} bytes`);
    const short = curve.orderBytes > 0 && bare.length === 1 + curve.size;
    const name = algorithm === "ec-secp256k1" ? "secp256k1" : (NAMES.get(curve.size) ?? "");
    const whole = short ? (ECDH.convertKey(bare, name, undefined, undefined, "uncompressed") as Buffer) : bare;
    const spki = concat(curve.spkiPrefix, whole);
    createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
    return spki;
  } catch (cause) {
    throw new CasemateError("DEVICE_FAILED", `the token's public point of an ${algorithm} key cannot be read`, {
      cause,
    });
  }
}

/** The algorithm of a curve as CKA_EC_PARAMS names it: by object identifier or by PrintableString. */
export function algorithmOfCurve(keyType: number, params: Uint8Array): KeyAlgorithm | undefined {
  for (const [algorithm, row] of ALGORITHM_ROWS) {
    const { curve } = row;
    if (curve === undefined || row.keyType !== keyType) continue;
    if (equalBytes(params, curve.oid)) return algorithm;
    if (curve.printable !== undefined && equalBytes(params, curve.printable)) return algorithm;
  }
  return undefined;
}

const RSA_BY_BITS: ReadonlyMap<number, KeyAlgorithm> = new Map([
  [2048, "rsa-2048"],
  [3072, "rsa-3072"],
  [4096, "rsa-4096"],
]);
const AES_BY_BYTES: ReadonlyMap<number, KeyAlgorithm> = new Map([
  [16, "aes-128"],
  [24, "aes-192"],
  [32, "aes-256"],
]);
const HMAC_BY_BYTES: ReadonlyMap<number, KeyAlgorithm> = new Map([
  [32, "hmac-sha256"],
  [48, "hmac-sha384"],
  [64, "hmac-sha512"],
]);
const HMAC_BY_TYPE: ReadonlyMap<number, KeyAlgorithm> = new Map([
  [CKK.SHA256_HMAC, "hmac-sha256"],
  [CKK.SHA384_HMAC, "hmac-sha384"],
  [CKK.SHA512_HMAC, "hmac-sha512"],
]);

/** What a key is, by its own attributes; undefined for what Casemate has no name for. */
export function algorithmOf(facts: {
  readonly keyType: number;
  readonly modulusBits?: number;
  readonly params?: Uint8Array;
  readonly bytes?: number;
}): KeyAlgorithm | undefined {
  const { keyType, modulusBits = 0, params, bytes = 0 } = facts;
  if (keyType === CKK.RSA) return RSA_BY_BITS.get(modulusBits);
  if (keyType === CKK.AES) return AES_BY_BYTES.get(bytes);
  if (keyType === CKK.GENERIC_SECRET) return HMAC_BY_BYTES.get(bytes);
  return HMAC_BY_TYPE.get(keyType) ?? (params === undefined ? undefined : algorithmOfCurve(keyType, params));
}

/** The raw point (or X25519/X448 key) at the end of an SPKI of the same algorithm; undefined for any other SPKI. */
export function pointOf(algorithm: KeyAlgorithm, spki: Uint8Array): Uint8Array | undefined {
  const prefix = ALGORITHM_ROWS.get(algorithm)?.curve?.spkiPrefix;
  if (prefix === undefined) return undefined;
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
    const der = new Uint8Array(key.export({ format: "der", type: "spki" }));
    return equalBytes(der.subarray(0, prefix.length), prefix) ? der.subarray(prefix.length) : undefined;
  } catch {
    return undefined;
  }
}
