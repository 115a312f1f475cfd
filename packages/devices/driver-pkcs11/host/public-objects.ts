/** Public keys as objects of a token and as SubjectPublicKeyInfo, from one to the other. */
import { createPublicKey } from "node:crypto";
import type { KeyAlgorithm } from "@casemate/devices/contract";
import { CKA, CKK, CKO } from "@casemate/protocols/p11-rpc";
import { ALGORITHM_ROWS } from "../algorithms.ts";
import { curvePublicKey, rsaPublicKey } from "../public-key.ts";
import type { Handle } from "./addon.ts";
import { readAttributes } from "./attributes.ts";
import type { Lane } from "./lane.ts";

export function withoutZeros(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  return bytes.subarray(start);
}

const PUBLIC_ATTRIBUTES: ReadonlyMap<number, readonly number[]> = new Map<number, readonly number[]>([
  [CKK.RSA, [CKA.MODULUS, CKA.PUBLIC_EXPONENT]],
  [CKK.EC, [CKA.EC_POINT]],
  [CKK.EC_EDWARDS, [CKA.EC_POINT]],
  [CKK.EC_MONTGOMERY, [CKA.EC_POINT]],
]);

/** SPKI from an object's own attributes: a public key, or a private one of those tokens that keep the public part there. */
export function spkiOf(lane: Lane, session: Handle, object: Handle, algorithm: KeyAlgorithm): Uint8Array | undefined {
  const keyType = ALGORITHM_ROWS.get(algorithm)?.keyType ?? -1;
  const found = readAttributes(lane.cryptoki, session, object, PUBLIC_ATTRIBUTES.get(keyType) ?? []);
  const [modulus, exponent, point] = [CKA.MODULUS, CKA.PUBLIC_EXPONENT, CKA.EC_POINT].map((type) => found.get(type));
  if (modulus !== undefined && exponent !== undefined && modulus.length > 0 && exponent.length > 0)
    return rsaPublicKey(modulus, exponent);
  return point === undefined || point.length === 0 ? undefined : curvePublicKey(algorithm, point);
}

/** RSA's modulus, big-endian without leading zeros; undefined for keys on curves. */
export function modulusOf(spki: Uint8Array): Uint8Array | undefined {
  const { n } = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }).export({ format: "jwk" });
  return n === undefined ? undefined : Uint8Array.fromBase64(n, { alphabet: "base64url" });
}

/** Makes a public key object: for the session alone unless `extra` says otherwise. */
export function importPublic(
  lane: Lane,
  session: Handle,
  algorithm: KeyAlgorithm,
  spki: Uint8Array,
  extra: Readonly<Partial<Record<keyof typeof CKA, Buffer | boolean>>>,
): Handle {
  const row = ALGORITHM_ROWS.get(algorithm);
  const jwk = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }).export({ format: "jwk" });
  const bytesOf = (text: string | undefined): Buffer => Buffer.from(text ?? "", "base64url");
  const material: { readonly type: number; readonly value: Buffer }[] =
    row?.curve === undefined
      ? [
          { type: CKA.MODULUS, value: bytesOf(jwk.n) },
          { type: CKA.PUBLIC_EXPONENT, value: bytesOf(jwk.e) },
        ]
      : [
          { type: CKA.EC_PARAMS, value: Buffer.from(row.curve.oid) },
          { type: CKA.EC_POINT, value: octetString(spki.subarray(row.curve.spkiPrefix.length)) },
        ];
  const template = new Map<number, Buffer | number | boolean>([
    [CKA.CLASS, CKO.PUBLIC_KEY],
    [CKA.KEY_TYPE, row?.keyType ?? CKK.RSA],
    [CKA.TOKEN, false],
    [CKA.PRIVATE, false],
    ...(row?.keyType === CKK.EC_MONTGOMERY ? [] : ([[CKA.VERIFY, true]] as const)),
    ...(row?.keyType === CKK.RSA ? ([[CKA.ENCRYPT, true]] as const) : []),
    ...material.map(({ type, value }) => [type, value] as const),
    ...Object.entries(extra).map(([name, value]) => [CKA[name as keyof typeof CKA], value] as const),
  ]);
  return lane.cryptoki.C_CreateObject(
    session,
    [...template].map(([type, value]) => ({ type, value })),
  );
}

/** DER OCTET STRING, as CKA_EC_POINT is defined. */
export function octetString(content: Uint8Array): Buffer {
  const head = content.length < 0x80 ? [0x04, content.length] : [0x04, 0x81, content.length];
  return Buffer.from([...head, ...content]);
}
