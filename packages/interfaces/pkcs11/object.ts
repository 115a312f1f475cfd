// Implements: PKCS #11 v3.0 §4, objects: what they are, what may be read, what may be changed.
import type { KeyObject } from "node:crypto";
import type { KeyAlgorithm } from "@casemate/devices/contract";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKK, CKO } from "@casemate/protocols/p11-rpc";
import type { SessionKey, SessionPrivate, SessionSecret } from "./session-keyring.ts";
import { failure } from "./status.ts";
import { booleanOf, checkDate, sameValue, type Template, type Value } from "./values.ts";

/** A key version of the keyring. */
export interface DeviceKey {
  readonly name: string;
  readonly version: number;
  readonly algorithm: KeyAlgorithm;
  readonly device: string;
}

/** What an operation works with. */
export type Material =
  | { readonly kind: "device"; readonly key: DeviceKey }
  | {
      readonly kind: "public";
      readonly key: KeyObject;
      /** The private half. */
      readonly device?: DeviceKey;
      /** The private half that was destroyed, of which this is left. */
      readonly left?: DeviceKey;
    }
  | { readonly kind: "secret"; readonly key: SessionSecret }
  | { readonly kind: "private"; readonly key: SessionPrivate };

/** The session key behind a material, if it is one. */
export function sessionKeyOf(material: Material | undefined): SessionKey | undefined {
  return material?.kind === "secret" || material?.kind === "private" ? material.key : undefined;
}

/** The key of the keyring that an object is a half of, or is what is left of. */
export function keyBehind(material: Material | undefined): DeviceKey | undefined {
  if (material?.kind === "device") return material.key;
  return material?.kind === "public" ? (material.device ?? material.left) : undefined;
}

/** An object as the handlers see it. */
export interface P11Object {
  /** The same for the same object in every application. */
  readonly uid: string;
  readonly attributes: Template;
  readonly material?: Material;
}

/** What a change of a token object's key or record is called; undefined for session objects. */
export function groupOf({ uid, material }: P11Object): string | undefined {
  const key = keyBehind(material);
  if (key !== undefined) return `key/${key.name}`;
  return uid.startsWith("object/") ? uid : undefined;
}

/** Values that only ever leave a key which is neither sensitive nor unextractable. */
export const SECRETS: ReadonlySet<number> = new Set([
  CKA.VALUE,
  CKA.PRIVATE_EXPONENT,
  CKA.PRIME_1,
  CKA.PRIME_2,
  CKA.EXPONENT_1,
  CKA.EXPONENT_2,
  CKA.COEFFICIENT,
]);

export function classOf(object: P11Object): number {
  return object.attributes.get(CKA.CLASS) as number;
}
export function isToken(object: P11Object): boolean {
  return object.attributes.get(CKA.TOKEN) === true;
}
export function isPrivate(object: P11Object): boolean {
  return object.attributes.get(CKA.PRIVATE) === true;
}
export function allows(object: P11Object, attribute: number): boolean {
  return object.attributes.get(attribute) === true;
}
export function isKeyClass(objectClass: number): boolean {
  return objectClass === CKO.SECRET_KEY || objectClass === CKO.PRIVATE_KEY;
}

/** Whether this is a part of the key's value: of RSA keys all but CKA_VALUE, of all others that alone. */
export function isSecret(object: P11Object, type: number): boolean {
  if (!SECRETS.has(type) || !isKeyClass(classOf(object))) return false;
  const rsa = classOf(object) === CKO.PRIVATE_KEY && object.attributes.get(CKA.KEY_TYPE) === CKK.RSA;
  return (type === CKA.VALUE) !== rsa;
}

/** Whether the value of this attribute must not be shown. */
export function isHidden(object: P11Object, type: number): boolean {
  return (
    isSecret(object, type) &&
    (object.attributes.get(CKA.SENSITIVE) !== false || object.attributes.get(CKA.EXTRACTABLE) !== true)
  );
}

/** The value of an attribute: what is held, and the name that every object has (PKCS #11 v3.0 §4.4). */
export function valueOf(object: P11Object, type: number): Value | undefined {
  return type === CKA.UNIQUE_ID ? toUtf8(object.uid) : object.attributes.get(type);
}

export function matches(object: P11Object, template: Template): boolean {
  for (const [type, wanted] of template) {
    const value = valueOf(object, type);
    if (value === undefined || isHidden(object, type) || !sameValue(value, wanted)) return false;
  }
  return true;
}

