// Implements: PKCS #11 v3.0 §4.1.1 and §4.7 to §4.10, what an object is made of: what must be given, what may, what follows.
import { CK_UNAVAILABLE, CKA, CKC, CKK, CKM, CKO } from "@casemate/protocols/p11-rpc";
import { LIMITS, type CurveName, type Grants, type RequestOf, type SecretType } from "@casemate/protocols/session-keys";
import { publicKeyOf } from "./catalogue.ts";
import { checkSecretValue } from "./check-value.ts";
import { curveByParams, curveOfKey, octetString } from "./curves.ts";
import { publicAttributes } from "./key-object.ts";
import { SECRETS, type Material } from "./object.ts";
import type { SessionPrivate, SessionSecret } from "./session-keyring.ts";
import { failure } from "./status.ts";
import { unsaid } from "./unsaid.ts";
import { bytesOf, checkDate, numberOf, sameValue, type Template, type Value } from "./values.ts";

const EMPTY = new Uint8Array(0);

type Defaults = readonly (readonly [number, Value])[];

const STORAGE: Defaults = [
  [CKA.TOKEN, false],
  [CKA.MODIFIABLE, true],
  [CKA.COPYABLE, true],
  [CKA.DESTROYABLE, true],
  [CKA.LABEL, EMPTY],
];
const KEY: Defaults = [
  ...STORAGE,
  [CKA.ID, EMPTY],
  [CKA.START_DATE, EMPTY],
  [CKA.END_DATE, EMPTY],
  [CKA.DERIVE, false],
  [CKA.ALLOWED_MECHANISMS, []],
];
const SECRECY: Defaults = [
  [CKA.SENSITIVE, false],
  [CKA.EXTRACTABLE, true],
  [CKA.WRAP_WITH_TRUSTED, false],
];

const NO_TEMPLATE: Template = new Map();

/** What an object of a class has when nothing is said; of what it may be used for, `unsaid` knows more. */
const DEFAULTS: ReadonlyMap<number, Defaults> = new Map<number, Defaults>([
  [CKO.DATA, [...STORAGE, [CKA.PRIVATE, false], [CKA.APPLICATION, EMPTY], [CKA.OBJECT_ID, EMPTY], [CKA.VALUE, EMPTY]]],
  [
    CKO.CERTIFICATE,
    [
      ...STORAGE,
      [CKA.PRIVATE, false],
      [CKA.TRUSTED, false],
      [CKA.CERTIFICATE_CATEGORY, 0],
      [CKA.ID, EMPTY],
      [CKA.START_DATE, EMPTY],
      [CKA.END_DATE, EMPTY],
      [CKA.ISSUER, EMPTY],
      [CKA.SERIAL_NUMBER, EMPTY],
      [CKA.URL, EMPTY],
      [CKA.HASH_OF_SUBJECT_PUBLIC_KEY, EMPTY],
      [CKA.HASH_OF_ISSUER_PUBLIC_KEY, EMPTY],
      [CKA.JAVA_MIDP_SECURITY_DOMAIN, 0],
      [CKA.NAME_HASH_ALGORITHM, CKM.SHA_1],
      [CKA.PUBLIC_KEY_INFO, EMPTY],
      [CKA.AC_ISSUER, EMPTY],
      [CKA.ATTR_TYPES, EMPTY],
    ],
  ],
  [
    CKO.PUBLIC_KEY,
    [
      ...KEY,
      [CKA.PRIVATE, false],
      [CKA.SUBJECT, EMPTY],
      [CKA.TRUSTED, false],
      [CKA.ENCRYPT, false],
      [CKA.VERIFY, false],
      [CKA.VERIFY_RECOVER, false],
      [CKA.WRAP, false],
      [CKA.WRAP_TEMPLATE, NO_TEMPLATE],
    ],
  ],
  [
    CKO.PRIVATE_KEY,
    [
      ...KEY,
      ...SECRECY,
      [CKA.SUBJECT, EMPTY],
      [CKA.ALWAYS_AUTHENTICATE, false],
      [CKA.DECRYPT, false],
      [CKA.SIGN, false],
      [CKA.SIGN_RECOVER, false],
      [CKA.UNWRAP, false],
      [CKA.UNWRAP_TEMPLATE, NO_TEMPLATE],
      [CKA.DERIVE_TEMPLATE, NO_TEMPLATE],
    ],
  ],
  [
    CKO.SECRET_KEY,
    [
      ...KEY,
      ...SECRECY,
      [CKA.TRUSTED, false],
      [CKA.ENCRYPT, false],
      [CKA.DECRYPT, false],
      [CKA.SIGN, false],
      [CKA.VERIFY, false],
      [CKA.WRAP, false],
      [CKA.UNWRAP, false],
      [CKA.WRAP_TEMPLATE, NO_TEMPLATE],
      [CKA.UNWRAP_TEMPLATE, NO_TEMPLATE],
      [CKA.DERIVE_TEMPLATE, NO_TEMPLATE],
    ],
  ],
]);

