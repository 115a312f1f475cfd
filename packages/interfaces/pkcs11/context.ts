// What every handler works with: the ports, and who asks.
import type { Caller, Keyring, ObjectStore } from "@casemate/keyring/core";
import { isCasemateError } from "@casemate/foundation/errors";
import type { Many } from "@casemate/devices/contract";
import type { Clock, Random } from "@casemate/foundation/effects";
import type { SessionKeyring } from "./session-keyring.ts";
import { failure } from "./status.ts";

export type Maybe<T> = T | Promise<T>;

/** What the server reports; a pino logger fits. */
export interface Pkcs11Log {
  /** Refused calls, with the reason that the return value cannot carry. */
  debug?(details: Readonly<Record<string, unknown>>, message: string): void;
  info(details: Readonly<Record<string, unknown>>, message: string): void;
  warn(details: Readonly<Record<string, unknown>>, message: string): void;
}

export interface Ports {
  readonly keyring: Keyring;
  readonly objects: ObjectStore;
  readonly sessionKeys: SessionKeyring;
  /** The interface's own caller: for what needs no login. */
  readonly service: Caller | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Pkcs11Log;
}

/** A caller for what needs one. @throws CKR_USER_NOT_LOGGED_IN. */
export function need(caller: Caller | undefined): Caller {
  if (caller === undefined) throw failure("USER_NOT_LOGGED_IN");
  return caller;
}

/** The only answer of a batch of one. */
export function only<T>(results: Many<T>): T {
  const [result] = results;
  if (result === undefined) throw failure("GENERAL_ERROR", "the keyring answered no result");
  if (isCasemateError(result)) throw result;
  return result as T;
}
