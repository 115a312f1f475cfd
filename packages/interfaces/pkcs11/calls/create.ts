// Implements: PKCS #11 v3.0 §5.7.1 and §5.7.2, C_CreateObject and C_CopyObject.
import type { KeyAlgorithm } from "@casemate/devices/contract";
import { CKA, CKO } from "@casemate/protocols/p11-rpc";
import type { Grants } from "@casemate/protocols/session-keys";
import type { Application } from "../application.ts";
import { checkCertificateValue, checkSecretValue } from "../check-value.ts";
import { need } from "../context.ts";
import { importToDevice, secretAlgorithm } from "../device-keys.ts";
import { checkChange, classOf, isKeyClass, SECRETS, sessionKeyOf, type Material, type P11Object } from "../object.ts";
import type { Session } from "../session.ts";
import { grantsOf, named, type Seal, type SessionKey } from "../session-keyring.ts";
import { failure } from "../status.ts";
import {
  checkAlwaysAuthenticate,
  checkCertificate,
  checkSecret,
  complete,
  keyTypeIn,
  privateImport,
  privateMaterial,
  publicMaterial,
  required,
  secretMaterial,
  secretTypeOf,
} from "../templates.ts";
import { bytesOf, fromWireTemplate, numberOf, type Template, type Value } from "../values.ts";
import { alone, recordFields } from "./objects.ts";
import type { Calls } from "./types.ts";

/** Whether this session may make such an object (PKCS #11 v3.0 §5.6, Table 3). @throws CKR_SESSION_READ_ONLY, CKR_USER_NOT_LOGGED_IN. */
export function mayMake(application: Application, session: Session, token: boolean, isPrivate: boolean): void {
  if (token && !session.writable) throw failure("SESSION_READ_ONLY");
  if (isPrivate && application.user(session) === undefined) throw failure("USER_NOT_LOGGED_IN");
}

/** Puts finished attributes into the session, or keeps them as a token object. Keys with a secret never come here as token objects. */
export async function place(
  application: Application,
  session: Session,
  attributes: Map<number, Value>,
  material: Material | undefined,
): Promise<number> {
  mayMake(application, session, attributes.get(CKA.TOKEN) === true, attributes.get(CKA.PRIVATE) === true);
  if (attributes.get(CKA.TOKEN) !== true) {
    const uid = application.shared.nextUid();
    return application.addSessionObject(session, { uid, attributes, ...(material === undefined ? {} : { material }) });
  }
  const caller = await application.keeper(session, attributes.get(CKA.PRIVATE) !== true);
  const created = application.ports.objects.create(caller, {
    tokenLabel: application.slotOf(session).home,
    ...recordFields(attributes),
  });
  const record = await named(created, { TOO_LARGE: "DEVICE_MEMORY" });
  return application.handleOf(session.slot, application.shared.catalogue.putRecord(caller, record));
}

/** A login that ended while its key was made leaves it to nobody. @throws CKR_USER_NOT_LOGGED_IN. */
function mustBeTheirs(application: Application, session: Session, key: SessionKey): void {
  if (key.madeFor !== application.user(session)) throw failure("USER_NOT_LOGGED_IN");
}

/** Puts a session key that was just made among the session's objects, or ends it. */
export async function placeKey(
  application: Application,
  session: Session,
  attributes: Map<number, Value>,
  key: SessionKey,
  check?: () => void,
): Promise<number> {
  try {
    check?.();
    if (attributes.get(CKA.PRIVATE) === true) mustBeTheirs(application, session, key);
    const material = "public" in key ? privateMaterial(attributes, key) : secretMaterial(attributes, key);
    return await place(application, session, attributes, material);
  } catch (error) {
    application.ports.sessionKeys.forget(key);
    throw error;
  }
}

const DEVICE_RSA: ReadonlySet<string> = new Set(["rsa-2048", "rsa-3072", "rsa-4096"]);

