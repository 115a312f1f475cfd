// Implements: PKCS #11 v3.0 §5.18.3 to §5.18.5, C_WrapKey, C_UnwrapKey, C_DeriveKey.
import {
  CKA,
  CKF,
  CKK,
  CKO,
  CKR,
  mechanismName,
  NULL_MECHANISM,
  SIZE_QUERY,
  type ByteReply,
  type Mechanism,
} from "@casemate/protocols/p11-rpc";
import type { KeyAlgorithm } from "@casemate/devices/contract";
import type { Application } from "../application.ts";
import { need } from "../context.ts";
import { importToDevice, pairAlgorithm, secretAlgorithm } from "../device-keys.ts";
import { HASH_BYTES, type MechanismRow } from "../mechanisms.ts";
import { allows, matches, sessionKeyOf, type DeviceKey, type Material, type P11Object } from "../object.ts";
import type { Session } from "../session.ts";
import { named } from "../session-keyring.ts";
import { failure } from "../status.ts";
import { keyTypeIn, required } from "../templates.ts";
import { fromWireTemplate, isTemplate, numberOf, sameValue, type Template, type Value } from "../values.ts";
import { mayMake } from "./create.ts";
import { checkKey, mechanismRow } from "./init.ts";
import { agree, newSecret } from "./new-secret.ts";
import type { Calls } from "./types.ts";
import { renamed, sourceOf, unwrapByDevice, unwrapPrivate, unwrapSecret, wrapSessionKey } from "./wrapping.ts";

/** Whether a mechanism wraps keys through their values. */
function wrapsValues({ cipher, flags }: MechanismRow): boolean {
  return cipher !== undefined && (flags & CKF.WRAP) !== 0;
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
  if (row.wrap === undefined && !wrapsValues(row)) throw failure("MECHANISM_INVALID");
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
  const key = sessionKeyOf(target.material);
  if (key === undefined)
    throw failure(
      "KEY_NOT_WRAPPABLE",
      "a device key is wrapped by its device alone, with CKM_AES_KEY_WRAP and its kin",
    );
  return wrapSessionKey(application, session, key, wrapping.material, row.cipher, mechanism);
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

/** From how many bytes of PKCS#8 an RSA key is of this size. */
const RSA_SIZES = [
  [2100, 4096],
  [1500, 3072],
  [0, 2048],
] as const;

/**
 * What is in a wrapped key, which only the device sees: the template need not say its size (PKCS #11 v3.0 §5.18.4), the length of
 * what wraps it does. A wrong guess is refused by the device.
 */
function wrappedAlgorithm(row: MechanismRow, by: DeviceKey, wrapped: Uint8Array, template: Template): KeyAlgorithm {
  const keyType = keyTypeIn(template);
  // RFC 3394 and RFC 5649 add eight bytes; CKM_RSA_AES_KEY_WRAP has the AES key before them.
  const length = wrapped.length - 8 - (row.wrap === "rsa-aes-kwp" ? Number(by.algorithm.slice(4)) / 8 : 0);
  if (template.get(CKA.CLASS) !== CKO.PRIVATE_KEY)
    return secretAlgorithm(keyType, numberOf(template, CKA.VALUE_LEN) ?? length);
  if (keyType !== CKK.RSA) required(template, CKA.EC_PARAMS);
  else if (!template.has(CKA.MODULUS_BITS)) {
    const bits = RSA_SIZES.find(([from]) => length >= from)?.[1] ?? 2048;
    return pairAlgorithm(keyType, new Map([[CKA.MODULUS_BITS, bits]]));
  }
  return pairAlgorithm(keyType, template);
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
  mayMake(application, session, true, true);
  const algorithm = wrappedAlgorithm(row, unwrapping.key, wrapped, template);
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
  if (row.wrap === undefined && !wrapsValues(row)) throw failure("MECHANISM_INVALID");
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
  const details = { operation: "unwrap", mechanism: mechanismName(mechanism.type) };
  const source =
    object.material.kind === "device"
      ? { plain: await unwrapByDevice(application, session, object.material, cipher, mechanism, wrapped) }
      : sourceOf(object.material, cipher, mechanism, wrapped);
  return objectClass === CKO.SECRET_KEY
    ? unwrapSecret(application, session, template, source, details)
    : unwrapPrivate(application, session, template, source, details);
}

const KEY_BYTES: ReadonlyMap<number, number> = new Map([
  [CKK.DES, 8],
  [CKK.DES2, 16],
  [CKK.DES3, 24],
]);

function wantedLength(template: Template, keyType: number): number | undefined {
  return numberOf(template, CKA.VALUE_LEN) ?? KEY_BYTES.get(keyType);
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
  const secret = newSecret(application, session, template, base.attributes);
  const names = { CONFLICT: "TEMPLATE_INCONSISTENT", BAD_REQUEST: "MECHANISM_PARAM_INVALID" } as const;
  if (row.derive === "ecdh") {
    return secret.place(await named(agree(application, session, base.material, mechanism, wanted, secret), names));
  }
  if (base.material.kind !== "secret") throw failure("KEY_FUNCTION_NOT_PERMITTED", "a device key is not hashed");
  const length = wanted ?? HASH_BYTES[row.derive];
  if (length > HASH_BYTES[row.derive]) throw failure("TEMPLATE_INCONSISTENT");
  secret.check(length);
  const { to, type, grants } = secret;
  const { key } = base.material;
  const request = { id: key.id, how: { kind: "hash" as const, hash: row.derive }, type, length, ...grants };
  const details = { operation: "derive", mechanism: mechanismName(mechanism.type) };
  return secret.place(await named(application.ports.sessionKeys.makeFrom(to, key, "derive", request, details), names));
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
    // The answer begins with the return value of the module behind, and ends with the key.
    return [CKR.OK, mechanism.type, made];
  },
};
