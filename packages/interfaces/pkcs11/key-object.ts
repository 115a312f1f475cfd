// Implements: PKCS #11 v3.0 §4.7 to §4.10, the attributes of keys that the keyring holds in a device.
import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { fromBase64Url, toBase64Url, toUtf8 } from "@casemate/foundation/bytes";
import type { KeyAlgorithm } from "@casemate/devices/contract";
import type { KeyVersionView, KeyView } from "@casemate/keyring/core";
import { CK_UNAVAILABLE, CKA, CKK, CKM, CKO } from "@casemate/protocols/p11-rpc";
import { curveByAlgorithm, pointOf } from "./curves.ts";
import type { DeviceKey, P11Object } from "./object.ts";
import { failure } from "./status.ts";
import type { Template, Value } from "./values.ts";

const EMPTY = new Uint8Array(0);

/** Key type, and the mechanism that makes such a key. */
export function keyTypeOf(algorithm: KeyAlgorithm): { readonly keyType: number; readonly generator: number } {
  if (algorithm.startsWith("rsa-")) return { keyType: CKK.RSA, generator: CKM.RSA_PKCS_KEY_PAIR_GEN };
  if (algorithm.startsWith("aes-")) return { keyType: CKK.AES, generator: CKM.AES_KEY_GEN };
  if (algorithm.startsWith("hmac-")) return { keyType: CKK.GENERIC_SECRET, generator: CKM.GENERIC_SECRET_KEY_GEN };
  if (algorithm.startsWith("ml-dsa")) return { keyType: CKK.ML_DSA, generator: CKM.ML_DSA_KEY_PAIR_GEN };
  if (algorithm.startsWith("ml-kem")) return { keyType: CKK.ML_KEM, generator: CKM.ML_KEM_KEY_PAIR_GEN };
  if (algorithm.startsWith("slh-dsa")) return { keyType: CKK.SLH_DSA, generator: CKM.SLH_DSA_KEY_PAIR_GEN };
  const keyType = curveByAlgorithm(algorithm)?.keyType ?? CKK.EC;
  return {
    keyType,
    generator:
      keyType === CKK.EC
        ? CKM.EC_KEY_PAIR_GEN
        : keyType === CKK.EC_EDWARDS
          ? CKM.EC_EDWARDS_KEY_PAIR_GEN
          : CKM.EC_MONTGOMERY_KEY_PAIR_GEN,
  };
}

/** Bytes of a secret key's value. */
export function secretBytesOf(algorithm: KeyAlgorithm): number {
  if (algorithm.startsWith("aes-")) return Number(algorithm.slice(4)) / 8;
  return algorithm === "hmac-sha512" ? 64 : algorithm === "hmac-sha384" ? 48 : 32;
}

/** Attributes of a public key that follow from its value. */
export function publicAttributes(key: KeyObject, spki: Uint8Array): [number, Value][] {
  const attributes: [number, Value][] = [[CKA.PUBLIC_KEY_INFO, spki]];
  if (key.asymmetricKeyType === "rsa") {
    const jwk = key.export({ format: "jwk" });
    const modulus = fromBase64Url(jwk.n ?? "");
    attributes.push([CKA.MODULUS, modulus], [CKA.PUBLIC_EXPONENT, fromBase64Url(jwk.e ?? "")]);
    attributes.push([CKA.MODULUS_BITS, key.asymmetricKeyDetails?.modulusLength ?? modulus.length * 8]);
    return attributes;
  }
  const name = key.asymmetricKeyType === "ec" ? key.asymmetricKeyDetails?.namedCurve : key.asymmetricKeyType;
  const curve = curveOfName(name);
  if (curve !== undefined) attributes.push([CKA.EC_PARAMS, curve.params], [CKA.EC_POINT, pointOf(key)]);
  return attributes;
}

function curveOfName(name: string | undefined): ReturnType<typeof curveByAlgorithm> {
  const algorithm = { prime256v1: "ec-p256", secp384r1: "ec-p384", secp521r1: "ec-p521", secp256k1: "ec-secp256k1" };
  if (name === undefined) return undefined;
  return curveByAlgorithm(Object.hasOwn(algorithm, name) ? algorithm[name as keyof typeof algorithm] : name);
}

/** Which half of a key an attribute of the caller's belongs to. */
export type Half = "key" | "pub";

const PREFIX = "pkcs11";
/** Characters of a label of the keyring. */
const MAX_LABEL_TEXT = 256;
/** Labels that a key has for all of this: the keyring keeps 64, and a half that is hidden or left takes one when it is. */
const MAX_LABELS = 60;
/** Bytes of an attribute of a token key. */
const MAX_VALUE = 2048;
/** Characters of such a value: its kind, and base64url. */
const MAX_TEXT = 1 + Math.ceil((MAX_VALUE * 4) / 3);

