// Implements: PKCS #11 v3.0 §5.18.1 and §5.18.2, making keys: token keys in a device, session keys for the session.
import type { KeyObject } from "node:crypto";
import { CKA, CKK, CKO, type Mechanism } from "@casemate/protocols/p11-rpc";
import type { CurveName, Grants, RequestOf } from "@casemate/protocols/session-keys";
import type { Application } from "../application.ts";
import { need } from "../context.ts";
import { curveByParams } from "../curves.ts";
import { generateInDevice, pairAlgorithm, secretAlgorithm, withIdOf } from "../device-keys.ts";
import { parsePublicKey, publicAttributes } from "../key-object.ts";
import { SMALLEST_SESSION_RSA } from "../mechanisms.ts";
import { classOf, SECRETS, type P11Object } from "../object.ts";
import type { Session } from "../session.ts";
import { failure } from "../status.ts";
import { grantsOf } from "../session-keyring.ts";
import { checkSecret, complete, required, secretTypeOf } from "../templates.ts";
import { bytesOf, fromWireTemplate, numberOf, type Template, type Value } from "../values.ts";
import { mayMake, place, placeKey } from "./create.ts";
import { mechanismRow } from "./init.ts";
import type { Calls } from "./types.ts";

/** What the mechanism makes, and no template gives (PKCS #11 v3.0 §5.18.1 and §5.18.2). */
const MADE_HERE: ReadonlySet<number> = new Set([...SECRETS, CKA.MODULUS, CKA.EC_POINT]);

/** @throws CKR_TEMPLATE_INCONSISTENT when the template says another class or key type than the mechanism makes, or a value. */
function mustAgree(template: Template, objectClass: number, keyType: number): void {
  for (const type of template.keys()) {
    if (MADE_HERE.has(type)) throw failure("TEMPLATE_INCONSISTENT", `0x${type.toString(16)} is made here`);
  }
  const given = template.get(CKA.CLASS);
  if (given !== undefined && given !== objectClass) throw failure("TEMPLATE_INCONSISTENT");
  const type = template.get(CKA.KEY_TYPE);
  if (type !== undefined && type !== keyType) throw failure("TEMPLATE_INCONSISTENT");
}

const FIXED: ReadonlyMap<number, number> = new Map([
  [CKK.DES, 8],
  [CKK.DES2, 16],
  [CKK.DES3, 24],
]);

/** In bytes. @throws CKR_TEMPLATE_INCOMPLETE, CKR_TEMPLATE_INCONSISTENT, CKR_ATTRIBUTE_VALUE_INVALID. */
function secretLength(template: Template, keyType: number): number {
  const fixed = FIXED.get(keyType);
  if (fixed !== undefined) {
    // The standard asks for no length of these; one that is true is no contradiction.
    const given = template.get(CKA.VALUE_LEN);
    if (given !== undefined && given !== fixed) throw failure("TEMPLATE_INCONSISTENT", `the type has ${fixed} bytes`);
    return fixed;
  }
  required(template, CKA.VALUE_LEN);
  const length = numberOf(template, CKA.VALUE_LEN) ?? 0;
  if (length === 0) throw failure("ATTRIBUTE_VALUE_INVALID", "a key of no bytes");
  checkSecret(keyType, length);
  return length;
}

async function generate(
  application: Application,
  session: Session,
  mechanism: Mechanism,
  template: Template,
): Promise<number> {
  const row = mechanismRow(mechanism);
  const keyType = row.generate;
  if (keyType === undefined) throw failure("MECHANISM_INVALID");
  mustAgree(template, CKO.SECRET_KEY, keyType);
  const length = secretLength(template, keyType);
  const origin = { generatedBy: mechanism.type, loggedIn: application.user(session) !== undefined };
  const attributes = complete(CKO.SECRET_KEY, withKeyType(template, keyType), origin);
  if (template.get(CKA.TOKEN) === true) {
    mayMake(application, session, true, true);
    if ((bytesOf(template, CKA.CHECK_VALUE)?.length ?? 0) > 0)
      throw failure("ATTRIBUTE_VALUE_INVALID", "no such key yet");
    const [object] = await generateInDevice(
      application,
      need(application.user(session)),
      application.slotOf(session),
      secretAlgorithm(keyType, length),
      template,
    );
    if (object === undefined) throw failure("GENERAL_ERROR");
    return application.handleOf(session.slot, object);
  }
  mayMake(application, session, false, attributes.get(CKA.PRIVATE) === true);
  const request = { type: secretTypeOf(keyType), length, ...grantsOf(attributes) };
  const details = { operation: "generate", mechanism: `CKM_${row.name}` };
  const { sessionKeys } = application.ports;
  const key = await sessionKeys.make(application.maker(session), "generateSecret", request, details);
  return placeKey(application, session, attributes, key);
}

function withKeyType(template: Template, keyType: number): Map<number, Value> {
  return new Map<number, Value>([...template, [CKA.KEY_TYPE, keyType]]);
}

type PairRequest =
  | { readonly name: "generateRsa"; readonly request: Omit<RequestOf<"generateRsa">, keyof Grants> }
  | { readonly name: "generateCurve"; readonly request: Omit<RequestOf<"generateCurve">, keyof Grants> };

