// Implements: PKCS #11 v3.0 §5.7, reading, changing, finding and destroying objects.
import {
  CK_UNAVAILABLE,
  CKA,
  CKO,
  CKR,
  RPC_LIMITS,
  encodeAttributes,
  valueLength,
  type Attribute,
  type AttributeBuffer,
} from "@casemate/protocols/p11-rpc";
import { fromUtf8 } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import type { Caller, Keyring } from "@casemate/keyring/core";
import { mustWrite, type Application } from "../application.ts";
import type { TokenObject } from "../catalogue.ts";
import type { Maybe } from "../context.ts";
import { mayServe } from "../device-keys.ts";
import { HIDDEN_PUBLIC, idText, keepAttribute, leftPublic, type Half } from "../key-object.ts";
import { isElsewhere, readValues } from "../key-values.ts";
import {
  checkChange,
  classOf,
  groupOf,
  isPrivate,
  isToken,
  keyBehind,
  sessionKeyOf,
  show,
  type DeviceKey,
  type P11Object,
} from "../object.ts";
import type { Session } from "../session.ts";
import { grantsOf, named } from "../session-keyring.ts";
import { failure } from "../status.ts";
import {
  bytesOf,
  fromWireTemplate,
  numberOf,
  toWireTemplate,
  toWireValue,
  type Template,
  type Value,
} from "../values.ts";
import type { Calls } from "./types.ts";

/** The fields by which the object store finds a record, beside all attributes. */
export function recordFields(attributes: Template): {
  class: number;
  label: string;
  ckaId: string;
  attributes: Uint8Array;
} {
  const label = bytesOf(attributes, CKA.LABEL) ?? new Uint8Array(0);
  let text = "";
  try {
    text = fromUtf8(label).slice(0, 256);
  } catch {
    // Labels that are no UTF-8 are found by the interface's own index.
  }
  return {
    class: numberOf(attributes, CKA.CLASS) ?? CKO.DATA,
    label: text,
    ckaId: idText((bytesOf(attributes, CKA.ID) ?? new Uint8Array(0)).subarray(0, 256)),
    attributes: encodeAttributes(toWireTemplate(attributes)),
  };
}

/** Which half of a device key an object is. */
export function halfOf(object: P11Object): Half {
  return classOf(object) === CKO.PUBLIC_KEY ? "pub" : "key";
}

async function change(application: Application, session: Session, object: P11Object, changes: Template): Promise<void> {
  const attributes = new Map<number, Value>([...object.attributes, ...changes]);
  if (!isToken(object)) {
    const key = sessionKeyOf(object.material);
    if (key !== undefined && (changes.has(CKA.SENSITIVE) || changes.has(CKA.EXTRACTABLE))) {
      await application.ports.sessionKeys.restrict(key, grantsOf(attributes));
    }
    application.replace(session, { ...object, attributes });
    return;
  }
  const { record } = object as TokenObject;
  const caller = await application.keeper(session, record !== undefined && !isPrivate(object));
  const { keyring, objects } = application.ports;
  const { catalogue } = application.shared;
  const device = keyBehind(object.material);
  if (record !== undefined) {
    const updated = objects.update(caller, record, recordFields(attributes));
    application.replace(session, catalogue.putRecord(caller, await named(updated, { TOO_LARGE: "DEVICE_MEMORY" })));
    return;
  }
  if (device === undefined) throw failure("ACTION_PROHIBITED");
  const half = halfOf(object);
  const key = await keyring.getKey(caller, device.name);
  const labels = { ...key.labels };
  for (const [type, value] of changes) {
    if (value === true && !mayServe(key.algorithm, key.usages, type))
      throw failure("ATTRIBUTE_VALUE_INVALID", `a key for ${key.usages.join(" and ")} is for nothing else, for good`);
    if (value === true && type === CKA.WRAP_WITH_TRUSTED)
      throw failure("TEMPLATE_INCONSISTENT", "whoever asks through another interface would not be bound by it");
    if (type !== CKA.EXTRACTABLE) keepAttribute(labels, half, type, value);
  }
  // Whoever asks through another interface is not to have it either.
  const kept = changes.get(CKA.EXTRACTABLE) === false ? ({ exportable: false } as const) : {};
  const fresh = catalogue.refreshKey(caller, await keyring.updateKey(caller, device.name, { labels, ...kept }));
  const next = fresh.find((other) => other.uid === object.uid);
  if (next !== undefined) application.replace(session, next);
}