/** Attributes that only the token sets. */
const OWN: ReadonlySet<number> = new Set([
  CKA.LOCAL,
  CKA.ALWAYS_SENSITIVE,
  CKA.NEVER_EXTRACTABLE,
  CKA.KEY_GEN_MECHANISM,
  CKA.UNIQUE_ID,
]);

/** Further attributes that a template may name, by class: values of keys and certificates. */
const VALUES: ReadonlyMap<number, ReadonlySet<number>> = new Map([
  [CKO.DATA, new Set<number>()],
  [CKO.CERTIFICATE, new Set([CKA.CERTIFICATE_TYPE, CKA.VALUE, CKA.SUBJECT, CKA.CHECK_VALUE, CKA.OWNER])],
  [
    CKO.PUBLIC_KEY,
    new Set([
      CKA.KEY_TYPE,
      CKA.MODULUS,
      CKA.MODULUS_BITS,
      CKA.PUBLIC_EXPONENT,
      CKA.EC_PARAMS,
      CKA.EC_POINT,
      CKA.PUBLIC_KEY_INFO,
      CKA.CHECK_VALUE,
    ]),
  ],
  [
    CKO.PRIVATE_KEY,
    new Set([
      CKA.KEY_TYPE,
      CKA.MODULUS,
      CKA.PUBLIC_EXPONENT,
      CKA.PRIVATE_EXPONENT,
      CKA.PRIME_1,
      CKA.PRIME_2,
      CKA.EXPONENT_1,
      CKA.EXPONENT_2,
      CKA.COEFFICIENT,
      CKA.EC_PARAMS,
      CKA.EC_POINT,
      CKA.VALUE,
      CKA.PUBLIC_KEY_INFO,
    ]),
  ],
  [CKO.SECRET_KEY, new Set([CKA.KEY_TYPE, CKA.VALUE, CKA.VALUE_LEN, CKA.CHECK_VALUE])],
]);

export interface Origin {
  /** The mechanism that made it inside the token; undefined for a value that came from outside. */
  readonly generatedBy?: number;
  /** The key from which it is derived: what was never shown of that was never shown of this. */
  readonly derivedFrom?: Template;
  /** Whether the user is logged in: private objects are the default then. */
  readonly loggedIn: boolean;
  /** Whether the security officer is, who alone says what is trusted. */
  readonly trusts?: boolean;
}

/**
 * All attributes of an object of `objectClass` made with this template.
 * @throws CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_VALUE_INVALID, CKR_TEMPLATE_INCONSISTENT.
 */