/** Parameters of a session key pair. @throws CKR_TEMPLATE_INCOMPLETE, CKR_ATTRIBUTE_VALUE_INVALID, CKR_CURVE_NOT_SUPPORTED. */
function pairRequest(keyType: number, template: Template): PairRequest {
  if (keyType === CKK.RSA) {
    required(template, CKA.MODULUS_BITS);
    const modulusLength = numberOf(template, CKA.MODULUS_BITS) ?? 0;
    if (modulusLength < SMALLEST_SESSION_RSA || modulusLength > 4096 || modulusLength % 8 !== 0)
      throw failure("ATTRIBUTE_VALUE_INVALID", `RSA keys of ${modulusLength} bits are not made`);
    return { name: "generateRsa", request: { bits: modulusLength, exponent: exponent(template) } };
  }
  required(template, CKA.EC_PARAMS);
  const curve = curveByParams(bytesOf(template, CKA.EC_PARAMS) ?? new Uint8Array(0));
  if (curve === undefined || curve.keyType !== keyType) throw failure("CURVE_NOT_SUPPORTED");
  return { name: "generateCurve", request: { curve: curve.node as CurveName } };
}

/** @throws CKR_ATTRIBUTE_VALUE_INVALID for an exponent that is even, below 65537 or longer than four bytes. */
function exponent(template: Template): number {
  let value = 0;
  for (const byte of bytesOf(template, CKA.PUBLIC_EXPONENT) ?? new Uint8Array([1, 0, 1])) {
    value = value * 256 + byte;
    if (value > 0xffffffff) break;
  }
  if (value < 65_537 || value > 0xffffffff || value % 2 === 0) throw failure("ATTRIBUTE_VALUE_INVALID");
  return value;
}

/** The public half of a pair as an object beside its private one. */
function placePublic(
  application: Application,
  session: Session,
  publicPart: Map<number, Value>,
  key: KeyObject,
  spki: Uint8Array,
): Promise<number> {
  for (const [attribute, value] of publicAttributes(key, spki)) publicPart.set(attribute, value);
  return place(application, session, publicPart, { kind: "public", key });
}

async function generatePair(
  application: Application,
  session: Session,
  mechanism: Mechanism,
  publicTemplate: Template,
  privateTemplate: Template,
): Promise<[number, number]> {
  const row = mechanismRow(mechanism);
  const keyType = row.generatePair;
  if (keyType === undefined) throw failure("MECHANISM_INVALID");
  mustAgree(publicTemplate, CKO.PUBLIC_KEY, keyType);
  mustAgree(privateTemplate, CKO.PRIVATE_KEY, keyType);
  const pair = pairRequest(keyType, publicTemplate);
  const origin = { generatedBy: mechanism.type, loggedIn: application.user(session) !== undefined };
  const publicPart = complete(CKO.PUBLIC_KEY, withKeyType(publicTemplate, keyType), origin);
  // A pair's private half is sensitive unless the application says otherwise.
  const secrecy: readonly [number, Value][] = [
    [CKA.SENSITIVE, true],
    [CKA.EXTRACTABLE, false],
  ];
  const privatePart = complete(
    CKO.PRIVATE_KEY,
    new Map([...secrecy, ...withKeyType(privateTemplate, keyType)]),
    origin,
  );
  const token = privateTemplate.get(CKA.TOKEN) === true;
  if (token) {
    mayMake(application, session, true, true);
    if (keyType === CKK.RSA && exponent(publicTemplate) !== 65_537) throw failure("ATTRIBUTE_VALUE_INVALID");
    // Before anything is made: of a pair there are both halves or none.
    const apart = publicTemplate.get(CKA.TOKEN) === false;
    if (apart) application.mustHaveRoom();
    const objects = await generateInDevice(
      application,
      need(application.user(session)),
      application.slotOf(session),
      pairAlgorithm(keyType, publicTemplate),
      privateTemplate,
      publicTemplate,
    );
    const half = (objectClass: number): P11Object => {
      const object = objects.find((made) => classOf(made) === objectClass);
      if (object === undefined) throw failure("GENERAL_ERROR");
      return object;
    };
    const own = half(CKO.PRIVATE_KEY);
    const privateHandle = application.handleOf(session.slot, own);
    if (!apart) return [application.handleOf(session.slot, half(CKO.PUBLIC_KEY)), privateHandle];
    const spki = bytesOf(own.attributes, CKA.PUBLIC_KEY_INFO) ?? new Uint8Array(0);
    const key = parsePublicKey(spki);
    if (key === undefined) throw failure("GENERAL_ERROR");
    const passing = withIdOf(publicPart, privateTemplate);
    return [await placePublic(application, session, passing, key, spki), privateHandle];
  }
  mayMake(application, session, false, privatePart.get(CKA.PRIVATE) === true);
  // Before anything is made: of a pair there are both halves or none.
  mayMake(application, session, publicPart.get(CKA.TOKEN) === true, publicPart.get(CKA.PRIVATE) === true);
  const details = { operation: "generate", mechanism: `CKM_${row.name}` };
  const grants = grantsOf(privatePart);
  const maker = application.maker(session);
  const { sessionKeys } = application.ports;
  const key =
    pair.name === "generateRsa"
      ? await sessionKeys.make(maker, pair.name, { ...pair.request, ...grants }, details)
      : await sessionKeys.make(maker, pair.name, { ...pair.request, ...grants }, details);
  const privateHandle = await placeKey(application, session, privatePart, key);
  try {
    return [await placePublic(application, session, publicPart, key.public, key.spki), privateHandle];
  } catch (error) {
    application.forgetSessionObject(application.object(session, privateHandle).uid);
    throw error;
  }
}

export const keyCalls: Calls<"C_GenerateKey" | "C_GenerateKeyPair"> = {
  async C_GenerateKey(application, handle, mechanism, template) {
    const session = application.session(handle);
    return [await generate(application, session, mechanism, fromWireTemplate(template))];
  },
  async C_GenerateKeyPair(application, handle, mechanism, publicTemplate, privateTemplate) {
    const session = application.session(handle);
    return generatePair(
      application,
      session,
      mechanism,
      fromWireTemplate(publicTemplate),
      fromWireTemplate(privateTemplate),
    );
  },
};
