// Implements: PKCS #11 v3.0 §5.1, which return value answers which failure.
import { asCasemateError, type ErrorCode } from "@casemate/foundation/errors";
import { CKR } from "@casemate/protocols/p11-rpc";

export type Rv = (typeof CKR)[keyof typeof CKR];

/** A Cryptoki return value as an exception. */
export class Pkcs11Failure extends Error {
  override readonly name = "Pkcs11Failure";
  readonly rv: Rv;

  constructor(rv: Rv, why = "") {
    super(why);
    this.rv = rv;
  }
}

export function failure(name: keyof typeof CKR, why?: string): Pkcs11Failure {
  return new Pkcs11Failure(CKR[name], why);
}

/** Every code of the program, in the words of the standard. */
const BY_CODE = {
  BAD_REQUEST: CKR.ARGUMENTS_BAD,
  DECODE_TRUNCATED: CKR.ARGUMENTS_BAD,
  DECODE_TRAILING: CKR.ARGUMENTS_BAD,
  DECODE_INVALID: CKR.ARGUMENTS_BAD,
  TOO_LARGE: CKR.DATA_LEN_RANGE,
  UNAUTHENTICATED: CKR.USER_NOT_LOGGED_IN,
  TOKEN_EXPIRED: CKR.USER_NOT_LOGGED_IN,
  PIN_WRONG: CKR.PIN_INCORRECT,
  PIN_LOCKED: CKR.PIN_LOCKED,
  FORBIDDEN: CKR.ACTION_PROHIBITED,
  NOT_FOUND: CKR.OBJECT_HANDLE_INVALID,
  ALREADY_EXISTS: CKR.TEMPLATE_INCONSISTENT,
  CONFLICT: CKR.FUNCTION_FAILED,
  IDEMPOTENCY_MISMATCH: CKR.FUNCTION_FAILED,
  NOT_SUPPORTED: CKR.MECHANISM_INVALID,
  KEY_STATE: CKR.KEY_FUNCTION_NOT_PERMITTED,
  KEY_USAGE: CKR.KEY_FUNCTION_NOT_PERMITTED,
  KEY_LIMIT: CKR.KEY_FUNCTION_NOT_PERMITTED,
  NOT_EXPORTABLE: CKR.KEY_UNEXTRACTABLE,
  DECRYPT_FAILED: CKR.ENCRYPTED_DATA_INVALID,
  DEVICE_LOCKED: CKR.DEVICE_ERROR,
  DEVICE_TAMPERED: CKR.DEVICE_ERROR,
  DEVICE_ABSENT: CKR.DEVICE_REMOVED,
  DEVICE_RESTARTED: CKR.DEVICE_ERROR,
  DEVICE_FAILED: CKR.DEVICE_ERROR,
  DEVICE_FULL: CKR.DEVICE_MEMORY,
  TIMEOUT: CKR.DEVICE_ERROR,
  UNAVAILABLE: CKR.DEVICE_ERROR,
  RATE_LIMITED: CKR.FUNCTION_FAILED,
  STORAGE_FULL: CKR.DEVICE_MEMORY,
  STORAGE_FAILED: CKR.DEVICE_ERROR,
  STORAGE_IN_USE: CKR.DEVICE_ERROR,
  STORAGE_NEWER: CKR.DEVICE_ERROR,
  TAMPER_DETECTED: CKR.DEVICE_ERROR,
  CONFIG_INVALID: CKR.FUNCTION_FAILED,
  INTERNAL: CKR.GENERAL_ERROR,
} as const satisfies Record<ErrorCode, Rv>;

/** The return value for anything thrown. */
export function returnValue(thrown: unknown): Rv {
  return thrown instanceof Pkcs11Failure ? thrown.rv : BY_CODE[asCasemateError(thrown).code];
}