/** Puts a value into the device as a token key. */
async function placeInDevice(
  application: Application,
  session: Session,
  template: Template,
  key: SessionKey,
  seal: Seal,
): Promise<number> {
  mayMake(application, session, true, true);
  if (key.algorithm.startsWith("rsa-") && !DEVICE_RSA.has(key.algorithm))
    throw failure("ATTRIBUTE_VALUE_INVALID", "devices hold RSA keys of 2048, 3072 and 4096 bits");
  const objects = await importToDevice(
    application,
    need(application.user(session)),
    application.slotOf(session),
    "public" in key ? (key.algorithm as KeyAlgorithm) : secretAlgorithm(keyTypeIn(template), key.length),
    seal,
    template,
  );
  const wanted = "public" in key ? CKO.PRIVATE_KEY : CKO.SECRET_KEY;
  const object = objects.find((made) => classOf(made) === wanted);
  if (object === undefined) throw failure("GENERAL_ERROR");
  return application.handleOf(session.slot, object);
}

/** Puts a key that was made on the way there into the device; what was on the way is gone then. */
export async function passOn(
  application: Application,
  session: Session,
  template: Template,
  key: SessionKey,
  check?: () => void,
): Promise<number> {
  const { sessionKeys } = application.ports;
  try {
    check?.();
    mustBeTheirs(application, session, key);
    return await placeInDevice(application, session, template, key, sessionKeys.sealer(key));
  } finally {
    sessionKeys.forget(key);
  }
}

const NOT_A_KEY = { BAD_REQUEST: "ATTRIBUTE_VALUE_INVALID" } as const;
const IMPORT = { operation: "import", mechanism: "C_CreateObject" } as const;

/** What leaves the process of a key that is on its way into a device: nothing but the way there. */
export const grantsFor = (device: boolean, attributes: Template): Grants =>
  device ? { readable: false, extractable: false } : grantsOf(attributes);

async function createPrivate(application: Application, session: Session, template: Template): Promise<number> {
  const { sessionKeys } = application.ports;
  const given = privateImport(template);
  const device = template.get(CKA.TOKEN) === true;
  const loggedIn = application.user(session) !== undefined;
  const attributes = complete(CKO.PRIVATE_KEY, template, { loggedIn });
  mayMake(application, session, device, device || attributes.get(CKA.PRIVATE) === true);
  const grants = grantsFor(device, attributes);
  const to = application.maker(session, device);
  const made =
    given.name === "importRsa"
      ? sessionKeys.make(to, given.name, { ...given.request, ...grants }, IMPORT)
      : sessionKeys.make(to, given.name, { ...given.request, ...grants }, IMPORT);
  // Without it an unusual exponent is not found.
  const lacking = given.name === "importRsa" && given.request.e.length === 0 && given.request.p.length === 0;
  const key = await named(made, lacking ? { BAD_REQUEST: "TEMPLATE_INCOMPLETE" } : NOT_A_KEY);
  return device ? passOn(application, session, template, key) : placeKey(application, session, attributes, key);
}

async function createSecret(
  application: Application,
  session: Session,
  template: Template,
  attributes: Map<number, Value>,
): Promise<number> {
  const { sessionKeys } = application.ports;
  const keyType = keyTypeIn(template);
  const value = bytesOf(template, CKA.VALUE) ?? new Uint8Array(0);
  const device = template.get(CKA.TOKEN) === true;
  mayMake(application, session, device, device || attributes.get(CKA.PRIVATE) === true);
  const request = { type: secretTypeOf(keyType), value, ...grantsFor(device, attributes) };
  const key = await sessionKeys.make(application.maker(session, device), "importSecret", request, IMPORT);
  if (!device) return placeKey(application, session, attributes, key);
  return passOn(application, session, template, key, () => checkSecretValue(attributes, key));
}