export function complete(objectClass: number, template: Template, origin: Origin): Map<number, Value> {
  const defaults = DEFAULTS.get(objectClass);
  const values = VALUES.get(objectClass);
  if (defaults === undefined || values === undefined) throw failure("ATTRIBUTE_VALUE_INVALID", `class ${objectClass}`);
  const attributes = new Map<number, Value>([[CKA.CLASS, objectClass], [CKA.PRIVATE, origin.loggedIn], ...defaults]);
  for (const type of unsaid(objectClass, template)) attributes.set(type, true);
  // A secret that is to stay hidden is not taken out wrapped either, unless that was asked for.
  if (objectClass === CKO.SECRET_KEY && template.get(CKA.SENSITIVE) === true) attributes.set(CKA.EXTRACTABLE, false);
  for (const [type, value] of template) {
    if (OWN.has(type)) throw failure("ATTRIBUTE_READ_ONLY", `0x${type.toString(16)}`);
    const before = attributes.get(type);
    if (before === undefined && !values.has(type)) throw failure("ATTRIBUTE_TYPE_INVALID", `0x${type.toString(16)}`);
    if (type === CKA.CLASS && value !== objectClass) throw failure("TEMPLATE_INCONSISTENT");
    if (type === CKA.TRUSTED && value === true && origin.trusts !== true)
      throw failure("ATTRIBUTE_READ_ONLY", "only a security officer trusts");
    if (before !== undefined && typeof before !== typeof value) throw failure("ATTRIBUTE_VALUE_INVALID");
    checkDate(type, value);
    attributes.set(type, value);
  }
  checkAlwaysAuthenticate(attributes);
  if (objectClass === CKO.PUBLIC_KEY || objectClass === CKO.PRIVATE_KEY || objectClass === CKO.SECRET_KEY) {
    const local = origin.generatedBy !== undefined;
    attributes.set(CKA.LOCAL, local);
    attributes.set(CKA.KEY_GEN_MECHANISM, origin.generatedBy ?? CK_UNAVAILABLE);
    if (objectClass !== CKO.PUBLIC_KEY) {
      // PKCS #11 v3.0, CKM_ECDH1_DERIVE and the derivations by a hash: as far as it is true of the base key.
      const base = origin.derivedFrom;
      const hidden = local || base?.get(CKA.ALWAYS_SENSITIVE) === true;
      const kept = local || base?.get(CKA.NEVER_EXTRACTABLE) === true;
      attributes.set(CKA.ALWAYS_SENSITIVE, hidden && attributes.get(CKA.SENSITIVE) === true);
      attributes.set(CKA.NEVER_EXTRACTABLE, kept && attributes.get(CKA.EXTRACTABLE) === false);
    }
  }
  return attributes;
}

/** A login before each use is of a key that nobody uses without one. @throws CKR_TEMPLATE_INCONSISTENT. */
export function checkAlwaysAuthenticate(attributes: Template): void {
  if (attributes.get(CKA.ALWAYS_AUTHENTICATE) === true && attributes.get(CKA.PRIVATE) !== true)
    throw failure("TEMPLATE_INCONSISTENT", "CKA_ALWAYS_AUTHENTICATE takes CKA_PRIVATE");
}

/** @throws CKR_TEMPLATE_INCOMPLETE. */
export function required(template: Template, ...types: readonly number[]): void {
  for (const type of types) {
    if (!template.has(type)) throw failure("TEMPLATE_INCOMPLETE", `0x${type.toString(16)} is missing`);
  }
}

const SECRET_SIZES: ReadonlyMap<number, readonly number[]> = new Map([
  [CKK.AES, [16, 24, 32]],
  [CKK.DES, [8]],
  [CKK.DES2, [16]],
  [CKK.DES3, [24]],
]);
const SECRET_TYPES: ReadonlySet<number> = new Set([
  ...SECRET_SIZES.keys(),
  CKK.GENERIC_SECRET,
  CKK.MD5_HMAC,
  CKK.SHA_1_HMAC,
  CKK.SHA224_HMAC,
  CKK.SHA256_HMAC,
  CKK.SHA384_HMAC,
  CKK.SHA512_HMAC,
  CKK.SHA512_224_HMAC,
  CKK.SHA512_256_HMAC,
]);

