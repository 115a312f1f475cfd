// Implements: PKCS #11 v3.0 §2.3, elliptic curves: CKA_EC_PARAMS and CKA_EC_POINT.
import { createPublicKey, type KeyObject } from "node:crypto";
import { concat, equalBytes, fromBase64Url, fromHex } from "@casemate/foundation/bytes";
import type { KeyAlgorithm } from "@casemate/devices/contract";
import { CKK } from "@casemate/protocols/p11-rpc";

export interface CurveRow {
  readonly algorithm: KeyAlgorithm;
  /** Node's name, where it is one of `ec`. */
  readonly node: string;
  /** Name in a JWK. */
  readonly jwk: string;
  readonly keyType: number;
  /** DER of the object identifier. */
  readonly params: Uint8Array;
  /** Bytes of a coordinate, and half a signature. */
  readonly bytes: number;
  readonly bits: number;
}

const row = (
  algorithm: KeyAlgorithm,
  node: string,
  jwk: string,
  keyType: number,
  oid: string,
  bits: number,
): CurveRow => ({
  algorithm,
  node,
  jwk,
  keyType,
  params: fromHex(oid),
  bits,
  bytes: Math.ceil(bits / 8),
});

export const CURVES: readonly CurveRow[] = [
  row("ec-p256", "prime256v1", "P-256", CKK.EC, "06082a8648ce3d030107", 256),
  row("ec-p384", "secp384r1", "P-384", CKK.EC, "06052b81040022", 384),
  row("ec-p521", "secp521r1", "P-521", CKK.EC, "06052b81040023", 521),
  row("ec-secp256k1", "secp256k1", "secp256k1", CKK.EC, "06052b8104000a", 256),
  row("ed25519", "ed25519", "Ed25519", CKK.EC_EDWARDS, "06032b6570", 255),
  row("ed448", "ed448", "Ed448", CKK.EC_EDWARDS, "06032b6571", 448),
  row("x25519", "x25519", "X25519", CKK.EC_MONTGOMERY, "06032b656e", 255),
  row("x448", "x448", "X448", CKK.EC_MONTGOMERY, "06032b656f", 448),
];

/** PKCS #11 v3.0 also allows curve names as PrintableString; these are what OpenSC and others send. */
const PRINTABLE: ReadonlyMap<string, KeyAlgorithm> = new Map([
  ["edwards25519", "ed25519"],
  ["edwards448", "ed448"],
  ["curve25519", "x25519"],
  ["curve448", "x448"],
]);

export function curveByAlgorithm(algorithm: string): CurveRow | undefined {
  return CURVES.find((curve) => curve.algorithm === algorithm);
}

export function curveByNode(node: string): CurveRow | undefined {
  return CURVES.find((curve) => curve.node === node);
}

/** The curve that CKA_EC_PARAMS names, by object identifier or by name. */
export function curveByParams(params: Uint8Array): CurveRow | undefined {
  if (params[0] === 0x13 && params[1] === params.length - 2) {
    const algorithm = PRINTABLE.get(Buffer.from(params.subarray(2)).toString("latin1"));
    return algorithm === undefined ? undefined : curveByAlgorithm(algorithm);
  }
  return CURVES.find((curve) => equalBytes(curve.params, params));
}

export function curveOfKey(key: KeyObject): CurveRow | undefined {
  const name = key.asymmetricKeyType === "ec" ? key.asymmetricKeyDetails?.namedCurve : key.asymmetricKeyType;
  return CURVES.find((curve) => curve.node === name);
}

function derLength(length: number): Uint8Array {
  if (length < 0x80) return new Uint8Array([length]);
  if (length < 0x100) return new Uint8Array([0x81, length]);
  return new Uint8Array([0x82, length >> 8, length & 0xff]);
}

/** DER with a definite length. */
export function der(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = concat(...content);
  return concat(new Uint8Array([tag]), derLength(body.length), body);
}

/** CKA_EC_POINT of a public key: the point as a DER OCTET STRING. */
export function pointOf(key: KeyObject): Uint8Array {
  const jwk = key.export({ format: "jwk" });
  const x = fromBase64Url(jwk.x ?? "");
  return der(0x04, jwk.y === undefined ? x : concat(new Uint8Array([4]), x, fromBase64Url(jwk.y)));
}

/** The content of a DER OCTET STRING that fills `bytes`, else undefined. */
export function octetString(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes[0] !== 0x04 || bytes.length < 2) return undefined;
  const first = bytes[1] ?? 0;
  const header = first < 0x80 ? 2 : first === 0x81 ? 3 : first === 0x82 ? 4 : 0;
  if (header === 0 || bytes.length < header) return undefined;
  const length = header === 2 ? first : header === 3 ? (bytes[2] ?? 0) : ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0);
  return length === bytes.length - header ? bytes.subarray(header) : undefined;
}

/** A public key of a point, DER wrapped or raw. Undefined when it is not on the curve. */
export function keyOfPoint(curve: CurveRow, given: Uint8Array): KeyObject | undefined {
  const inner = octetString(given);
  for (const point of inner === undefined ? [given] : [inner, given]) {
    const algorithm =
      curve.keyType === CKK.EC ? der(0x30, fromHex("06072a8648ce3d0201"), curve.params) : der(0x30, curve.params);
    const spki = der(0x30, algorithm, der(0x03, new Uint8Array([0]), point));
    try {
      const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
      // The point at infinity is read but has no coordinates.
      key.export({ format: "jwk" });
      return key;
    } catch {
      // The other reading of the bytes may be right.
    }
  }
  return undefined;
}

/** r ‖ s of `bytes` each, from ECDSA's DER. */
export function signatureFromDer(signature: Uint8Array, bytes: number): Uint8Array {
  const out = new Uint8Array(2 * bytes);
  let at = (signature[1] ?? 0) & 0x80 ? 3 : 2;
  for (const end of [bytes, 2 * bytes]) {
    const length = signature[at + 1] ?? 0;
    let value = signature.subarray(at + 2, at + 2 + length);
    while (value.length > bytes && value[0] === 0) value = value.subarray(1);
    out.set(value, end - value.length);
    at += 2 + length;
  }
  return out;
}

function derInteger(value: Uint8Array): Uint8Array {
  let start = 0;
  while (start < value.length - 1 && value[start] === 0) start++;
  const trimmed = value.subarray(start);
  return der(0x02, (trimmed[0] ?? 0) & 0x80 ? concat(new Uint8Array([0]), trimmed) : trimmed);
}

export function signatureToDer(signature: Uint8Array): Uint8Array {
  const half = signature.length / 2;
  return der(0x30, derInteger(signature.subarray(0, half)), derInteger(signature.subarray(half)));
}
