/** Keys by reference: found in the token once, described by their own attributes, kept by handle. */
import type { KeyAlgorithm, KeyRef } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import { CKA, CKK, CKO } from "@casemate/protocols/p11-rpc";
import { ALGORITHM_ROWS } from "../algorithms.ts";
import { decodeKeyRef, splitKeyRef, type Address } from "../key-ref.ts";
import { algorithmOf } from "../public-key.ts";
import type { Handle } from "./addon.ts";
import { findObjects, flag, readAttributes, ulong, type Attributes } from "./attributes.ts";
import type { Lane } from "./lane.ts";
import { byIdAndLabel, type Wanted } from "./object-index.ts";
import { findPublicHalf, isHalfOf, type Proof, type PublicHalf } from "./public-half.ts";
import { withoutZeros } from "./public-objects.ts";

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

export interface KeyStore {
  /** @throws NOT_FOUND; CONFLICT when the reference fits several objects. */
  resolve(ref: KeyRef): Key;
  /** @throws NOT_SUPPORTED for a secret key; NOT_FOUND when the token has no public half, nor a certificate, that is shown to belong to it. */
  publicHalf(key: Key, proof?: Proof): PublicHalf;
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

/** What an object's own attributes tell of it. */
export interface Described {
  readonly attributes: Attributes;
  readonly keyType: number;
  readonly algorithm: KeyAlgorithm | undefined;
}

export function describe(lane: Lane, session: Handle, handle: Handle): Described {
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

export function keyOf(handle: Handle, address: Address, described: Described): Key {
  const { attributes, keyType, algorithm } = described;
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
}

/** What stands at an address. Secrets of one algorithm have several types. */
export const standingAt = (address: Address): Wanted =>
  address.objectClass === "private"
    ? {
        CLASS: CKO.PRIVATE_KEY,
        KEY_TYPE: ALGORITHM_ROWS.get(address.algorithm)?.keyType ?? -1,
        ...byIdAndLabel(address),
      }
    : { CLASS: CKO.SECRET_KEY, ...byIdAndLabel(address) };

export function createKeyStore(lane: Lane): KeyStore {
  const { cryptoki, session } = lane;
  const keys = new Map<string, Key>();
  const halves = new WeakMap<Key, PublicHalf>();
  const gone = new Set<string>();

  const find = (address: Address): Key =>
    session.run((open) => {
      const [handle, other] = findObjects(cryptoki, open, { ...standingAt(address) }, 2);
      if (handle === undefined)
        throw new CasemateError("NOT_FOUND", "the token holds no such key", {
          hint: "`casemate device objects` lists what it holds; put the key back with the token's own tools, or destroy it here.",
        });
      if (other !== undefined)
        throw new CasemateError("CONFLICT", "several keys of the token have this id, label and type", {
          hint: "Give them different ids with the token's own tools.",
        });
      return keyOf(handle, address, describe(lane, open, handle));
    });

  /** Under every name: with what it is expected to be, and without. */
  const drop = (ref: KeyRef): void => {
    const place = nameOf(splitKeyRef(ref).place);
    for (const name of keys.keys()) if (name.includes(place)) keys.delete(name);
  };

  /** @throws TAMPER_DETECTED when somebody put another key where that one was. */
  const mustBe = (key: Key, publicKey: Uint8Array): void => {
    const proves = (): boolean => session.run((open) => isHalfOf(lane, open, key, publicKey)) !== false;
    // Once more: one bad signature is a failure of the token, and what follows from this is that the key is given up.
    if (proves() || proves()) return;
    throw new CasemateError(
      "TAMPER_DETECTED",
      "the token has another key in the place of this one, and it is not used",
      {
        hint: "Put the key back with the token's own tools, under its CKA_ID and CKA_LABEL, or give it up: casemate key destroy leaves what stands there.",
      },
    );
  };

  return {
    resolve(ref) {
      const name = nameOf(ref);
      const known = keys.get(name);
      if (known !== undefined) return known;
      const { place, expected } = splitKeyRef(ref);
      const address = decodeKeyRef(lane.token, place);
      if (gone.has(nameOf(place))) throw new CasemateError("NOT_FOUND", "the key was destroyed");
      const key = find(address);
      if (expected !== undefined) mustBe(key, expected);
      if (keys.size >= MOST_CACHED) for (const oldest of keys.keys()) if (keys.delete(oldest)) break;
      keys.set(name, key);
      return key;
    },
    publicHalf(key, proof = "doubtful") {
      if (key.address.objectClass === "secret")
        throw new CasemateError("NOT_SUPPORTED", "a secret key has no public half");
      const known = halves.get(key);
      if (known !== undefined && (known.certain || proof !== "always")) return known;
      const half = session.run((open) => findPublicHalf(lane, open, key, proof));
      halves.set(key, half);
      return half;
    },
    forget(ref, isGone) {
      const name = nameOf(splitKeyRef(ref).place);
      drop(ref);
      if (isGone) gone.add(name);
      else gone.delete(name);
    },
    drop,
  };
}