/** The text by which labels of the keyring keep a value; undefined for one that they do not keep. */
function textOf(value: Value): string | undefined {
  if (typeof value === "boolean") return `b${value ? 1 : 0}`;
  if (typeof value === "number") return `n${value}`;
  if (value instanceof Uint8Array) return `x${toBase64Url(value)}`;
  return Array.isArray(value) ? `m${value.join(".")}` : undefined;
}

/**
 * Keeps an attribute which an application chose in the labels of its key: in one, and what is longer in further ones that are
 * counted (`pkcs11.pub.101`, `pkcs11.pub.101.1`). @throws CKR_DEVICE_MEMORY when it does not fit.
 */
export function keepAttribute(labels: Record<string, string>, half: Half, type: number, value: Value): void {
  const text = textOf(value);
  if (text === undefined || text.length > MAX_TEXT) throw failure("DEVICE_MEMORY", "attribute value too long");
  const name = `${PREFIX}.${half}.${type.toString(16)}`;
  const before = Object.keys(labels);
  // What is left of a longer value would be read with this one.
  for (const other of before) if (other.startsWith(`${name}.`)) delete labels[other];
  for (let at = 0; at < text.length; at += MAX_LABEL_TEXT) {
    labels[at === 0 ? name : `${name}.${at / MAX_LABEL_TEXT}`] = text.slice(at, at + MAX_LABEL_TEXT);
  }
  const count = Object.keys(labels).length;
  if (count > MAX_LABELS && count > before.length) throw failure("DEVICE_MEMORY", "too many labels");
}

/** The attributes that applications chose for this half, from the key's labels. */
export function attributesFromLabels(labels: Readonly<Record<string, string>>, half: Half): [number, Value][] {
  const prefix = `${PREFIX}.${half}.`;
  const attributes: [number, Value][] = [];
  for (const [name, first] of Object.entries(labels)) {
    if (!name.startsWith(prefix) || name.includes(".", prefix.length)) continue;
    const type = Number.parseInt(name.slice(prefix.length), 16);
    let text = first;
    for (let i = 1; ; i++) {
      const more = labels[`${name}.${i}`];
      if (more === undefined) break;
      text += more;
    }
    const kind = text[0];
    try {
      if (kind === "b") attributes.push([type, text[1] === "1"]);
      else if (kind === "n") attributes.push([type, Number(text.slice(1))]);
      else if (kind === "m") attributes.push([type, text.slice(1).split(".").map(Number)]);
      else if (kind === "x") attributes.push([type, fromBase64Url(text.slice(1))]);
    } catch {
      // A label that somebody else wrote under our prefix says nothing.
    }
  }
  return attributes;
}

/** Set while the public half is hidden because an application destroyed it, or has it in its session alone. */
export const HIDDEN_PUBLIC = `${PREFIX}.pub.hidden`;

/** Set while the public half of this version is left although an application destroyed the private one. */
export const leftPublic = (version: number): string => `${PREFIX}.pub.left.${version}`;

function date(iso: string | undefined): Uint8Array {
  return iso === undefined ? EMPTY : toUtf8(iso.slice(0, 10).replaceAll("-", ""));
}

function identifier(version: KeyVersionView, key: KeyView): Uint8Array {
  const source = version.publicKey ?? toUtf8(`${key.id}/${version.version}`);
  return new Uint8Array(createHash("sha1").update(source).digest());
}

