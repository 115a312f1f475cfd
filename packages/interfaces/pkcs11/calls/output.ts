// Implements: PKCS #11 v3.0 §5.2, results of variable length: size queries, buffers that are too small, and who may be called next.
import { equalBytes } from "@casemate/foundation/bytes";
import { CKA, SIZE_QUERY, type ByteArray } from "@casemate/protocols/p11-rpc";
import type { Maybe } from "../context.ts";
import type { Accumulator, Operations, Progress, Session } from "../session.ts";
import { allows, type P11Object } from "../object.ts";
import { failure } from "../status.ts";

type Kind = keyof Operations;

/** Ends the operation and passes the failure on. */
function fail(session: Session, kind: Kind, error: unknown): never {
  session.operations[kind] = undefined;
  throw error;
}

/** The caller's bytes. A NULL pointer with a length ends the operation with CKR_ARGUMENTS_BAD. */
export function input(session: Session, kind: Kind, bytes: ByteArray): Uint8Array {
  if (bytes === undefined) return fail(session, kind, failure("ARGUMENTS_BAD"));
  return bytes;
}

function settle(
  session: Session,
  kind: Kind,
  operation: Progress,
  capacity: number,
  result: Uint8Array,
  ends: boolean,
  given?: Uint8Array,
): [Uint8Array | number] {
  if (result.length > (operation.over === true ? Math.max(capacity, 0) : capacity)) {
    operation.kept = result;
    if (given !== undefined) operation.keptFor ??= given.slice();
    return [result.length];
  }
  operation.kept = operation.keptFor = undefined;
  if (ends && session.operations[kind] === operation) session.operations[kind] = undefined;
  return [result];
}

function endUnsaid(operation: Progress, result: Uint8Array): [Uint8Array] {
  operation.kept = result;
  operation.over = true;
  return [result];
}

/** Drops what is kept for another input than this. Answers whether there was any: the operation begins anew then. */
export function dropsOther(operation: Progress, data: Uint8Array): boolean {
  if (operation.keptFor === undefined || equalBytes(operation.keptFor, data)) return false;
  operation.kept = operation.keptFor = undefined;
  return true;
}

/**
 * Answers `result`, or only its length when the caller asks for that or has too little room; the operation then goes on.
 * @param size the most that can come out; what a size query answers.
 * @param given the input of this call, when a result that does not fit is to be kept for it alone.
 */
export function deliver(
  session: Session,
  kind: Kind,
  operation: Progress,
  capacity: number,
  size: number,
  ends: boolean,
  compute: () => Maybe<Uint8Array>,
  given?: Uint8Array,
): Maybe<[Uint8Array | number]> {
  if (operation.kept !== undefined) return settle(session, kind, operation, capacity, operation.kept, ends, given);
  // Where nothing is left to come out, a client that does not tell the two apart means either: it gets the end, which fits both.
  const unsaid = capacity === SIZE_QUERY && session.roomUnsaid && ends && size === 0;
  if (capacity === SIZE_QUERY && !unsaid) return [size];
  const done = unsaid
    ? (bytes: Uint8Array) => endUnsaid(operation, bytes)
    : (bytes: Uint8Array) => settle(session, kind, operation, capacity, bytes, ends, given);
  try {
    const result = compute();
    if (!(result instanceof Promise)) return done(result);
    const failed = (error: unknown): never => fail(session, kind, error);
    if (!ends) return result.then(done, failed);
    operation.ending = true;
    return result.then((bytes) => {
      operation.ending = false;
      return done(bytes);
    }, failed);
  } catch (error) {
    return fail(session, kind, error);
  }
}

/** @throws CKR_USER_NOT_LOGGED_IN when the key asks for a login before each use; the operation ends. */
function mustBeAllowed(session: Session, kind: Kind, operation: Progress): void {
  if (operation.loginDue) fail(session, kind, failure("USER_NOT_LOGGED_IN", "the key asks for a login for each use"));
}

/** A one-shot call; it always ends the operation. @throws CKR_OPERATION_ACTIVE after a multi-part one, CKR_USER_NOT_LOGGED_IN. */
export function whole(session: Session, kind: Kind, operation: Progress): void {
  mustBeAllowed(session, kind, operation);
  if (operation.mode === "parts") fail(session, kind, failure("OPERATION_ACTIVE"));
  operation.mode = "whole";
}

/** A multi-part call. @throws CKR_OPERATION_ACTIVE after a one-shot one, which ends; CKR_USER_NOT_LOGGED_IN. */
export function part(session: Session, kind: Kind, operation: Progress): void {
  mustBeAllowed(session, kind, operation);
  if (operation.mode === "whole") fail(session, kind, failure("OPERATION_ACTIVE"));
  operation.mode = "parts";
}

/** Runs a step that ends the operation when it fails. */
export function step<T>(session: Session, kind: Kind, run: () => T): T;
export function step<T>(session: Session, kind: Kind, run: () => Maybe<T>): Maybe<T>;
export function step<T>(session: Session, kind: Kind, run: () => Maybe<T>): Maybe<T> {
  try {
    const result = run();
    return result instanceof Promise ? result.catch((error: unknown) => fail(session, kind, error)) : result;
  } catch (error) {
    return fail(session, kind, error);
  }
}

/** Adds a part of the input; too much ends the operation. */
export function collect(session: Session, kind: Kind, accumulator: Accumulator, data: Uint8Array): void {
  try {
    accumulator.add(data.slice());
  } catch (error) {
    fail(session, kind, error);
  }
}

export const fresh = (key?: P11Object): Progress => ({
  mode: "fresh",
  kept: undefined,
  loginDue: key !== undefined && allows(key, CKA.ALWAYS_AUTHENTICATE),
});
