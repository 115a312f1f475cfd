/** One thread's session at the token: opened when needed, opened again when the token ended it, cleared after mishaps. */
import { isCasemateError } from "@casemate/foundation/errors";
import { CKF, CKR, CKS } from "@casemate/protocols/p11-rpc";
import { ModuleError, hasRv, isLost, isStale, isVague, sessionEnded } from "../status.ts";
import type { Cryptoki, Handle } from "./addon.ts";

export interface Session {
  /**
   * Runs `work` with an open session. A session that the token ended is replaced and the work repeated once. An error that
   * says nothing, and an object that is not found, become the reason why the token or the login turns out to be gone.
   * @param undo of a `work` that makes objects: takes away what it left, before it is repeated and after it failed. A module
   *   may have made them and then say something else.
   * @throws ModuleError, and what `work` throws.
   */
  run<T>(work: (session: Handle) => T, undo?: (session: Handle) => void): T;
  /** @throws when token or session do not answer, or the user is not logged in where that is needed. */
  check(): void;
}

const USER_STATES: readonly number[] = [CKS.RO_USER_FUNCTIONS, CKS.RW_USER_FUNCTIONS];

/** A token that was taken out takes its objects along: some modules then find nothing, and say no more than that. */
const mayBeGone = (error: unknown): boolean =>
  isVague(error) || isStale(error) || (isCasemateError(error) && error.code === "NOT_FOUND");

export function createSession(cryptoki: Cryptoki, slot: Handle, needsLogin: () => boolean): Session {
  let open: Handle | undefined;
  let readOnly = false;

  const opened = (): Handle => {
    if (open !== undefined) return open;
    try {
      open = cryptoki.C_OpenSession(slot, CKF.SERIAL_SESSION | (readOnly ? 0 : CKF.RW_SESSION));
    } catch (error) {
      if (readOnly || !hasRv(error, CKR.TOKEN_WRITE_PROTECTED, CKR.SESSION_READ_ONLY)) throw error;
      readOnly = true;
      return opened();
    }
    return open;
  };
  const close = (session: Handle | undefined): void => {
    if (session === undefined) return;
    try {
      cryptoki.C_CloseSession(session);
    } catch {
      // it is gone already, or will be with the process
    }
  };
  /** The new one first: closing an application's last session logs its user out. */
  const replace = (): void => {
    const old = open;
    open = undefined;
    try {
      opened();
    } catch (error) {
      if (!hasRv(error, CKR.SESSION_COUNT)) throw error;
    }
    close(old);
  };
  const attempt = <T>(work: (session: Handle) => T, undo?: (session: Handle) => void): T => {
    try {
      return work(opened());
    } catch (error) {
      // Some modules leave an operation active after an error; a session that nothing was begun in helps there too.
      if (!sessionEnded(error) && !hasRv(error, CKR.OPERATION_ACTIVE)) throw error;
      replace();
      undo?.(opened());
      return work(opened());
    }
  };
  const check = (): void => {
    cryptoki.C_GetTokenInfo(slot);
    const { state } = attempt((session) => cryptoki.C_GetSessionInfo(session));
    if (needsLogin() && !USER_STATES.includes(state)) throw new ModuleError(CKR.USER_NOT_LOGGED_IN, "C_GetSessionInfo");
  };

  return {
    run(work, undo) {
      try {
        return attempt(work, undo);
      } catch (error) {
        if (!(error instanceof ModuleError) && !isCasemateError(error)) replace();
        try {
          undo?.(opened());
        } catch {
          // the token is gone, or fails: whoever asked has it undone once it is back
        }
        if (mayBeGone(error)) {
          try {
            check();
          } catch (reason) {
            if (isLost(reason) || !(reason instanceof ModuleError)) throw reason;
            throw new ModuleError(CKR.DEVICE_REMOVED, reason.call, reason.message);
          }
        }
        throw error;
      }
    },
    check,
  };
}
