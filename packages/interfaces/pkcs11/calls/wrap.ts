// Implements: PKCS #11 v3.0 §5.18.3 to §5.18.5, C_WrapKey, C_UnwrapKey, C_DeriveKey.
import { createHash, createPrivateKey, createPublicKey, diffieHellman } from "node:crypto";
import {
  CKA,
  CKD,
  CKK,
  CKO,
  NULL_MECHANISM,
  SIZE_QUERY,
  type ByteReply,
  type Mechanism,
} from "@casemate/protocols/p11-rpc";
import type { Application } from "../application.ts";
import { need } from "../context.ts";
import { curveByAlgorithm, curveOfKey, keyOfPoint, type CurveRow } from "../curves.ts";
import { importToDevice, pairAlgorithm, secretAlgorithm } from "../device-keys.ts";
import { HASH_BYTES, type Hash, type MechanismRow } from "../mechanisms.ts";
import { allows, classOf, matches, type Material, type P11Object } from "../object.ts";
import type { Session } from "../session.ts";
import { failure, Pkcs11Failure } from "../status.ts";
import { checkSecret, complete, keyTypeIn, privateMaterial, required, secretMaterial } from "../templates.ts";
import { fromWireTemplate, isTemplate, numberOf, sameValue, type Template, type Value } from "../values.ts";
import { runCipher, startCipher } from "./cipher.ts";
import { place, placeSecret } from "./create.ts";
import { checkKey, mechanismRow } from "./init.ts";
import type { Calls } from "./types.ts";

type Rv = Parameters<typeof failure>[0];

/** Turns what a cipher says about its key into what is said about a wrapping key. */
function renamed(error: unknown, names: Readonly<Partial<Record<number, Rv>>>): unknown {
  if (!(error instanceof Pkcs11Failure)) return error;
  const name = names[error.rv];
  return name === undefined ? error : failure(name, error.message);
}

/** The bytes that wrapping protects: a secret's value, or a private key as PKCS#8. */
function plaintextOf(object: P11Object): Uint8Array {
  const { material } = object;
  if (material?.kind === "secret") return material.bytes.reveal();
  if (material?.kind === "private") return material.key.export({ format: "der", type: "pkcs8" });
  throw failure("KEY_NOT_WRAPPABLE", "a device key is wrapped by its device alone, with CKM_AES_KEY_WRAP and its kin");
}

async function wrap(
  application: Application,
  session: Session,
  mechanism: Mechanism,
  wrappingHandle: number,
  keyHandle: number,
): Promise<Uint8Array> {
  if (mechanism.type === NULL_MECHANISM) throw failure("ARGUMENTS_BAD");
  const row = mechanismRow(mechanism);
  if (
    row.wrap === undefined &&
    (row.cipher === undefined || row.cipher.kind === "rsa-x509" || row.cipher.kind === "gcm")
  ) {
    throw failure("MECHANISM_INVALID");
  }
  const wrapping = application.object(session, wrappingHandle, "WRAPPING_KEY_HANDLE_INVALID");
  const target = application.object(session, keyHandle, "KEY_HANDLE_INVALID");
  if (target.material === undefined || target.material.kind === "public") throw failure("KEY_NOT_WRAPPABLE");
  if (wrapping.material === undefined) throw failure("WRAPPING_KEY_HANDLE_INVALID");
  try {
    checkKey(wrapping, row);
  } catch (error) {
    throw renamed(error, { [failure("KEY_TYPE_INCONSISTENT").rv]: "WRAPPING_KEY_TYPE_INCONSISTENT" });
  }
  if (!allows(wrapping, CKA.WRAP)) throw failure("KEY_FUNCTION_NOT_PERMITTED");
  if (target.attributes.get(CKA.EXTRACTABLE) !== true) throw failure("KEY_UNEXTRACTABLE");
  if (target.attributes.get(CKA.WRAP_WITH_TRUSTED) === true && wrapping.attributes.get(CKA.TRUSTED) !== true) {
    throw failure("KEY_NOT_WRAPPABLE");
  }
  const wanted = wrapping.attributes.get(CKA.WRAP_TEMPLATE);
  if (wanted !== undefined && isTemplate(wanted) && !matches(target, wanted)) throw failure("KEY_NOT_WRAPPABLE");
  const device =
    wrapping.material.kind === "device"
      ? wrapping.material.key
      : wrapping.material.kind === "public"
        ? wrapping.material.device
        : undefined;
  if (row.wrap !== undefined) {
    if (target.material.kind !== "device" || device === undefined) throw failure("KEY_NOT_WRAPPABLE");
    const { keyring } = application.ports;
    const { wrapped } = await keyring.wrapKey(need(application.user(session)), target.material.key.name, {
      wrappingKey: device.name,
      scheme: row.wrap,
      version: target.material.key.version,
    });
    return wrapped;
  }
  if (row.cipher === undefined) throw failure("MECHANISM_INVALID");
  const plain = plaintextOf(target);
  const block = row.cipher.kind === "block" ? (row.cipher.cipher === "aes" ? 16 : 8) : 0;
  let data = plain;
  if (row.cipher.kind === "block" && row.cipher.mode !== "cbc-pad" && plain.length % block !== 0) {
    // Wrapping with a plain block mode fills up with zeros (PKCS #11 v3.0, wrapping with CKM_AES_ECB).
    data = new Uint8Array(Math.ceil(plain.length / block) * block);
    data.set(plain);
  }
  const caller = application.user(session);
  // Wrapping is no use of the key for data: a public half wraps by its value.
  const material: Material =
    wrapping.material.kind === "public" ? { kind: "public", key: wrapping.material.key } : wrapping.material;
  return runCipher(startCipher(application, caller, material, row.cipher, mechanism, true), data);
}

