// Token keys: made or imported inside a device through the keyring, with what the application's templates say about them.
import { randomBytes } from "node:crypto";
import { fromUtf8, toHex } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import { withoutClash, type KeyAlgorithm, type Usage, type WrapScheme } from "@casemate/devices/contract";
import type { Caller, CreateKey, KeyView } from "@casemate/keyring/core";
import { CKA, CKK } from "@casemate/protocols/p11-rpc";
import type { Application } from "./application.ts";
import type { TokenObject } from "./catalogue.ts";
import { curveByParams } from "./curves.ts";
import { HIDDEN_PUBLIC, INTERNAL, keepAttribute, MADE_HERE, type Half } from "./key-object.ts";
import { named, type Seal } from "./session-keyring.ts";
import type { Slot } from "./slots.ts";
import { failure } from "./status.ts";
import { USAGES } from "./unsaid.ts";
import { bytesOf, checkDate, isTemplate, numberOf, type Template, type Value } from "./values.ts";

const HMACS: Readonly<Record<number, KeyAlgorithm>> = { 32: "hmac-sha256", 48: "hmac-sha384", 64: "hmac-sha512" };
const HMAC_TYPES: ReadonlyMap<number, KeyAlgorithm> = new Map([
  [CKK.SHA256_HMAC, "hmac-sha256"],
  [CKK.SHA384_HMAC, "hmac-sha384"],
  [CKK.SHA512_HMAC, "hmac-sha512"],
]);

/** The device's name for a secret key. @throws CKR_ATTRIBUTE_VALUE_INVALID, CKR_TEMPLATE_INCONSISTENT. */
export function secretAlgorithm(keyType: number, bytes: number): KeyAlgorithm {
  if (keyType === CKK.AES) {
    if (bytes === 16) return "aes-128";
    if (bytes === 24) return "aes-192";
    if (bytes === 32) return "aes-256";
    throw failure("ATTRIBUTE_VALUE_INVALID");
  }
  const algorithm = HMAC_TYPES.get(keyType) ?? (keyType === CKK.GENERIC_SECRET ? HMACS[bytes] : undefined);
  if (algorithm === undefined) {
    const known = keyType === CKK.GENERIC_SECRET;
    const reason = "devices hold AES, and HMAC keys of 32, 48 and 64 bytes";
    throw failure(known ? "ATTRIBUTE_VALUE_INVALID" : "TEMPLATE_INCONSISTENT", reason);
  }
  return algorithm;
}

/** The device's name for a key pair. @throws CKR_ATTRIBUTE_VALUE_INVALID, CKR_CURVE_NOT_SUPPORTED. */
export function pairAlgorithm(keyType: number, template: Template): KeyAlgorithm {
  if (keyType === CKK.RSA) {
    const bits = numberOf(template, CKA.MODULUS_BITS);
    if (bits === 2048) return "rsa-2048";
    if (bits === 3072) return "rsa-3072";
    if (bits === 4096) return "rsa-4096";
    throw failure("ATTRIBUTE_VALUE_INVALID", "devices hold RSA keys of 2048, 3072 and 4096 bits");
  }
  const curve = curveByParams(bytesOf(template, CKA.EC_PARAMS) ?? new Uint8Array(0));
  if (curve === undefined) throw failure("CURVE_NOT_SUPPORTED");
  return curve.algorithm;
}

const USAGE_ATTRIBUTES: readonly (readonly [number, Usage])[] = [
  [CKA.SIGN, "sign"],
  [CKA.SIGN_RECOVER, "sign"],
  [CKA.VERIFY, "sign"],
  [CKA.DECRYPT, "encrypt"],
  [CKA.ENCRYPT, "encrypt"],
  [CKA.UNWRAP, "wrap"],
  [CKA.WRAP, "wrap"],
  [CKA.DERIVE, "agree"],
];

const USAGE_TYPES: ReadonlySet<number> = new Set(USAGE_ATTRIBUTES.map(([type]) => type));

function isSymmetric(algorithm: KeyAlgorithm): boolean {
  return algorithm.startsWith("aes-") || algorithm.startsWith("hmac-");
}

/**
 * Whether a key with these usages can be used so. What wraps does so in the device (CKM_AES_KEY_WRAP and its kin), what encrypts wraps
 * session keys through their values.
 */
export function mayServe(algorithm: KeyAlgorithm, usages: readonly Usage[], type: number): boolean {
  const usage = USAGE_ATTRIBUTES.find(([attribute]) => attribute === type)?.[1];
  if (usage === undefined) return true;
  const needed = isSymmetric(algorithm) && usage === "sign" ? "mac" : usage;
  return usages.includes(needed) || (needed === "wrap" && usages.includes("encrypt"));
}