/** Values that an application sent have been handed on, or were refused. */
function wipeValues(template: Template): void {
  if (!isKeyClass(numberOf(template, CKA.CLASS) ?? CKO.DATA)) return;
  for (const type of SECRETS) bytesOf(template, type)?.fill(0);
}

async function create(application: Application, session: Session, template: Template): Promise<number> {
  required(template, CKA.CLASS);
  const objectClass = numberOf(template, CKA.CLASS);
  const origin = { loggedIn: application.user(session) !== undefined, trusts: application.trusts(session) };
  switch (objectClass) {
    case CKO.DATA:
      return place(application, session, complete(objectClass, template, origin), undefined);
    case CKO.CERTIFICATE: {
      checkCertificate(template);
      const attributes = complete(objectClass, template, origin);
      checkCertificateValue(attributes);
      return place(application, session, attributes, undefined);
    }
    case CKO.PUBLIC_KEY: {
      const attributes = complete(objectClass, template, origin);
      return place(application, session, attributes, publicMaterial(attributes));
    }
    case CKO.SECRET_KEY: {
      const keyType = keyTypeIn(template);
      required(template, CKA.VALUE);
      const value = bytesOf(template, CKA.VALUE) ?? new Uint8Array(0);
      if (template.has(CKA.VALUE_LEN) && numberOf(template, CKA.VALUE_LEN) !== value.length) {
        throw failure("TEMPLATE_INCONSISTENT");
      }
      checkSecret(keyType, value.length);
      return createSecret(application, session, template, complete(objectClass, template, origin));
    }
    case CKO.PRIVATE_KEY:
      return createPrivate(application, session, template);
    default:
      throw failure("ATTRIBUTE_VALUE_INVALID", `objects of class ${objectClass} cannot be made`);
  }
}

async function copy(application: Application, session: Session, object: P11Object, changes: Template): Promise<number> {
  if (object.attributes.get(CKA.COPYABLE) === false) throw failure("ACTION_PROHIBITED");
  checkChange(object, changes, { copying: true, trusts: application.trusts(session) });
  const attributes = new Map<number, Value>([...object.attributes, ...changes]);
  if (classOf(object) === CKO.CERTIFICATE && !application.trusts(session)) attributes.set(CKA.TRUSTED, false);
  checkAlwaysAuthenticate(attributes);
  if (object.attributes.get(CKA.PRIVATE) === true && attributes.get(CKA.PRIVATE) === false) {
    throw failure("TEMPLATE_INCONSISTENT");
  }
  if (object.material?.kind === "device") throw failure("ACTION_PROHIBITED");
  const key = sessionKeyOf(object.material);
  const { sessionKeys } = application.ports;
  const { caller } = application.maker(session);
  if (isKeyClass(classOf(object)) && attributes.get(CKA.TOKEN) === true) {
    if (key === undefined) throw failure("ACTION_PROHIBITED");
    const details = { operation: "copy into device" };
    const seal: Seal = async (publicKey) =>
      (await sessionKeys.use(caller, key, details, "seal", { publicKey, target: key.id })).bytes;
    return placeInDevice(application, session, new Map([...attributes, [CKA.PRIVATE, true]]), key, seal);
  }
  if (key === undefined) return place(application, session, attributes, object.material);
  const own = await sessionKeys.copy(caller, key, grantsOf(attributes));
  return placeKey(application, session, attributes, own);
}

export const createCalls: Calls<"C_CreateObject" | "C_CopyObject"> = {
  async C_CreateObject(application, handle, template) {
    const session = application.session(handle);
    const given = fromWireTemplate(template);
    try {
      return [await create(application, session, given)];
    } finally {
      wipeValues(given);
    }
  },
  async C_CopyObject(application, handle, objectHandle, template) {
    const changes = fromWireTemplate(template);
    return alone(application, handle, objectHandle, async (session, object) => [
      await copy(application, session, object, changes),
    ]);
  },
};