/** The caller's template with what the key demands of keys that come from it. @throws CKR_TEMPLATE_INCONSISTENT. */
function demanded(base: P11Object, type: number, template: Template): Map<number, Value> {
  const merged = new Map(template);
  const demands = base.attributes.get(type);
  if (demands === undefined || !isTemplate(demands)) return merged;
  for (const [attribute, value] of demands) {
    const given = merged.get(attribute);
    if (given !== undefined && !sameValue(given, value)) throw failure("TEMPLATE_INCONSISTENT");
    merged.set(attribute, value);
  }
  return merged;
}

/** Makes an object of unwrapped or derived bytes. */
async function secretObject(
  application: Application,
  session: Session,
  template: Template,
  value: Uint8Array,
): Promise<number> {
  const keyType = keyTypeIn(template);
  checkSecret(keyType, value.length);
  if (template.get(CKA.TOKEN) === true) {
    const handle = await placeSecret(application, session, template, keyType, value);
    value.fill(0);
    return handle;
  }
  const attributes = complete(CKO.SECRET_KEY, template, { loggedIn: application.user(session) !== undefined });
  return place(application, session, attributes, secretMaterial(attributes, value));
}

async function unwrapInDevice(
  application: Application,
  session: Session,
  row: MechanismRow,
  unwrapping: Material,
  wrapped: Uint8Array,
  template: Template,
): Promise<number> {
  if (unwrapping.kind !== "device" || row.wrap === undefined) throw failure("UNWRAPPING_KEY_TYPE_INCONSISTENT");
  if (template.get(CKA.TOKEN) !== true) throw failure("TEMPLATE_INCONSISTENT", "a device unwraps into token keys");
  const keyType = keyTypeIn(template);
  const algorithm =
    template.get(CKA.CLASS) === CKO.PRIVATE_KEY
      ? pairAlgorithm(keyType, template)
      : secretAlgorithm(keyType, numberOf(template, CKA.VALUE_LEN) ?? 32);
  const [object] = await importToDevice(
    application,
    need(application.user(session)),
    application.slotOf(session),
    algorithm,
    { wrapped, wrappingKey: unwrapping.key.name, scheme: row.wrap },
    template,
  );
  if (object === undefined) throw failure("GENERAL_ERROR");
  return application.handleOf(session.slot, object);
}

