/** One thread's session at the token: opened when needed, opened again when the token ended it, cleared after mishaps. */
import { isCasemateError } from "@casemate/foundation/errors";
import { CKF, CKR, CKS } from "@casemate/protocols/p11-rpc";
import { ModuleError, hasRv, isLost, isVague, sessionEnded } from "../status.ts";
import type { Cryptoki, Handle } from "./addon.ts";

export interface Session {
  /**
   * Runs `work` with an open session. A session that the token ended is replaced and the work repeated once; an error that
   * says nothing becomes CKR_DEVICE_REMOVED when the token turns out to be gone.
   * @throws ModuleError, and what `work` throws.
   */
  run<T>(work: (session: Handle) => T): T;
  /** Whether token and session answer and, when `login` is needed, the user is logged in. */
  check(login: boolean): void;
}

const USER_STATES: readonly number[] = [CKS.RO_USER_FUNCTIONS, CKS.RW_USER_FUNCTIONS];

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
  const check = (login: boolean): void => {
    cryptoki.C_GetTokenInfo(slot);
    const { state } = cryptoki.C_GetSessionInfo(opened());
    if (login && !USER_STATES.includes(state)) throw new ModuleError(CKR.USER_NOT_LOGGED_IN, "C_GetSessionInfo");
  };
  const stillThere = (): boolean => {
    try {
      check(needsLogin());
      return true;
    } catch {
      return false;
    }
  };

  return {
    run(work) {
      try {
        return work(opened());
      } catch (error) {
        // Some modules leave an operation active after an error; a session that nothing was begun in helps there too.
        if (sessionEnded(error) || hasRv(error, CKR.OPERATION_ACTIVE)) {
          replace();
          return work(opened());
        }
        if (!(error instanceof ModuleError) && !isCasemateError(error)) replace();
        if (isVague(error) && !isLost(error) && !stillThere())
          throw new ModuleError(CKR.DEVICE_REMOVED, (error as ModuleError).call);
        throw error;
      }
    },
    check,
  };
}