/** Whether the public half stays without its private one. */
async function leavePublic(
  keyring: Keyring,
  caller: Caller,
  { name, version }: DeviceKey,
  stays: boolean,
): Promise<void> {
  const { [leftPublic(version)]: _, ...others } = (await keyring.getKey(caller, name)).labels;
  const labels = stays ? { ...others, [leftPublic(version)]: "true" } : others;
  await keyring.updateKey(caller, name, { labels });
}

/** The halves of a pair are objects of their own: the public one stays until it is destroyed, too. */
async function destroyPrivate(keyring: Keyring, caller: Caller, key: DeviceKey): Promise<void> {
  const leave = (stays: boolean): Promise<boolean> =>
    leavePublic(keyring, caller, key, stays).then(
      () => true,
      (error: unknown) => {
        // Whoever may destroy a key and not change it, or has no room for one more label, destroys both halves.
        if (!isCasemateError(error)) throw error;
        return false;
      },
    );
  const left = await leave(true);
  try {
    await keyring.destroyKey(caller, key.name, { version: key.version });
  } catch (error) {
    if (left) await leave(false);
    throw error;
  }
}

/** Ends an object: a session object at once, a key of the keyring by its destruction with the waiting period. */
async function destroy(application: Application, session: Session, object: P11Object): Promise<void> {
  if (object.attributes.get(CKA.DESTROYABLE) === false) throw failure("ACTION_PROHIBITED");
  if (!isToken(object)) {
    application.forgetSessionObject(object.uid);
    return;
  }
  const { keyring, objects } = application.ports;
  const { record } = object as TokenObject;
  const caller = await application.keeper(session, record !== undefined && !isPrivate(object));
  if (record !== undefined) {
    await objects.remove(caller, record);
  } else if (object.material?.kind === "device") {
    const { key } = object.material;
    if (classOf(object) === CKO.PRIVATE_KEY) await destroyPrivate(keyring, caller, key);
    else await keyring.destroyKey(caller, key.name, { version: key.version });
  } else if (object.material?.kind === "public" && object.material.device !== undefined) {
    // The public half is a view: destroying it hides it and leaves the private key alone.
    const { name } = object.material.device;
    const key = await keyring.getKey(caller, name);
    await keyring.updateKey(caller, name, { labels: { ...key.labels, [HIDDEN_PUBLIC]: "true" } });
  } else if (object.material?.kind === "public" && object.material.left !== undefined) {
    await leavePublic(keyring, caller, object.material.left, false);
  } else throw failure("ACTION_PROHIBITED");
  application.forgetHandle(session.slot, object.uid);
}

/** Works on an object as it is after all changes before, those of other applications included, and in the middle of none. */
export async function alone<T>(
  application: Application,
  handle: number,
  objectHandle: number,
  work: (session: Session, object: P11Object) => Promise<T>,
): Promise<T> {
  const before = application.object(application.session(handle), objectHandle);
  return application.shared.locks.run(groupOf(before) ?? before.uid, async () => {
    await application.refresh();
    const session = application.session(handle);
    return work(session, application.object(session, objectHandle));
  });
}

/** What an answer carries beside its values, and each value beside itself: type, whether it is there, two lengths. */
const ANSWER_BYTES = 256;
const ATTRIBUTE_BYTES = 16;