async function unwrap(
  application: Application,
  session: Session,
  mechanism: Mechanism,
  handle: number,
  wrapped: Uint8Array,
  given: Template,
): Promise<number> {
  if (mechanism.type === NULL_MECHANISM) throw failure("ARGUMENTS_BAD");
  const row = mechanismRow(mechanism);
  const { cipher } = row;
  if (row.wrap === undefined && (cipher === undefined || cipher.kind === "rsa-x509" || cipher.kind === "gcm")) {
    throw failure("MECHANISM_INVALID");
  }
  const object = application.object(session, handle, "UNWRAPPING_KEY_HANDLE_INVALID");
  if (object.material === undefined) throw failure("UNWRAPPING_KEY_HANDLE_INVALID");
  try {
    checkKey(object, row);
  } catch (error) {
    throw renamed(error, { [failure("KEY_TYPE_INCONSISTENT").rv]: "UNWRAPPING_KEY_TYPE_INCONSISTENT" });
  }
  if (!allows(object, CKA.UNWRAP)) throw failure("KEY_FUNCTION_NOT_PERMITTED");
  const template = demanded(object, CKA.UNWRAP_TEMPLATE, given);
  required(template, CKA.CLASS, CKA.KEY_TYPE);
  if (template.has(CKA.VALUE)) throw failure("TEMPLATE_INCONSISTENT");
  const objectClass = numberOf(template, CKA.CLASS);
  if (objectClass !== CKO.SECRET_KEY && objectClass !== CKO.PRIVATE_KEY) throw failure("TEMPLATE_INCONSISTENT");
  if (cipher === undefined) return unwrapInDevice(application, session, row, object.material, wrapped, template);
  let plain: Uint8Array;
  try {
    const caller = application.user(session);
    plain = await runCipher(startCipher(application, caller, object.material, cipher, mechanism, false), wrapped);
  } catch (error) {
    throw renamed(error, {
      [failure("ENCRYPTED_DATA_INVALID").rv]: "WRAPPED_KEY_INVALID",
      [failure("ENCRYPTED_DATA_LEN_RANGE").rv]: "WRAPPED_KEY_LEN_RANGE",
    });
  }
  if (objectClass === CKO.SECRET_KEY) {
    const length = numberOf(template, CKA.VALUE_LEN);
    if (length !== undefined && length > plain.length) throw failure("TEMPLATE_INCONSISTENT");
    const asked = new Map([...template].filter(([type]) => type !== CKA.VALUE_LEN));
    return secretObject(application, session, asked, plain.slice(0, length ?? plain.length));
  }
  return unwrapPrivate(application, session, template, plain);
}

async function unwrapPrivate(
  application: Application,
  session: Session,
  template: Template,
  pkcs8: Uint8Array,
): Promise<number> {
  const key = ((): ReturnType<typeof createPrivateKey> => {
    try {
      return createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
    } catch {
      throw failure("WRAPPED_KEY_INVALID");
    }
  })();
  const keyType = curveOfKey(key)?.keyType ?? CKK.RSA;
  if (keyTypeIn(template) !== keyType) throw failure("WRAPPED_KEY_INVALID");
  if (template.get(CKA.TOKEN) === true) {
    const algorithm = curveOfKey(key)?.algorithm ?? `rsa-${key.asymmetricKeyDetails?.modulusLength ?? 0}`;
    const objects = await importToDevice(
      application,
      need(application.user(session)),
      application.slotOf(session),
      algorithm as Parameters<typeof importToDevice>[3],
      key.export({ format: "der", type: "pkcs8" }),
      template,
    );
    const made = objects.find((candidate) => classOf(candidate) === CKO.PRIVATE_KEY);
    if (made === undefined) throw failure("GENERAL_ERROR");
    return application.handleOf(session.slot, made);
  }
  const attributes = complete(CKO.PRIVATE_KEY, template, { loggedIn: application.user(session) !== undefined });
  return place(application, session, attributes, privateMaterial(attributes, key));
}

const KDFS: ReadonlyMap<number, Hash | undefined> = new Map([
  [CKD.NULL, undefined],
  [CKD.SHA1_KDF, "sha1"],
  [CKD.SHA224_KDF, "sha224"],
  [CKD.SHA256_KDF, "sha256"],
  [CKD.SHA384_KDF, "sha384"],
  [CKD.SHA512_KDF, "sha512"],
]);

/** ANSI X9.63 key derivation. */
function x963(hash: Hash, secret: Uint8Array, shared: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let at = 0, i = 1; at < length; at += HASH_BYTES[hash], i++) {
    const counter = new Uint8Array(4);
    new DataView(counter.buffer).setUint32(0, i);
    const block = createHash(hash).update(secret).update(counter).update(shared).digest();
    out.set(block.subarray(0, length - at), at);
  }
  return out;
}

const KEY_BYTES: ReadonlyMap<number, number> = new Map([
  [CKK.DES, 8],
  [CKK.DES2, 16],
  [CKK.DES3, 24],
]);

function wantedLength(template: Template, keyType: number): number | undefined {
  return numberOf(template, CKA.VALUE_LEN) ?? KEY_BYTES.get(keyType);
}

