// Implements: PKCS #11 v3.0 §5.18.3 and §5.18.4, session keys under other keys: where the keys are.
import { isCasemateError } from "@casemate/foundation/errors";
import { CKA, CKK, CKO, mechanismName, type Mechanism } from "@casemate/protocols/p11-rpc";
import { LIMITS, type RequestOf, type Wrapping } from "@casemate/protocols/session-keys";
import type { Application } from "../application.ts";
import { initialBlock, rsaPadding } from "../cipher-engine.ts";
import { curveOfKey } from "../curves.ts";
import type { CipherSpec } from "../mechanisms.ts";
import { sessionKeyOf, type Material } from "../object.ts";
import { usePublicKey } from "../public-key-use.ts";
import { modulusBits } from "../rsa.ts";
import type { Session } from "../session.ts";
import { named, type Details, type SessionKey, type SessionPrivate, type SessionSecret } from "../session-keyring.ts";
import { failure, Pkcs11Failure } from "../status.ts";
import { complete, keyTypeIn } from "../templates.ts";
import { numberOf, type Template } from "../values.ts";
import { runCipher, startCipher } from "./cipher.ts";
import { grantsFor, mayMake, passOn, placeKey } from "./create.ts";
import { newSecret } from "./new-secret.ts";

type Rv = Parameters<typeof failure>[0];

/** Turns what a cipher says about its key into what is said about a wrapping key. */
export function renamed(error: unknown, names: Readonly<Partial<Record<number, Rv>>>): unknown {
  if (!(error instanceof Pkcs11Failure)) return error;
  const name = names[error.rv];
  return name === undefined ? error : failure(name, error.message);
}

/** How a mechanism wraps, for the process of the session keys. @throws CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID. */
function wrappingOf(spec: CipherSpec, { type, parameter }: Mechanism): Wrapping {
  if (spec.kind !== "block") return { kind: "rsa", padding: rsaPadding(spec, parameter) };
  const { cipher, mode } = spec;
  if (mode !== "ecb" && mode !== "cbc" && mode !== "cbc-pad") throw failure("MECHANISM_INVALID");
  const iv = mode === "ecb" ? new Uint8Array(0) : initialBlock(type, parameter, cipher === "aes" ? 16 : 8);
  return { kind: "block", cipher, mode, iv };
}

/** A session key under a device key: its value goes through here, from one process to the other, and is wiped. */
async function wrapByDevice(
  application: Application,
  session: Session,
  target: SessionKey,
  device: Extract<Material, { kind: "device" }>,
  spec: CipherSpec,
  mechanism: Mechanism,
): Promise<Uint8Array> {
  const { caller } = application.maker(session);
  const details = { operation: "wrap", mechanism: mechanismName(mechanism.type), by: device.key.name };
  const { bytes } = await application.ports.sessionKeys.use(caller, target, details, "plaintext", { id: target.id });
  const block = spec.kind === "block" ? (spec.cipher === "aes" ? 16 : 8) : 1;
  // Wrapping with a plain block mode fills up with zeros (PKCS #11 v3.0, wrapping with CKM_AES_ECB).
  const fills = spec.kind === "block" && spec.mode !== "cbc-pad";
  const data = new Uint8Array(fills ? Math.ceil(bytes.length / block) * block : bytes.length);
  data.set(bytes);
  bytes.fill(0);
  try {
    const user = application.user(session);
    return await runCipher(startCipher(application, user, device, spec, mechanism, true), data);
  } finally {
    data.fill(0);
  }
}

/** A session key under another key. */
export async function wrapSessionKey(
  application: Application,
  session: Session,
  target: SessionKey,
  material: Material,
  spec: CipherSpec,
  mechanism: Mechanism,
): Promise<Uint8Array> {
  if (material.kind === "device") return wrapByDevice(application, session, target, material, spec, mechanism);
  const { sessionKeys } = application.ports;
  const { caller } = application.maker(session);
  const how = wrappingOf(spec, mechanism);
  const details = { operation: "wrap", mechanism: mechanismName(mechanism.type), key: target.number };
  if (material.kind === "secret" && how.kind === "block") {
    const request = { id: material.key.id, how, target: target.id };
    return (await sessionKeys.use(caller, material.key, details, "wrap", request)).bytes;
  }
  if (material.kind !== "public" || how.kind !== "rsa") throw failure("WRAPPING_KEY_TYPE_INCONSISTENT");
  const publicKey = material.key.export({ format: "der", type: "spki" });
  const request = { publicKey, padding: how.padding, target: target.id };
  const use = { mechanism: details.mechanism, operation: "wrap" };
  const who = caller ?? application.ports.service;
  const wrap = (): Promise<{ readonly bytes: Uint8Array }> =>
    sessionKeys.use(caller, target, details, "wrapFor", request);
  // A device key opens what is wrapped here by decrypting it: who may not encrypt under it does not get the one without the other.
  const wrapped = async () =>
    material.device === undefined ? wrap() : usePublicKey(application.ports, who, material, "encrypt", use, wrap);
  return (await named(wrapped(), { TOO_LARGE: "KEY_SIZE_RANGE" })).bytes;
}