/** @throws CKR_ATTRIBUTE_VALUE_INVALID for a type or size that does not exist. An empty value is allowed, and of no use. */
export function checkSecret(keyType: number, length: number): void {
  if (!SECRET_TYPES.has(keyType)) throw failure("ATTRIBUTE_VALUE_INVALID", `key type ${keyType}`);
  const sizes = SECRET_SIZES.get(keyType);
  if (length !== 0 && (length > 4096 || (sizes !== undefined && !sizes.includes(length)))) {
    throw failure("ATTRIBUTE_VALUE_INVALID", `${length} bytes`);
  }
}

/** Key type of a template. @throws CKR_TEMPLATE_INCOMPLETE, CKR_ATTRIBUTE_VALUE_INVALID. */
export function keyTypeIn(template: Template): number {
  required(template, CKA.KEY_TYPE);
  const keyType = numberOf(template, CKA.KEY_TYPE);
  if (keyType === undefined) throw failure("ATTRIBUTE_VALUE_INVALID");
  return keyType;
}

/** What the process of the session keys takes a type of secret for. */
export function secretTypeOf(keyType: number): SecretType {
  return keyType === CKK.AES ? "aes" : SECRET_SIZES.has(keyType) ? "des" : "generic";
}

/** Values are where the key is, and nowhere else. */
function withoutValues(attributes: Map<number, Value>): void {
  for (const type of SECRETS) {
    const value = attributes.get(type);
    if (value instanceof Uint8Array) value.fill(0);
    attributes.delete(type);
  }
}

/** Fills in what follows from a secret session key. @throws CKR_ATTRIBUTE_VALUE_INVALID for another check value. */
export function secretMaterial(attributes: Map<number, Value>, key: SessionSecret): Material {
  checkSecretValue(attributes, key);
  withoutValues(attributes);
  attributes.set(CKA.VALUE_LEN, key.length);
  return { kind: "secret", key };
}

/** How a private key is brought in. */
export type PrivateImport =
  | { readonly name: "importRsa"; readonly request: Omit<RequestOf<"importRsa">, keyof Grants> }
  | { readonly name: "importCurve"; readonly request: Omit<RequestOf<"importCurve">, keyof Grants> };

/** A private key from its attributes. @throws CKR_TEMPLATE_INCOMPLETE, CKR_ATTRIBUTE_VALUE_INVALID, CKR_CURVE_NOT_SUPPORTED. */
export function privateImport(template: Template): PrivateImport {
  const keyType = keyTypeIn(template);
  const part = (type: number): Uint8Array => {
    const value = bytesOf(template, type) ?? EMPTY;
    if (value.length > LIMITS.number) throw failure("ATTRIBUTE_VALUE_INVALID", `0x${type.toString(16)}`);
    return value;
  };
  if (keyType === CKK.RSA) {
    // PKCS #11 v3.0 §2.1.3: what else belongs to a key may be left out. The process that holds it finds the rest.
    required(template, CKA.MODULUS, CKA.PRIVATE_EXPONENT);
    const request = {
      n: part(CKA.MODULUS),
      e: part(CKA.PUBLIC_EXPONENT),
      d: part(CKA.PRIVATE_EXPONENT),
      p: part(CKA.PRIME_1),
      q: part(CKA.PRIME_2),
      dp: part(CKA.EXPONENT_1),
      dq: part(CKA.EXPONENT_2),
      qi: part(CKA.COEFFICIENT),
    };
    return { name: "importRsa", request };
  }
  required(template, CKA.EC_PARAMS, CKA.VALUE);
  const curve = curveByParams(bytesOf(template, CKA.EC_PARAMS) ?? EMPTY);
  if (curve === undefined) throw failure("CURVE_NOT_SUPPORTED");
  const value = part(CKA.VALUE);
  if (value.length === 0 || value.length > curve.bytes + 1) throw failure("ATTRIBUTE_VALUE_INVALID", "CKA_VALUE");
  return { name: "importCurve", request: { curve: curve.node as CurveName, value } };
}

