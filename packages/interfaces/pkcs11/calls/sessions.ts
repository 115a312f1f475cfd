// Implements: PKCS #11 v3.0 §5.6, sessions and logins.
import { CKF, CKR, CKU, NULL_BYTES, type ByteArray } from "@casemate/protocols/p11-rpc";
import type { Application } from "../application.ts";
import { tokenPresent, type Login } from "../slots.ts";
import type { Session } from "../session.ts";
import { failure, returnValue } from "../status.ts";
import { restoreState, saveState } from "./state.ts";
import type { Calls } from "./types.ts";

/** @throws CKR_ARGUMENTS_BAD, CKR_FUNCTION_CANCELED for a NULL PIN. */
function givenPin(application: Application, session: Session, pin: ByteArray): Uint8Array {
  if (pin === undefined) throw failure("ARGUMENTS_BAD");
  if (pin !== NULL_BYTES) return pin;
  application.ports.log.warn({ slot: session.slot }, "pkcs11: a login without a PIN: no approval path is configured");
  throw failure("FUNCTION_CANCELED", "no protected authentication path is configured; log in with a PIN");
}

/** The login that a key with CKA_ALWAYS_AUTHENTICATE asks for before each use: by the same user again. */
async function loginForUse(application: Application, session: Session, pin: ByteArray): Promise<[]> {
  const operation = session.awaitingLogin();
  if (operation === undefined) throw failure("OPERATION_NOT_INITIALIZED");
  const present = application.login(session.slot);
  if (present?.role !== "user") throw failure("USER_NOT_LOGGED_IN");
  const { home } = application.slotOf(session);
  const { caller } = await application.shared.pins
    .check(home, "user", givenPin(application, session, pin))
    .catch((error: unknown) => {
      // PKCS #11 v3.0 §4.9: a PIN that such a login locks logs the user out.
      if (returnValue(error) === CKR.PIN_LOCKED) application.logout(session.slot);
      throw error;
    });
  if (caller.principal !== present.caller.principal) throw failure("PIN_INCORRECT", "another user's PIN");
  operation.loginDue = false;
  return [];
}

/** A security officer logs in to sessions that may write alone. @throws CKR_SESSION_READ_ONLY_EXISTS. */
function mustAllWrite(application: Application, slot: number): void {
  for (const other of application.sessions.values()) {
    if (other.slot === slot && !other.writable) throw failure("SESSION_READ_ONLY_EXISTS");
  }
}

/** @throws CKR_USER_ALREADY_LOGGED_IN, CKR_USER_ANOTHER_ALREADY_LOGGED_IN. */
function mustBeNobody(present: Login | undefined, role: Login["role"]): void {
  if (present === undefined) return;
  throw failure(present.role === role ? "USER_ALREADY_LOGGED_IN" : "USER_ANOTHER_ALREADY_LOGGED_IN");
}

async function login(application: Application, handle: number, user: number, pin: ByteArray): Promise<[]> {
  const session = application.session(handle);
  const present = application.login(session.slot);
  if (user === CKU.CONTEXT_SPECIFIC) return loginForUse(application, session, pin);
  if (user !== CKU.USER && user !== CKU.SO) throw failure("USER_TYPE_INVALID");
  const role = user === CKU.SO ? "so" : "user";
  mustBeNobody(present, role);
  if (role === "so") mustAllWrite(application, session.slot);
  const { home } = application.slotOf(session);
  const { caller } = await application.shared.pins.check(home, role, givenPin(application, session, pin));
  // The PIN took its time: what was so before it may not be so now.
  if (application.sessions.get(handle) !== session) throw failure("SESSION_CLOSED");
  mustBeNobody(application.login(session.slot), role);
  if (role === "so") mustAllWrite(application, session.slot);
  application.setLogin(session.slot, { role, caller });
  return [];
}

export const sessionCalls: Calls<
  | "C_OpenSession"
  | "C_CloseSession"
  | "C_CloseAllSessions"
  | "C_GetSessionInfo"
  | "C_Login"
  | "C_LoginUser"
  | "C_Logout"
  | "C_GetOperationState"
  | "C_SetOperationState"
  | "C_SessionCancel"
> = {
  C_OpenSession(application, id, flags) {
    const slot = application.shared.slots.get(id);
    if (!tokenPresent(slot)) throw failure("TOKEN_NOT_PRESENT");
    if (slot.kind === "free") throw failure("TOKEN_NOT_RECOGNIZED", "C_InitToken makes a token of it first");
    if ((flags & CKF.SERIAL_SESSION) === 0) throw failure("SESSION_PARALLEL_NOT_SUPPORTED");
    const writable = (flags & CKF.RW_SESSION) !== 0;
    if (!writable && application.login(id)?.role === "so") throw failure("SESSION_READ_WRITE_SO_EXISTS");
    return [application.open(id, flags, writable).handle];
  },
  C_CloseSession(application, handle) {
    application.close(application.session(handle));
    return [];
  },
  C_CloseAllSessions(application, id) {
    application.shared.slots.get(id);
    application.closeAll(id);
    return [];
  },
  C_GetSessionInfo(application, handle) {
    const session = application.session(handle);
    const flags = CKF.SERIAL_SESSION | (session.writable ? CKF.RW_SESSION : 0);
    return [session.slot, application.state(session), flags, 0];
  },
  C_Login: login,
  // There is one name per token, and the PIN says it: a user name adds nothing and must be empty.
  async C_LoginUser(application, handle, user, pin, name) {
    if (name === undefined || name.length > 0) throw failure("ARGUMENTS_BAD", "the PIN names the user");
    return login(application, handle, user, pin);
  },
  C_Logout(application, handle) {
    const session = application.session(handle);
    if (application.login(session.slot) === undefined) throw failure("USER_NOT_LOGGED_IN");
    application.logout(session.slot);
    return [];
  },
  C_GetOperationState: (application, handle, capacity) => saveState(application.session(handle), capacity),
  C_SetOperationState(application, handle, state, encryptionKey, authenticationKey) {
    const session = application.session(handle);
    if (state === undefined || state === NULL_BYTES) throw failure("ARGUMENTS_BAD");
    if (encryptionKey !== 0 || authenticationKey !== 0) throw failure("KEY_NOT_NEEDED");
    restoreState(session, state);
    return [];
  },
  C_SessionCancel(application, handle, flags) {
    const session = application.session(handle);
    const { operations } = session;
    if ((flags & CKF.DIGEST) !== 0) operations.digest = undefined;
    if ((flags & CKF.ENCRYPT) !== 0) operations.encrypt = undefined;
    if ((flags & CKF.DECRYPT) !== 0) operations.decrypt = undefined;
    if ((flags & CKF.SIGN) !== 0) operations.sign = undefined;
    if ((flags & CKF.VERIFY) !== 0) operations.verify = undefined;
    if ((flags & CKF.SIGN_RECOVER) !== 0) operations.signRecover = undefined;
    if ((flags & CKF.VERIFY_RECOVER) !== 0) operations.verifyRecover = undefined;
    if ((flags & 0x40) !== 0) operations.find = undefined; // CKF_FIND_OBJECTS
    return [];
  },
};