/** What the key is for: all that the templates ask; what is usual when they ask nothing. */
function usagesOf(algorithm: KeyAlgorithm, ...templates: readonly Template[]): readonly Usage[] {
  const symmetric = isSymmetric(algorithm);
  const possible: readonly Usage[] = algorithm.startsWith("rsa-")
    ? ["sign", "encrypt", "wrap"]
    : algorithm.startsWith("aes-")
      ? ["encrypt", "mac", "wrap"]
      : algorithm.startsWith("hmac-")
        ? ["mac"]
        : algorithm.startsWith("ec-")
          ? ["sign", "agree"]
          : algorithm.startsWith("x")
            ? ["agree"]
            : ["sign"];
  const asked = new Set<Usage>();
  for (const template of templates) {
    for (const [type, usage] of USAGE_ATTRIBUTES) {
      if (template.get(type) === true) asked.add(symmetric && usage === "sign" ? "mac" : usage);
    }
  }
  // A key that wraps keys does not also decrypt data, nor make raw signatures: it would hand out what it wraps. Programs that
  // ask for all by habit get the use of data; the key's attributes then say that it does not wrap.
  const usages = withoutClash(
    algorithm,
    possible.filter((usage) => asked.has(usage)),
  );
  if (usages.length > 0) return usages;
  // Nothing asked that it can do: what most programs mean.
  return algorithm.startsWith("rsa-") ? ["sign", "encrypt"] : [possible[0] ?? "sign"];
}

/** Attributes that are kept as they were given; the rest follows from the key. */
const KEPT: ReadonlySet<number> = new Set([
  CKA.LABEL,
  CKA.ID,
  CKA.SUBJECT,
  CKA.START_DATE,
  CKA.END_DATE,
  ...USAGES,
  CKA.MODIFIABLE,
  CKA.KEY_TYPE,
  CKA.DESTROYABLE,
  CKA.ALWAYS_AUTHENTICATE,
  CKA.ALLOWED_MECHANISMS,
]);

function labelsOf(slot: Slot, halves: Readonly<Partial<Record<Half, Template>>>): Record<string, string> {
  const labels: Record<string, string> = { [MADE_HERE]: slot.home };
  for (const [half, template] of Object.entries(halves)) {
    for (const [type, value] of template) {
      // Public halves are seen by everybody unless their application says otherwise.
      const hidden = half === "pub" && type === CKA.PRIVATE && value === true;
      if (!KEPT.has(type) && !hidden) continue;
      checkDate(type, value);
      if (value instanceof Uint8Array && value.length === 0) continue;
      // What a key may do follows from its usages; a template can only narrow it.
      if (value === true && USAGE_TYPES.has(type)) continue;
      if (Array.isArray(value) && value.length === 0) continue;
      keepAttribute(labels, half as Half, type, value);
    }
  }
  return labels;
}

/** Applications find the halves of a pair by the same id: what one template alone gives is that of both. */
export function withIdOf(template: Template, other: Template): Map<number, Value> {
  const given = (one: Template): Uint8Array | undefined => {
    const id = bytesOf(one, CKA.ID);
    return id?.length === 0 ? undefined : id;
  };
  const id = given(template) ?? given(other);
  return new Map<number, Value>([...template, ...(id === undefined ? [] : [[CKA.ID, id] as const])]);
}