/** Fills in the public parts of a private session key. */
export function privateMaterial(attributes: Map<number, Value>, key: SessionPrivate): Material {
  withoutValues(attributes);
  for (const [type, value] of publicAttributes(key.public, key.spki)) {
    if (type !== CKA.MODULUS_BITS && type !== CKA.EC_POINT) attributes.set(type, value);
  }
  return { kind: "private", key };
}

/** A public session key from its attributes. @throws CKR_TEMPLATE_INCOMPLETE, CKR_ATTRIBUTE_VALUE_INVALID, CKR_CURVE_NOT_SUPPORTED. */
export function publicMaterial(attributes: Map<number, Value>): Material {
  const keyType = keyTypeIn(attributes);
  if (keyType === CKK.RSA) required(attributes, CKA.MODULUS, CKA.PUBLIC_EXPONENT);
  else {
    required(attributes, CKA.EC_PARAMS, CKA.EC_POINT);
    if (curveByParams(bytesOf(attributes, CKA.EC_PARAMS) ?? EMPTY) === undefined) throw failure("CURVE_NOT_SUPPORTED");
  }
  const key = publicKeyOf(attributes);
  if (key === undefined) throw failure("ATTRIBUTE_VALUE_INVALID");
  const own = publicAttributes(key, key.export({ format: "der", type: "spki" }));
  for (const [type, value] of own) {
    const given = type === CKA.MODULUS_BITS || type === CKA.PUBLIC_KEY_INFO ? attributes.get(type) : undefined;
    if (given !== undefined && !sameValue(given, EMPTY) && !sameValue(given, value))
      throw failure("TEMPLATE_INCONSISTENT", `0x${type.toString(16)} is of another key`);
  }
  for (const [type, value] of own) {
    // The point stays as the application wrote it, wrapped in an OCTET STRING or not.
    if (type !== CKA.EC_POINT || octetString(bytesOf(attributes, type) ?? EMPTY) === undefined) {
      if (!attributes.has(type) || type === CKA.PUBLIC_KEY_INFO) attributes.set(type, value);
    }
  }
  if (keyType !== CKK.RSA && curveOfKey(key) === undefined) throw failure("CURVE_NOT_SUPPORTED");
  return { kind: "public", key };
}

/** What a certificate must have. @throws CKR_TEMPLATE_INCOMPLETE, CKR_ATTRIBUTE_VALUE_INVALID. */
export function checkCertificate(template: Template): void {
  required(template, CKA.CERTIFICATE_TYPE);
  const type = numberOf(template, CKA.CERTIFICATE_TYPE);
  if (type === CKC.X_509) {
    required(template, CKA.SUBJECT);
    const given = (attribute: number): boolean => (bytesOf(template, attribute)?.length ?? 0) > 0;
    if (!given(CKA.VALUE) && !given(CKA.URL)) throw failure("TEMPLATE_INCOMPLETE", "CKA_VALUE is missing");
    // PKCS #11 v3.0 §4.6.3: whoever follows a URL has to know whose certificate is to be there.
    if (given(CKA.URL) && !(given(CKA.HASH_OF_SUBJECT_PUBLIC_KEY) && given(CKA.HASH_OF_ISSUER_PUBLIC_KEY)))
      throw failure("TEMPLATE_INCOMPLETE", "CKA_URL takes the hashes of both public keys");
  } else if (type === CKC.X_509_ATTR_CERT) required(template, CKA.OWNER, CKA.VALUE);
  else throw failure("ATTRIBUTE_VALUE_INVALID", `certificate type ${type}`);
}
