// Implements: PKCS #11 v3.0 §5.7.1 and §5.7.2, C_CreateObject and C_CopyObject.
import { CKA, CKO } from "@casemate/protocols/p11-rpc";
import type { Application } from "../application.ts";
import { checkCertificateValue, checkSecretValue } from "../check-value.ts";
import { need } from "../context.ts";
import { curveOfKey } from "../curves.ts";
import { importToDevice, secretAlgorithm } from "../device-keys.ts";
import { checkChange, classOf, isKeyClass, isToken, type Material, type P11Object } from "../object.ts";
import { modulusBits } from "../rsa.ts";
import type { Session } from "../session.ts";
import { failure } from "../status.ts";
import {
  checkCertificate,
  checkSecret,
  complete,
  keyTypeIn,
  privateKeyOf,
  privateMaterial,
  publicMaterial,
  required,
  secretMaterial,
} from "../templates.ts";
import { bytesOf, fromWireTemplate, numberOf, type Template, type Value } from "../values.ts";
import { recordFields } from "./objects.ts";
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
  const record = await application.ports.objects.create(caller, {
    tokenLabel: application.slotOf(session).home,
    ...recordFields(attributes),
  });
  return application.handleOf(session.slot, application.shared.catalogue.putRecord(caller, record));
}

/** Puts a secret value into the device as a token key. */
export async function placeSecret(
  application: Application,
  session: Session,
  template: Template,
  keyType: number,
  value: Uint8Array,
): Promise<number> {
  mayMake(application, session, true, true);
  const [object] = await importToDevice(
    application,
    need(application.user(session)),
    application.slotOf(session),
    secretAlgorithm(keyType, value.length),
    value.slice(),
    template,
  );
  if (object === undefined) throw failure("GENERAL_ERROR");
  return application.handleOf(session.slot, object);
}

async function createPrivate(application: Application, session: Session, template: Template): Promise<number> {
  const key = privateKeyOf(template);
  if (template.get(CKA.TOKEN) !== true) {
    const attributes = complete(CKO.PRIVATE_KEY, template, { loggedIn: application.user(session) !== undefined });
    return place(application, session, attributes, privateMaterial(attributes, key));
  }
  mayMake(application, session, true, true);
  const algorithm = curveOfKey(key)?.algorithm ?? `rsa-${modulusBits(key)}`;
  if (!["rsa-2048", "rsa-3072", "rsa-4096"].includes(algorithm) && algorithm.startsWith("rsa-")) {
    throw failure("ATTRIBUTE_VALUE_INVALID", "devices hold RSA keys of 2048, 3072 and 4096 bits");
  }
  const objects = await importToDevice(
    application,
    need(application.user(session)),
    application.slotOf(session),
    algorithm as Parameters<typeof importToDevice>[3],
    key.export({ format: "der", type: "pkcs8" }),
    template,
  );
  const object = objects.find((made) => classOf(made) === CKO.PRIVATE_KEY);
  if (object === undefined) throw failure("GENERAL_ERROR");
  return application.handleOf(session.slot, object);
}

async function create(application: Application, session: Session, template: Template): Promise<number> {
  required(template, CKA.CLASS);
  const objectClass = numberOf(template, CKA.CLASS);
  const origin = { loggedIn: application.user(session) !== undefined };
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
      const attributes = complete(objectClass, template, origin);
      if (template.get(CKA.TOKEN) === true) {
        checkSecretValue(attributes, keyType, value);
        return placeSecret(application, session, template, keyType, value);
      }
      return place(application, session, attributes, secretMaterial(attributes, value.slice()));
    }
    case CKO.PRIVATE_KEY:
      return createPrivate(application, session, template);
    default:
      throw failure("ATTRIBUTE_VALUE_INVALID", `objects of class ${objectClass} cannot be made`);
  }
}

/** A session key's own copy of its secret, so that destroying one leaves the other. */
function copyMaterial(object: P11Object, attributes: Map<number, Value>): Material | undefined {
  const { material } = object;
  if (material?.kind !== "secret") return material;
  return secretMaterial(attributes, material.bytes.reveal().slice());
}

async function copy(application: Application, session: Session, object: P11Object, changes: Template): Promise<number> {
  if (object.attributes.get(CKA.COPYABLE) === false) throw failure("ACTION_PROHIBITED");
  checkChange(object, changes, true);
  const attributes = new Map<number, Value>([...object.attributes, ...changes]);
  if (object.attributes.get(CKA.PRIVATE) === true && attributes.get(CKA.PRIVATE) === false) {
    throw failure("TEMPLATE_INCONSISTENT");
  }
  if (object.material?.kind === "device") throw failure("ACTION_PROHIBITED");
  if (isKeyClass(classOf(object)) && attributes.get(CKA.TOKEN) === true) {
    const { material } = object;
    if (material?.kind === "secret") {
      const value = material.bytes.reveal();
      return placeSecret(
        application,
        session,
        new Map([...attributes, [CKA.PRIVATE, true]]),
        keyTypeIn(attributes),
        value,
      );
    }
    throw failure("ACTION_PROHIBITED");
  }
  if (!isToken(object)) return place(application, session, attributes, copyMaterial(object, attributes));
  return place(application, session, attributes, object.material);
}

export const createCalls: Calls<"C_CreateObject" | "C_CopyObject"> = {
  async C_CreateObject(application, handle, template) {
    const session = application.session(handle);
    return [await create(application, session, fromWireTemplate(template))];
  },
  async C_CopyObject(application, handle, objectHandle, template) {
    const session = application.session(handle);
    const object = application.object(session, objectHandle);
    return [await copy(application, session, object, fromWireTemplate(template))];
  },
};
