/** One thread's session at the token: opened when needed, opened again when the token ended it, cleared after mishaps. */
import { CasemateError, asCasemateError, isCasemateError } from "@casemate/foundation/errors";
import { CKF, CKR, CKS } from "@casemate/protocols/p11-rpc";
import { ModuleError, explained, hasRv, isLost, isStale, isVague, sessionEnded } from "../status.ts";
import type { Cryptoki, Handle } from "./addon.ts";

/** @throws ModuleError */
export type Undo = (session: Handle, error: unknown) => void;

export interface Session {
  /**
   * Runs `work` with an open session. A session that the token ended is replaced and the work repeated once. An error that
   * says nothing, and an object that is not found, become the reason why the token or the login turns out to be gone.
   * @param undo of a `work` that makes objects: takes away what it left, before it is repeated and after it failed. A module
   *   may have made them and then say something else. Where that fails too, the error says so (`details.left`).
   * @throws ModuleError, and what `work` throws.
   */
  run<T>(work: (session: Handle) => T, undo?: Undo): T;
  /** @throws when token or session do not answer, or the user is not logged in where that is needed. */
  check(): void;
}

const USER_STATES: readonly number[] = [CKS.RO_USER_FUNCTIONS, CKS.RW_USER_FUNCTIONS];

/** A token that was taken out takes its objects along: some modules then find nothing, and say no more than that. */
const mayBeGone = (error: unknown): boolean =>
  isVague(error) || isStale(error) || (isCasemateError(error) && error.code === "NOT_FOUND");

function succeeds(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

/** The error of what left something in the token that nothing refers to. */
function leftBehind(error: unknown): unknown {
  const known = asCasemateError(explained(error));
  const { code, message, hint, details } = known;
  return new CasemateError(code, message, {
    ...(hint === undefined ? {} : { hint }),
    details: { ...details, left: true },
    cause: error,
  });
}

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
  const attempt = <T>(work: (session: Handle) => T, undo?: Undo): T => {
    try {
      return work(opened());
    } catch (error) {
      // Some modules leave an operation active after an error; a session that nothing was begun in helps there too.
      if (!sessionEnded(error) && !hasRv(error, CKR.OPERATION_ACTIVE)) throw error;
      replace();
      undo?.(opened(), error);
      return work(opened());
    }
  };
  const check = (): void => {
    cryptoki.C_GetTokenInfo(slot);
    const { state } = attempt((session) => cryptoki.C_GetSessionInfo(session));
    if (needsLogin() && !USER_STATES.includes(state)) throw new ModuleError(CKR.USER_NOT_LOGGED_IN, "C_GetSessionInfo");
  };

  /** What says that the token or the login is gone; undefined when both are there. */
  const reasonToBeGone = (): unknown => {
    try {
      check();
      return undefined;
    } catch (reason) {
      if (isLost(reason) || !(reason instanceof ModuleError)) return reason;
      return new ModuleError(CKR.DEVICE_REMOVED, reason.call, reason.message);
    }
  };

  return {
    run(work, undo) {
      try {
        return attempt(work, undo);
      } catch (error) {
        if (!(error instanceof ModuleError) && !isCasemateError(error)) succeeds(replace);
        const undone = undo === undefined || succeeds(() => undo(opened(), error));
        const reason = mayBeGone(error) ? (reasonToBeGone() ?? error) : error;
        throw undone ? reason : leftBehind(reason);
      }
    },
    check,
  };
}