/** A name in the keyring's alphabet from the application's label or id. */
function nameFrom(template: Template): string {
  const label = bytesOf(template, CKA.LABEL);
  let text = "";
  try {
    text = label === undefined ? "" : fromUtf8(label);
  } catch {
    // Labels may be any bytes; then the id or nothing names the key.
  }
  const name = text.replaceAll(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  if (name !== "") return name.slice(0, 96);
  const id = bytesOf(template, CKA.ID);
  return id === undefined || id.length === 0 ? "pkcs11-key" : `pkcs11-${toHex(id).slice(0, 64)}`;
}

/** Runs `make` with the name, then with names made unique. */
async function unique(name: string, make: (name: string) => Promise<KeyView>): Promise<KeyView> {
  for (let i = 0; ; i++) {
    try {
      return await make(i === 0 ? name : `${name}-${toHex(randomBytes(4))}`);
    } catch (error) {
      if (!isCasemateError(error) || error.code !== "ALREADY_EXISTS" || i >= 4) throw error;
    }
  }
}

/**
 * What no device key can be. CKA_SENSITIVE and CKA_PRIVATE false are no such thing: programs say so by habit, the key is
 * protected all the same, and its attributes tell. @throws CKR_TEMPLATE_INCONSISTENT.
 */
function checkSecrecy(template: Template): void {
  if (template.get(CKA.WRAP_WITH_TRUSTED) === true) throw failure("TEMPLATE_INCONSISTENT");
  for (const type of [CKA.WRAP_TEMPLATE, CKA.UNWRAP_TEMPLATE, CKA.DERIVE_TEMPLATE]) {
    const value = template.get(type);
    if (value !== undefined && isTemplate(value) && value.size > 0)
      throw failure("TEMPLATE_INCONSISTENT", "a device key holds no templates for other keys");
  }
}

function request(
  slot: Slot,
  algorithm: KeyAlgorithm,
  secret: Template,
  publicHalf: Template | undefined,
): Omit<CreateKey, "name"> {
  checkSecrecy(secret);
  const usages = usagesOf(algorithm, secret, ...(publicHalf === undefined ? [] : [publicHalf]));
  const exportable = secret.get(CKA.EXTRACTABLE) === true;
  if (exportable && usages.includes("wrap") && algorithm.startsWith("aes-"))
    throw failure("TEMPLATE_INCONSISTENT", "a secret key that wraps others is never extractable");
  return {
    algorithm,
    usages,
    exportable,
    labels: {
      ...labelsOf(
        slot,
        publicHalf === undefined
          ? { key: secret }
          : { key: withIdOf(secret, publicHalf), pub: withIdOf(publicHalf, secret) },
      ),
      // The application wants it in its session, not on the token.
      ...(publicHalf?.get(CKA.TOKEN) === false ? { [HIDDEN_PUBLIC]: "true" } : {}),
    },
    ...(slot.device === undefined ? {} : { device: slot.device.identity.id }),
  };
}

/** Generates a token key in the slot's device. */
export async function generateInDevice(
  application: Application,
  caller: Caller,
  slot: Slot,
  algorithm: KeyAlgorithm,
  secret: Template,
  publicHalf?: Template,
): Promise<readonly TokenObject[]> {
  const create = request(slot, algorithm, secret, publicHalf);
  const key = await unique(nameFrom(secret.has(CKA.LABEL) || publicHalf === undefined ? secret : publicHalf), (name) =>
    // The device was removed: no object was named that could be missing.
    named(application.ports.keyring.createKey(caller, { ...create, name }), { NOT_FOUND: "DEVICE_REMOVED" }),
  );
  return application.shared.catalogue.refreshKey(caller, key);
}

const IMPORT_KEY = "pkcs11-import";

/** The public key under which values travel into a device; made when first needed. */
async function importKey(
  application: Application,
  caller: Caller,
  device: string | undefined,
): Promise<{ readonly name: string; readonly publicKey: Uint8Array }> {
  const { keyring } = application.ports;
  const name = device === undefined ? IMPORT_KEY : `${IMPORT_KEY}-${device}`;
  try {
    return { name, publicKey: (await keyring.publicKey(caller, name)).publicKey };
  } catch (error) {
    if (!isCasemateError(error) || error.code !== "NOT_FOUND") throw error;
  }
  const spec: CreateKey = {
    name,
    algorithm: "rsa-3072",
    usages: ["wrap"],
    labels: { [INTERNAL]: "true" },
    ...(device === undefined ? {} : { device }),
  };
  try {
    await keyring.createKey(caller, spec);
  } catch (error) {
    if (!isCasemateError(error) || error.code !== "ALREADY_EXISTS") throw error;
  }
  return { name, publicKey: (await keyring.publicKey(caller, name)).publicKey };
}

/** A value that comes wrapped under a key of the device. */
export interface WrappedValue {
  readonly wrapped: Uint8Array;
  readonly wrappingKey: string;
  readonly scheme: WrapScheme;
}

async function sealed(application: Application, caller: Caller, slot: Slot, seal: Seal): Promise<WrappedValue> {
  const wrapping = await importKey(application, caller, slot.device?.identity.id);
  return { wrapped: await seal(wrapping.publicKey), wrappingKey: wrapping.name, scheme: "rsa-aes-kwp" };
}

/** Puts a value into the slot's device: one that the process of the session keys seals, or one that is wrapped already. */
export async function importToDevice(
  application: Application,
  caller: Caller,
  slot: Slot,
  algorithm: KeyAlgorithm,
  value: Seal | WrappedValue,
  secret: Template,
): Promise<readonly TokenObject[]> {
  // The public half, which comes along without a template, is found by the same id and label.
  const publicHalf = new Map([...secret].filter(([type]) => type === CKA.ID || type === CKA.LABEL));
  const create = request(slot, algorithm, secret, isSymmetric(algorithm) ? undefined : publicHalf);
  const { wrapped, wrappingKey, scheme } =
    typeof value === "function" ? await sealed(application, caller, slot, value) : value;
  const view = await unique(nameFrom(secret), (name) =>
    application.ports.keyring.importKey(caller, {
      ...create,
      name,
      wrappingKey,
      scheme,
      wrapped,
    }),
  );
  return application.shared.catalogue.refreshKey(caller, view);
}