/** The objects of one key version: private and public, or secret. */
export function keyObjects(key: KeyView, version: KeyVersionView): readonly P11Object[] {
  const primary = version.version === key.primaryVersion;
  const { keyType, generator } = keyTypeOf(key.algorithm);
  const local = version.origin === "generated";
  const wasExtractable = key.exportableUntil !== undefined && version.createdAt <= key.exportableUntil;
  const material: DeviceKey = {
    name: key.name,
    version: version.version,
    algorithm: key.algorithm,
    device: version.device,
  };
  const can = (usage: KeyView["usages"][number]): boolean => key.usages.includes(usage);
  const shared: [number, Value][] = [
    [CKA.TOKEN, true],
    [CKA.LABEL, toUtf8(primary ? key.name : `${key.name} (version ${version.version})`)],
    [CKA.ID, identifier(version, key)],
    [CKA.KEY_TYPE, keyType],
    [CKA.MODIFIABLE, true],
    [CKA.COPYABLE, false],
    [CKA.DESTROYABLE, true],
    [CKA.START_DATE, date(version.activateAt)],
    [CKA.END_DATE, date(version.deactivateAt)],
    [CKA.LOCAL, local],
    [CKA.KEY_GEN_MECHANISM, local ? generator : CK_UNAVAILABLE],
    [CKA.DERIVE, can("agree")],
    [CKA.ALLOWED_MECHANISMS, []],
  ];
  const secrecy: [number, Value][] = [
    [CKA.PRIVATE, true],
    [CKA.SENSITIVE, true],
    [CKA.EXTRACTABLE, key.exportable],
    [CKA.ALWAYS_SENSITIVE, local],
    [CKA.NEVER_EXTRACTABLE, local && !key.exportable && !wasExtractable],
    [CKA.WRAP_WITH_TRUSTED, false],
  ];
  const uid = `key/${key.id}/${version.version}`;
  const own = (half: Half): [number, Value][] =>
    primary
      ? attributesFromLabels(key.labels, half)
      : attributesFromLabels(key.labels, half).filter(([type]) => type !== CKA.ID && type !== CKA.LABEL);

  if (version.publicKey === undefined) {
    const attributes: Template = new Map<number, Value>([
      [CKA.CLASS, CKO.SECRET_KEY],
      ...shared,
      ...secrecy,
      [CKA.VALUE_LEN, secretBytesOf(key.algorithm)],
      [CKA.TRUSTED, false],
      [CKA.ENCRYPT, can("encrypt")],
      [CKA.DECRYPT, can("encrypt")],
      [CKA.SIGN, can("mac")],
      [CKA.VERIFY, can("mac")],
      [CKA.WRAP, can("wrap")],
      [CKA.UNWRAP, can("wrap")],
      ...own("key"),
    ]);
    return [{ uid: `${uid}/secret`, attributes, material: { kind: "device", key: material } }];
  }

  const publicKey = parsePublicKey(version.publicKey);
  const derived = publicKey === undefined ? [] : publicAttributes(publicKey, version.publicKey);
  const objects: P11Object[] = [
    {
      uid: `${uid}/private`,
      attributes: new Map<number, Value>([
        [CKA.CLASS, CKO.PRIVATE_KEY],
        ...shared,
        ...secrecy,
        ...derived.filter(([type]) => type !== CKA.MODULUS_BITS && type !== CKA.EC_POINT),
        [CKA.SUBJECT, EMPTY],
        [CKA.ALWAYS_AUTHENTICATE, false],
        [CKA.DECRYPT, can("encrypt")],
        [CKA.SIGN, can("sign")],
        [CKA.SIGN_RECOVER, can("sign") && keyType === CKK.RSA],
        [CKA.UNWRAP, can("wrap")],
        ...own("key"),
      ]),
      material: { kind: "device", key: material },
    },
  ];
  if (publicKey !== undefined && (!primary || key.labels[HIDDEN_PUBLIC] === undefined)) {
    objects.push({
      uid: `${uid}/public`,
      attributes: new Map<number, Value>([
        [CKA.CLASS, CKO.PUBLIC_KEY],
        ...shared,
        ...derived,
        [CKA.PRIVATE, false],
        [CKA.SUBJECT, EMPTY],
        [CKA.TRUSTED, false],
        [CKA.ENCRYPT, can("encrypt")],
        [CKA.VERIFY, can("sign")],
        [CKA.VERIFY_RECOVER, can("sign") && keyType === CKK.RSA],
        [CKA.WRAP, can("wrap")],
        ...own("pub"),
      ]),
      material: { kind: "public", key: publicKey, device: material },
    });
  }
  return objects;
}

/** The public half of a version whose private half was destroyed: nothing but its value, which the keyring no longer uses. */
export function publicLeft(key: KeyView, version: KeyVersionView): readonly P11Object[] {
  return keyObjects(key, version).flatMap((object) => {
    if (object.material?.kind !== "public") return [];
    const { key: value, device } = object.material;
    return [{ ...object, material: { kind: "public", key: value, ...(device === undefined ? {} : { left: device }) } }];
  });
}

/** Undefined for a kind of key that this Node cannot read. */
export function parsePublicKey(spki: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch {
    return undefined;
  }
}

/** CKA_ID as the ObjectStore indexes it. */
export const idText = (id: Uint8Array): string => id.toHex();
/** Set on keys that this interface needs for itself; applications do not see them. */
export const INTERNAL = `${PREFIX}.internal`;
/** Home of the slot where an application made the key. */
export const MADE_HERE = `${PREFIX}.made`;
