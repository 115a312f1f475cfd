/** Keys by reference: found in the token once, described by their own attributes, kept by handle. */
import { createPublicKey } from "node:crypto";
import type { KeyAlgorithm, KeyRef } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import { CKA, CKK, CKO } from "@casemate/protocols/p11-rpc";
import { ALGORITHM_ROWS } from "../algorithms.ts";
import { decodeKeyRef, type Address } from "../key-ref.ts";
import { algorithmOf, curvePublicKey, rsaPublicKey } from "../public-key.ts";
import type { Handle } from "./addon.ts";
import { findObjects, flag, readAttributes, ulong, type Attributes } from "./attributes.ts";
import type { Lane } from "./lane.ts";

export interface Key {
  readonly handle: Handle;
  readonly address: Address;
  readonly keyType: number;
  readonly algorithm: KeyAlgorithm;
  /** Undefined where the token does not say: it decides itself then. */
  readonly may: {
    readonly sign?: boolean;
    readonly decrypt?: boolean;
    readonly derive?: boolean;
    readonly unwrap?: boolean;
    readonly wrap?: boolean;
  };
  readonly extractable: boolean;
  /** Of RSA keys; 0 of others. */
  readonly modulusBytes: number;
}

/** The public half of a pair, as the token uses it and as the world does. */
export interface PublicHalf {
  readonly handle: Handle;
  readonly spki: Uint8Array;
  /** RSA's modulus, big-endian without leading zeros. */
  readonly modulus: Uint8Array | undefined;
}

export interface KeyStore {
  /** @throws NOT_FOUND; CONFLICT when the reference fits several objects. */
  resolve(ref: KeyRef): Key;
  /** @throws NOT_SUPPORTED for a secret key; NOT_FOUND when the token has no public half and no certificate to take it from. */
  publicHalf(key: Key): PublicHalf;
  forget(ref: KeyRef, gone: boolean): void;
  /** Drops a handle that the token does not know any more. */
  drop(ref: KeyRef): void;
}

export const KEY_ATTRIBUTES = [
  CKA.KEY_TYPE,
  CKA.LABEL,
  CKA.ID,
  CKA.SIGN,
  CKA.DECRYPT,
  CKA.DERIVE,
  CKA.UNWRAP,
  CKA.WRAP,
  CKA.EXTRACTABLE,
] as const;

const SIZE_ATTRIBUTES: ReadonlyMap<number, readonly number[]> = new Map<number, readonly number[]>([
  [CKK.RSA, [CKA.MODULUS]],
  [CKK.EC, [CKA.EC_PARAMS]],
  [CKK.EC_EDWARDS, [CKA.EC_PARAMS]],
  [CKK.EC_MONTGOMERY, [CKA.EC_PARAMS]],
]);

/** More handles than this and the oldest is found anew. */
const MOST_CACHED = 10_000;

export const nameOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");

const withoutZeros = (bytes: Uint8Array): Uint8Array => {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  return bytes.subarray(start);
};

export function describe(
  lane: Lane,
  session: Handle,
  handle: Handle,
): { readonly attributes: Attributes; readonly keyType: number; readonly algorithm: KeyAlgorithm | undefined } {
  const { cryptoki } = lane;
  const attributes = readAttributes(cryptoki, session, handle, KEY_ATTRIBUTES);
  const keyType = ulong(attributes.get(CKA.KEY_TYPE)) ?? -1;
  const sizes = readAttributes(cryptoki, session, handle, SIZE_ATTRIBUTES.get(keyType) ?? [CKA.VALUE_LEN]);
  const modulus = sizes.get(CKA.MODULUS);
  const params = sizes.get(CKA.EC_PARAMS);
  const bytes = ulong(sizes.get(CKA.VALUE_LEN));
  const algorithm = algorithmOf({
    keyType,
    ...(modulus === undefined ? {} : { modulusBits: withoutZeros(modulus).length * 8 }),
    ...(params === undefined ? {} : { params }),
    ...(bytes === undefined ? {} : { bytes }),
  });
  return { attributes: new Map([...attributes, ...sizes]), keyType, algorithm };
}

const optionalFlag = <N extends string>(name: N, value: Buffer | undefined): Partial<Record<N, boolean>> => {
  const known = flag(value);
  return (known === undefined ? {} : { [name]: known }) as Partial<Record<N, boolean>>;
};

