/** ECDSA of digests (FIPS 186-5 §6.4) for machines without FFI: scalar × base point by OpenSSL, the rest by BigInt. */
import { ECDH, createECDH, createPublicKey } from "node:crypto";
import type { DigestSigner, EcSignerFactory } from "./digest-signer.ts";
import type { CurveRow } from "./material.ts";

interface Curve extends CurveRow {
  readonly p: bigint;
  readonly a: bigint;
}

/** Field prime and coefficient a (SP 800-186 §3.2.1, SEC 2 §2.4.1), by OpenSSL's name. */
const FIELDS: ReadonlyMap<string, { readonly p: bigint; readonly a: bigint }> = new Map([
  ["prime256v1", { p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n, a: -3n }],
  ["secp384r1", { p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n, a: -3n }],
  ["secp521r1", { p: 2n ** 521n - 1n, a: -3n }],
  ["secp256k1", { p: 2n ** 256n - 2n ** 32n - 977n, a: 0n }],
]);

const mod = (value: bigint, modulus: bigint): bigint => {
  const rest = value % modulus;
  return rest < 0n ? rest + modulus : rest;
};

function inverse(value: bigint, modulus: bigint): bigint {
  let [r0, r1] = [modulus, mod(value, modulus)];
  let [t0, t1] = [0n, 1n];
  while (r1 !== 0n) {
    const quotient = r0 / r1;
    [r0, r1] = [r1, r0 - quotient * r1];
    [t0, t1] = [t1, t0 - quotient * t1];
  }
  return mod(t0, modulus);
}

const toBig = (bytes: Uint8Array): bigint => (bytes.length === 0 ? 0n : BigInt(`0x${bytes.toHex()}`));
const fromBig = (value: bigint, length: number): Uint8Array =>
  Uint8Array.fromHex(value.toString(16).padStart(length * 2, "0"));

type Point = readonly [bigint, bigint] | undefined;

function add(curve: Curve, left: Point, right: Point): Point {
  if (left === undefined) return right;
  if (right === undefined) return left;
  const [x1, y1] = left;
  const [x2, y2] = right;
  if (x1 === x2 && mod(y1 + y2, curve.p) === 0n) return undefined;
  const slope =
    x1 === x2
      ? mod((3n * x1 * x1 + curve.a) * inverse(2n * y1, curve.p), curve.p)
      : mod((y2 - y1) * inverse(x2 - x1, curve.p), curve.p);
  const x = mod(slope * slope - x1 - x2, curve.p);
  return [x, mod(slope * (x1 - x) - y1, curve.p)];
}

/** For public values only: neither time nor memory access is constant. */
function multiply(curve: Curve, point: Point, scalar: bigint): Point {
  let sum: Point;
  for (const bit of scalar.toString(2)) {
    sum = add(curve, sum, sum);
    if (bit === "1") sum = add(curve, sum, point);
  }
  return sum;
}

/** The digest's leftmost bits as a number (FIPS 186-5 §6.4.1 step 2). */
function digestNumber(curve: Curve, digest: Uint8Array): bigint {
  const excess = digest.length * 8 - curve.order.toString(2).length;
  return excess > 0 ? toBig(digest) >> BigInt(excess) : toBig(digest);
}

function derInteger(value: bigint): number[] {
  const hex = value.toString(16);
  const bytes = [...Uint8Array.fromHex(hex.length % 2 === 0 ? hex : `0${hex}`)];
  if ((bytes[0] as number) >= 0x80) bytes.unshift(0);
  return [2, bytes.length, ...bytes];
}

export function encodeSignature(r: bigint, s: bigint): Uint8Array {
  const body = [...derInteger(r), ...derInteger(s)];
  return Uint8Array.from(body.length < 0x80 ? [0x30, body.length, ...body] : [0x30, 0x81, body.length, ...body]);
}

/** Strict DER; undefined for anything else. */
export function decodeSignature(der: Uint8Array): readonly [bigint, bigint] | undefined {
  const header = der[1] === 0x81 ? 3 : 2;
  const read = (at: number): readonly [bigint, number] | undefined => {
    const length = der[at + 1];
    if (der[at] !== 2 || length === undefined || length === 0 || length > 67 || at + 2 + length > der.length)
      return undefined;
    return [toBig(der.subarray(at + 2, at + 2 + length)), at + 2 + length];
  };
  const r = read(header);
  const s = r === undefined ? undefined : read(r[1]);
  if (r === undefined || s === undefined || s[1] !== der.length) return undefined;
  const again = encodeSignature(r[0], s[0]);
  return Buffer.compare(again, der) === 0 ? [r[0], s[0]] : undefined;
}

/** A random scalar and the x coordinate of scalar × base point, from OpenSSL's own generator. */
function ephemeral(curve: Curve): readonly [bigint, bigint] {
  const ecdh = createECDH(curve.name);
  const point = ecdh.generateKeys();
  return [toBig(ecdh.getPrivateKey()), toBig(point.subarray(1, 1 + curve.bytes))];
}

function baseTimes(curve: Curve, scalar: bigint): Point {
  if (scalar === 0n) return undefined;
  const ecdh = createECDH(curve.name);
  ecdh.setPrivateKey(fromBig(scalar, curve.bytes));
  return decodePoint(curve, ecdh.getPublicKey());
}

function decodePoint(curve: Curve, point: Uint8Array): Point {
  return [toBig(point.subarray(1, 1 + curve.bytes)), toBig(point.subarray(1 + curve.bytes))];
}

export const arithmeticEcSigner: EcSignerFactory = (privateKey, row): DigestSigner => {
  const curve: Curve = { ...row, ...(FIELDS.get(row.name) as { p: bigint; a: bigint }) };
  const n = curve.order;
  return {
    sign(digest) {
      const e = digestNumber(curve, digest);
      const d = toBig(privateKey.export({ format: "raw-private" }));
      for (;;) {
        const [k, x] = ephemeral(curve);
        const r = x % n;
        // BigInt division takes a time that depends on its operands: blinding makes those random.
        const [blind] = ephemeral(curve);
        const s = mod(inverse(k * blind, n) * mod(blind * e + mod(blind * r, n) * d, n), n);
        if (r !== 0n && s !== 0n) return encodeSignature(r, s);
      }
    },
    verify(digest, signature) {
      const pair = decodeSignature(signature);
      if (pair === undefined) return false;
      const [r, s] = pair;
      if (r === 0n || s === 0n || r >= n || s >= n) return false;
      const w = inverse(s, n);
      const key = decodePoint(
        curve,
        ECDH.convertKey(
          createPublicKey(privateKey).export({ format: "raw-public" }),
          curve.name,
          undefined,
          undefined,
          "uncompressed",
        ) as Buffer,
      );
      const sum = add(
        curve,
        baseTimes(curve, mod(digestNumber(curve, digest) * w, n)),
        multiply(curve, key, mod(r * w, n)),
      );
      return sum !== undefined && sum[0] % n === r;
    },
    release() {},
  };
};
