// Implements: PKCS #11 v3.0 §5.8 to §5.17, what every C_…Init checks before an operation starts.
import { NULL_MECHANISM, type Mechanism } from "@casemate/protocols/p11-rpc";
import type { Application } from "../application.ts";
import { MECHANISMS, type MechanismRow } from "../mechanisms.ts";
import { allows, type Material, type P11Object } from "../object.ts";
import type { Operations, Session } from "../session.ts";
import { failure } from "../status.ts";
import { numberOf } from "../values.ts";
import { CKA } from "@casemate/protocols/p11-rpc";

/** The row of a mechanism. @throws CKR_MECHANISM_INVALID. */
export function mechanismRow(mechanism: Mechanism): MechanismRow {
  const row = MECHANISMS.get(mechanism.type);
  if (row === undefined) throw failure("MECHANISM_INVALID");
  if (mechanism.parameter?.kind === "bytes" && row.cipher === undefined) throw failure("MECHANISM_PARAM_INVALID");
  return row;
}

/**
 * A NULL mechanism ends the running operation (PKCS #11 v3.0 §5.2). Answers whether that was asked for.
 * @throws CKR_OPERATION_ACTIVE.
 */
export function cancels(session: Session, kind: keyof Operations, mechanism: Mechanism): boolean {
  if (mechanism.type === NULL_MECHANISM) {
    if (session.operations[kind] === undefined) throw failure("ARGUMENTS_BAD", "no mechanism");
    session.operations[kind] = undefined;
    return true;
  }
  session.mustBeFree(kind);
  return false;
}

/**
 * The key of an operation, fit for the mechanism and allowed to do it.
 * @throws CKR_KEY_HANDLE_INVALID, CKR_KEY_TYPE_INCONSISTENT, CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_MECHANISM_INVALID.
 */
export function keyFor(
  application: Application,
  session: Session,
  handle: number,
  row: MechanismRow,
  permission: number,
): { readonly object: P11Object; readonly material: Material } {
  const object = application.object(session, handle, "KEY_HANDLE_INVALID");
  if (object.material === undefined) throw failure("KEY_HANDLE_INVALID");
  checkKey(object, row);
  if (!allows(object, permission)) throw failure("KEY_FUNCTION_NOT_PERMITTED");
  return { object, material: object.material };
}

/** @throws CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_INVALID when the key's own list leaves the mechanism out. */
export function checkKey(object: P11Object, row: MechanismRow): void {
  const keyType = numberOf(object.attributes, CKA.KEY_TYPE);
  if (keyType === undefined || !row.keyTypes.includes(keyType)) throw failure("KEY_TYPE_INCONSISTENT");
  const allowed = object.attributes.get(CKA.ALLOWED_MECHANISMS);
  if (Array.isArray(allowed) && allowed.length > 0 && !allowed.includes(row.type)) throw failure("MECHANISM_INVALID");
}