/** PKCS #11 v3.0 §4.4 binds nobody to what CKA_DESTROYABLE once was, other than with CKA_COPYABLE. */
const CHANGES = [CKA.LABEL, CKA.DESTROYABLE] as const;
const CHANGES_OF_KEYS = [...CHANGES, CKA.ID, CKA.START_DATE, CKA.END_DATE, CKA.DERIVE] as const;
/** What C_SetAttributeValue may change at any time, by class; of a certificate §4.6.3 says which. */
const FREE: ReadonlyMap<number, ReadonlySet<number>> = new Map<number, ReadonlySet<number>>([
  [CKO.DATA, new Set(CHANGES)],
  [CKO.CERTIFICATE, new Set([...CHANGES, CKA.ID, CKA.ISSUER, CKA.SERIAL_NUMBER, CKA.AC_ISSUER, CKA.ATTR_TYPES])],
  [CKO.PUBLIC_KEY, new Set([...CHANGES_OF_KEYS, CKA.SUBJECT, CKA.ENCRYPT, CKA.VERIFY, CKA.VERIFY_RECOVER, CKA.WRAP])],
  [CKO.PRIVATE_KEY, new Set([...CHANGES_OF_KEYS, CKA.SUBJECT, CKA.DECRYPT, CKA.SIGN, CKA.SIGN_RECOVER, CKA.UNWRAP])],
  [CKO.SECRET_KEY, new Set([...CHANGES_OF_KEYS, CKA.ENCRYPT, CKA.DECRYPT, CKA.SIGN, CKA.VERIFY, CKA.WRAP, CKA.UNWRAP])],
]);
const NONE: ReadonlySet<number> = new Set();
/** Booleans that can only be changed to this value; once there, they stay (footnotes 11 and 12 of Table 10). */
const ONE_WAY: ReadonlyMap<number, boolean> = new Map([
  [CKA.SENSITIVE, true],
  [CKA.WRAP_WITH_TRUSTED, true],
  [CKA.EXTRACTABLE, false],
  [CKA.COPYABLE, false],
]);

/** Whether an object is one half of a key in a device. Nobody says that such a key is trusted: its labels are open to more than the security officer. */
function inDevice({ material }: P11Object): boolean {
  return keyBehind(material) !== undefined;
}

/** Throws what C_SetAttributeValue and C_CopyObject answer to a change that is not allowed; `trusts` is who is security officer. */
export function checkChange(
  object: P11Object,
  changes: Template,
  { copying, trusts }: { readonly copying: boolean; readonly trusts: boolean },
): void {
  if (!copying && booleanOf(object.attributes, CKA.MODIFIABLE) === false) throw failure("ACTION_PROHIBITED");
  // PKCS #11 v3.0 §4.6.2; its security officer may, and a copy is one that nobody has trusted yet.
  if (!copying && !trusts && classOf(object) === CKO.CERTIFICATE && allows(object, CKA.TRUSTED))
    throw failure("ACTION_PROHIBITED", "a trusted certificate is not modified");
  const free = FREE.get(classOf(object)) ?? NONE;
  for (const [type, value] of changes) {
    const before = valueOf(object, type);
    if (before === undefined && !free.has(type) && !isSecret(object, type))
      throw failure("ATTRIBUTE_TYPE_INVALID", `0x${type.toString(16)}`);
    if (copying && (type === CKA.TOKEN || type === CKA.PRIVATE || type === CKA.MODIFIABLE)) continue;
    // PKCS #11 v3.0 §4.10: supplying no value takes it away.
    if (type === CKA.CHECK_VALUE && value instanceof Uint8Array && value.length === 0) continue;
    // A copy is an object of its own, and what a data object holds is all its application's.
    if (copying && type === CKA.VALUE && classOf(object) === CKO.DATA) continue;
    if (trusts && type === CKA.TRUSTED && !inDevice(object) && typeof value === "boolean") continue;
    const only = ONE_WAY.get(type);
    if (only !== undefined && (copying ? value === only || before === value : value === only && before !== only))
      continue;
    if (!free.has(type)) throw failure("ATTRIBUTE_READ_ONLY", `0x${type.toString(16)}`);
    if (before !== undefined && typeof before !== typeof value) throw failure("ATTRIBUTE_VALUE_INVALID");
    checkDate(type, value);
  }
}

/** What a call answers for one attribute. */
export type Shown = { readonly value: Value } | { readonly missing: "sensitive" | "unknown" };

export function show(object: P11Object, type: number): Shown {
  if (isHidden(object, type)) return { missing: "sensitive" };
  const value = valueOf(object, type);
  return value === undefined ? { missing: "unknown" } : { value };
}