export function createKeyStore(lane: Lane): KeyStore {
  const { cryptoki, session } = lane;
  const keys = new Map<string, Key>();
  const halves = new WeakMap<Key, PublicHalf>();
  const gone = new Set<string>();

  const find = (address: Address): Key =>
    session.run((open) => {
      const objectClass = address.objectClass === "private" ? CKO.PRIVATE_KEY : CKO.SECRET_KEY;
      const found = findObjects(
        cryptoki,
        open,
        {
          CLASS: objectClass,
          ...(address.id.length === 0 ? {} : { ID: Buffer.from(address.id) }),
          ...(address.label.length === 0 ? {} : { LABEL: Buffer.from(address.label) }),
        },
        2,
      );
      const [handle, other] = found;
      if (handle === undefined) throw new CasemateError("NOT_FOUND", "the token holds no such key");
      if (other !== undefined)
        throw new CasemateError("CONFLICT", "several keys of the token have this id and label", {
          hint: "Give them different ids with the token's own tools.",
        });
      const { attributes, keyType, algorithm } = describe(lane, open, handle);
      return {
        handle,
        address,
        keyType,
        algorithm: keyType === CKK.GENERIC_SECRET ? address.algorithm : (algorithm ?? address.algorithm),
        may: {
          ...optionalFlag("sign", attributes.get(CKA.SIGN)),
          ...optionalFlag("decrypt", attributes.get(CKA.DECRYPT)),
          ...optionalFlag("derive", attributes.get(CKA.DERIVE)),
          ...optionalFlag("unwrap", attributes.get(CKA.UNWRAP)),
          ...optionalFlag("wrap", attributes.get(CKA.WRAP)),
        },
        extractable: flag(attributes.get(CKA.EXTRACTABLE)) ?? false,
        modulusBytes: withoutZeros(attributes.get(CKA.MODULUS) ?? new Uint8Array()).length,
      };
    });

  return {
    resolve(ref) {
      const name = nameOf(ref);
      const known = keys.get(name);
      if (known !== undefined) return known;
      const address = decodeKeyRef(lane.token, ref);
      if (gone.has(name)) throw new CasemateError("NOT_FOUND", "the key was destroyed");
      const key = find(address);
      if (keys.size >= MOST_CACHED) for (const oldest of keys.keys()) if (keys.delete(oldest)) break;
      keys.set(name, key);
      return key;
    },
    publicHalf(key) {
      if (key.address.objectClass === "secret")
        throw new CasemateError("NOT_SUPPORTED", "a secret key has no public half");
      let half = halves.get(key);
      if (half === undefined) halves.set(key, (half = session.run((open) => findPublicHalf(lane, open, key))));
      return half;
    },
    forget(ref, isGone) {
      const name = nameOf(ref);
      keys.delete(name);
      if (isGone) gone.add(name);
      else gone.delete(name);
    },
    drop: (ref) => void keys.delete(nameOf(ref)),
  };
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

function fromCertificate(lane: Lane, session: Handle, { address }: Key): Uint8Array | undefined {
  if (address.id.length === 0) return undefined;
  const [certificate] = findObjects(lane.cryptoki, session, { CLASS: CKO.CERTIFICATE, ID: Buffer.from(address.id) }, 1);
  if (certificate === undefined) return undefined;
  const der = readAttributes(lane.cryptoki, session, certificate, [CKA.VALUE]).get(CKA.VALUE);
  try {
    return der === undefined ? undefined : spkiOfCertificate(der);
  } catch {
    return undefined;
  }
}

function spkiOfCertificate(der: Buffer): Uint8Array {
  const key = createPublicKey(`-----BEGIN CERTIFICATE-----\n${der.toString("base64")}\n-----END CERTIFICATE-----\n`);
  return new Uint8Array(key.export({ format: "der", type: "spki" }));
}

/** By CKA_ID, where the key has one, else by label. A public half that is only known from elsewhere becomes a session object. */
function findPublicHalf(lane: Lane, session: Handle, key: Key): PublicHalf {
  const { address, algorithm } = key;
  const byId = address.id.length > 0;
  const [object] = findObjects(
    lane.cryptoki,
    session,
    { CLASS: CKO.PUBLIC_KEY, ...(byId ? { ID: Buffer.from(address.id) } : { LABEL: Buffer.from(address.label) }) },
    1,
  );
  const own = object === undefined ? undefined : spkiOf(lane, session, object, algorithm);
  const spki = own ?? spkiOf(lane, session, key.handle, algorithm) ?? fromCertificate(lane, session, key);
  if (spki === undefined)
    throw new CasemateError("NOT_FOUND", "the token holds no public half of this key, nor a certificate with it", {
      hint: "Write the public key or the certificate to the token, with the same CKA_ID.",
    });
  const handle = object === undefined || own === undefined ? importPublic(lane, session, algorithm, spki, {}) : object;
  return { handle, spki, modulus: modulusOf(spki) };
}

function modulusOf(spki: Uint8Array): Uint8Array | undefined {
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