function answer(
  object: P11Object,
  buffers: readonly AttributeBuffer[],
  values?: ReadonlyMap<number, Uint8Array>,
): [Attribute[], number] {
  let rv: number = CKR.OK;
  /** An attribute may be asked for many times over; an answer is no larger than a question may be. */
  let room = RPC_LIMITS.bodyBytes - ANSWER_BYTES - ATTRIBUTE_BYTES * buffers.length;
  const worst = (next: number): void => {
    if (rv === CKR.OK) rv = next;
  };
  const attributes = buffers.map((buffer): Attribute => {
    const value = values?.get(buffer.type);
    const shown = value === undefined ? show(object, buffer.type) : { value };
    if ("missing" in shown) {
      worst(shown.missing === "sensitive" ? CKR.ATTRIBUTE_SENSITIVE : CKR.ATTRIBUTE_TYPE_INVALID);
      return { type: buffer.type, value: undefined, length: -1 };
    }
    const wire = toWireValue(buffer.type, shown.value);
    const length = valueLength(buffer.type, wire);
    if (buffer.capacity >= 0 && buffer.capacity < length) {
      worst(CKR.BUFFER_TOO_SMALL);
      return { type: buffer.type, value: undefined, length: -1 };
    }
    if (buffer.capacity >= 0 && (room -= length) < 0) throw failure("HOST_MEMORY", "too much for one answer");
    return { type: buffer.type, value: wire, length };
  });
  return [attributes, rv];
}

function read(
  application: Application,
  session: Session,
  object: P11Object,
  buffers: readonly AttributeBuffer[],
): Maybe<[Attribute[], number]> {
  const elsewhere = buffers.filter(({ type }) => isElsewhere(object, type));
  if (elsewhere.length === 0) return answer(object, buffers);
  const { material } = object;
  // The length of a secret is no secret: to ask for it, or to have too little room, shows no value.
  if (material?.kind === "secret" && elsewhere.every(({ capacity }) => capacity < material.key.length)) {
    return answer(object, buffers, new Map([[CKA.VALUE, new Uint8Array(material.key.length)]]));
  }
  const { caller } = application.maker(session);
  return readValues(application.ports, caller, object).then((values) => answer(object, buffers, values));
}

export const objectCalls: Calls<
  | "C_DestroyObject"
  | "C_GetObjectSize"
  | "C_GetAttributeValue"
  | "C_SetAttributeValue"
  | "C_FindObjectsInit"
  | "C_FindObjects"
  | "C_FindObjectsFinal"
> = {
  async C_DestroyObject(application, handle, objectHandle) {
    return alone(application, handle, objectHandle, async (session, object) => {
      mustWrite(session, object);
      await destroy(application, session, object);
      return [];
    });
  },
  C_GetObjectSize(application, handle, objectHandle) {
    application.object(application.session(handle), objectHandle);
    // What an object takes is up to its device or to the database, and neither says.
    return [CK_UNAVAILABLE];
  },
  C_GetAttributeValue(application, handle, object, buffers) {
    const session = application.session(handle);
    return read(application, session, application.object(session, object), buffers);
  },
  async C_SetAttributeValue(application, handle, objectHandle, template) {
    const changes = fromWireTemplate(template);
    return alone(application, handle, objectHandle, async (session, object) => {
      mustWrite(session, object);
      checkChange(object, changes, { copying: false, trusts: application.trusts(session) });
      await change(application, session, object, changes);
      return [];
    });
  },
  async C_FindObjectsInit(application, handle, template) {
    const session = application.session(handle);
    session.mustBeFree("find");
    const operation = { handles: [] as readonly number[], at: 0 };
    session.operations.find = operation;
    try {
      operation.handles = await application.find(session, fromWireTemplate(template));
    } catch (error) {
      session.operations.find = undefined;
      throw error;
    }
    return [];
  },
  C_FindObjects(application, handle, capacity) {
    const operation = application.session(handle).running("find");
    if (capacity < 0) throw failure("ARGUMENTS_BAD");
    const handles = operation.handles.slice(operation.at, operation.at + capacity);
    operation.at += handles.length;
    return [handles];
  },
  C_FindObjectsFinal(application, handle) {
    const session = application.session(handle);
    session.running("find");
    session.operations.find = undefined;
    return [];
  },
};