const BAD_WRAPPED = {
  [failure("ENCRYPTED_DATA_INVALID").rv]: "WRAPPED_KEY_INVALID",
  [failure("ENCRYPTED_DATA_LEN_RANGE").rv]: "WRAPPED_KEY_LEN_RANGE",
} as const;

/** What is unwrapped: by a session key where that is, or in the clear from a device. */
type Source =
  | { readonly plain: Uint8Array }
  | { readonly base: SessionKey; readonly request: Pick<RequestOf<"unwrapSecret">, "id" | "how" | "wrapped"> };

export async function unwrapByDevice(
  application: Application,
  session: Session,
  material: Material,
  spec: CipherSpec,
  mechanism: Mechanism,
  wrapped: Uint8Array,
): Promise<Uint8Array> {
  try {
    const user = application.user(session);
    return await runCipher(startCipher(application, user, material, spec, mechanism, false), wrapped);
  } catch (error) {
    const known = isCasemateError(error) && error.code === "DECRYPT_FAILED" ? failure("ENCRYPTED_DATA_INVALID") : error;
    throw renamed(known, BAD_WRAPPED);
  }
}

/** @throws CKR_WRAPPED_KEY_LEN_RANGE, CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT. */
export function sourceOf(material: Material, spec: CipherSpec, mechanism: Mechanism, wrapped: Uint8Array): Source {
  const how = wrappingOf(spec, mechanism);
  const base = sessionKeyOf(material);
  if (base === undefined || (how.kind === "rsa") !== "public" in base)
    throw failure("UNWRAPPING_KEY_TYPE_INCONSISTENT");
  const fits =
    "public" in base
      ? wrapped.length === Math.ceil(modulusBits(base.public) / 8)
      : wrapped.length > 0 && wrapped.length % (how.kind === "block" && how.cipher === "des" ? 8 : 16) === 0;
  if (!fits || wrapped.length > LIMITS.wrapped) throw failure("WRAPPED_KEY_LEN_RANGE");
  return { base, request: { id: base.id, how, wrapped } };
}

const UNWRAP_NAMES = {
  DECRYPT_FAILED: "WRAPPED_KEY_INVALID",
  CONFLICT: "TEMPLATE_INCONSISTENT",
  BAD_REQUEST: "WRAPPED_KEY_INVALID",
} as const;

const NO_SUCH_KEY = { [failure("ATTRIBUTE_VALUE_INVALID").rv]: "WRAPPED_KEY_INVALID" } as const;

export async function unwrapSecret(
  application: Application,
  session: Session,
  template: Template,
  source: Source,
  details: Details,
): Promise<number> {
  const { sessionKeys } = application.ports;
  const length = numberOf(template, CKA.VALUE_LEN);
  const asked = new Map([...template].filter(([type]) => type !== CKA.VALUE_LEN));
  const secret = newSecret(application, session, asked);
  if (length !== undefined) secret.check(length);
  const common = { type: secret.type, ...secret.grants };
  const keep = async (making: Promise<SessionSecret>): Promise<number> => {
    try {
      return await secret.place(await named(making, UNWRAP_NAMES));
    } catch (error) {
      // The template was looked at before: what does not fit its type now is what was unwrapped.
      throw renamed(error, NO_SUCH_KEY);
    }
  };
  if (!("plain" in source)) {
    const request = { ...source.request, length: length ?? 0, ...common };
    return keep(sessionKeys.makeFrom(secret.to, source.base, "unwrapSecret", request, details));
  }
  try {
    if (length !== undefined && length > source.plain.length) throw failure("TEMPLATE_INCONSISTENT");
    const value = source.plain.subarray(0, length);
    return await keep(sessionKeys.make(secret.to, "importSecret", { value, ...common }, details));
  } finally {
    source.plain.fill(0);
  }
}

export async function unwrapPrivate(
  application: Application,
  session: Session,
  template: Template,
  source: Source,
  details: Details,
): Promise<number> {
  const { sessionKeys } = application.ports;
  const device = template.get(CKA.TOKEN) === true;
  const loggedIn = application.user(session) !== undefined;
  const attributes = complete(CKO.PRIVATE_KEY, template, { loggedIn });
  mayMake(application, session, device, device || attributes.get(CKA.PRIVATE) === true);
  const to = application.maker(session, device);
  const grants = grantsFor(device, attributes);
  const make = async (): Promise<SessionPrivate> => {
    if (!("plain" in source))
      return sessionKeys.makeFrom(to, source.base, "unwrapPrivate", { ...source.request, ...grants }, details);
    const pkcs8 = source.plain.subarray(0, LIMITS.privateKey);
    return sessionKeys.make(to, "importPkcs8", { pkcs8, ...grants }, details).finally(() => source.plain.fill(0));
  };
  const key = await named(make(), { DECRYPT_FAILED: "WRAPPED_KEY_INVALID", BAD_REQUEST: "WRAPPED_KEY_INVALID" });
  const check = (): void => {
    if (keyTypeIn(template) !== (curveOfKey(key.public)?.keyType ?? CKK.RSA)) throw failure("WRAPPED_KEY_INVALID");
  };
  return device
    ? passOn(application, session, template, key, check)
    : placeKey(application, session, attributes, key, check);
}