async function agree(
  application: Application,
  session: Session,
  material: Material,
  mechanism: Mechanism,
): Promise<{
  readonly secret: Uint8Array;
  readonly hash: Hash | undefined;
  readonly shared: Uint8Array;
}> {
  const { parameter } = mechanism;
  if (parameter?.kind !== "ecdh" || !KDFS.has(parameter.kdf)) throw failure("MECHANISM_PARAM_INVALID");
  const hash = KDFS.get(parameter.kdf);
  if (hash === undefined && parameter.shared.length > 0) throw failure("MECHANISM_PARAM_INVALID");
  const curve: CurveRow | undefined =
    material.kind === "device"
      ? curveByAlgorithm(material.key.algorithm)
      : material.kind === "private"
        ? curveOfKey(material.key)
        : undefined;
  const peer = curve === undefined ? undefined : keyOfPoint(curve, parameter.peer);
  if (peer === undefined) throw failure("MECHANISM_PARAM_INVALID");
  if (material.kind === "private") {
    const secret = diffieHellman({
      privateKey: material.key,
      publicKey: createPublicKey(peer.export({ format: "pem", type: "spki" })),
    });
    return { secret, hash, shared: parameter.shared };
  }
  if (material.kind !== "device") throw failure("KEY_TYPE_INCONSISTENT");
  const spki = peer.export({ format: "der", type: "spki" });
  const { key } = material;
  const { secret } = await application.ports.keyring.agree(
    need(application.user(session)),
    key.name,
    spki,
    key.version,
  );
  return { secret, hash, shared: parameter.shared };
}

async function derive(
  application: Application,
  session: Session,
  mechanism: Mechanism,
  handle: number,
  asked: Template,
): Promise<number> {
  if (mechanism.type === NULL_MECHANISM) throw failure("ARGUMENTS_BAD");
  const row = mechanismRow(mechanism);
  if (row.derive === undefined) throw failure("MECHANISM_INVALID");
  const base = application.object(session, handle, "KEY_HANDLE_INVALID");
  if (base.material === undefined) throw failure("KEY_HANDLE_INVALID");
  checkKey(base, row);
  if (!allows(base, CKA.DERIVE)) throw failure("KEY_FUNCTION_NOT_PERMITTED");
  const given = demanded(base, CKA.DERIVE_TEMPLATE, asked);
  if (given.has(CKA.VALUE)) throw failure("TEMPLATE_INCONSISTENT");
  if (given.get(CKA.CLASS) !== undefined && given.get(CKA.CLASS) !== CKO.SECRET_KEY) {
    throw failure("TEMPLATE_INCONSISTENT");
  }
  const keyType = numberOf(given, CKA.KEY_TYPE) ?? CKK.GENERIC_SECRET;
  const template = new Map<number, Value>([...given, [CKA.CLASS, CKO.SECRET_KEY], [CKA.KEY_TYPE, keyType]]);
  template.delete(CKA.VALUE_LEN);
  const wanted = wantedLength(given, keyType);
  if (row.derive !== "ecdh") {
    if (base.material.kind !== "secret") throw failure("KEY_FUNCTION_NOT_PERMITTED", "a device key is not hashed");
    const digest = createHash(row.derive).update(base.material.bytes.reveal()).digest();
    if (wanted !== undefined && wanted > digest.length) throw failure("TEMPLATE_INCONSISTENT");
    return secretObject(application, session, template, new Uint8Array(digest.subarray(0, wanted ?? digest.length)));
  }
  const { secret, hash, shared } = await agree(application, session, base.material, mechanism);
  const length = wanted ?? (hash === undefined ? secret.length : HASH_BYTES[hash]);
  if (length === 0 || length > 4096 || (hash === undefined && length > secret.length)) {
    throw failure("TEMPLATE_INCONSISTENT");
  }
  // CKD_NULL takes the leading bytes away (PKCS #11 v3.0, CKM_ECDH1_DERIVE).
  const value = hash === undefined ? secret.slice(secret.length - length) : x963(hash, secret, shared, length);
  return secretObject(application, session, template, new Uint8Array(value));
}

function fit(bytes: Uint8Array, capacity: number): [ByteReply] {
  return [capacity === SIZE_QUERY || capacity < bytes.length ? bytes.length : bytes];
}

export const wrapCalls: Calls<"C_WrapKey" | "C_UnwrapKey" | "C_DeriveKey" | "C_DeriveKey2"> = {
  async C_WrapKey(application, handle, mechanism, wrapping, key, capacity) {
    const session = application.session(handle);
    return fit(await wrap(application, session, mechanism, wrapping, key), capacity);
  },
  async C_UnwrapKey(application, handle, mechanism, key, wrapped, template) {
    const session = application.session(handle);
    if (wrapped === undefined) throw failure("ARGUMENTS_BAD");
    return [await unwrap(application, session, mechanism, key, wrapped, fromWireTemplate(template))];
  },
  async C_DeriveKey(application, handle, mechanism, key, template) {
    const session = application.session(handle);
    return [await derive(application, session, mechanism, key, fromWireTemplate(template))];
  },
  async C_DeriveKey2(application, handle, mechanism, key, template) {
    const session = application.session(handle);
    const made = await derive(application, session, mechanism, key, fromWireTemplate(template));
    return [made, undefined, 0];
  },
};
