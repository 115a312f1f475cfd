// RFC 9457: Problem Details for HTTP APIs, and the exhaustive mapping of error codes to HTTP statuses.
import { ERROR_CODES, type CasemateError, type ErrorCode } from "@casemate/foundation/errors";

/** A new error code fails to compile until it has a status here. */
export const STATUS_OF = {
  BAD_REQUEST: 400,
  DECODE_TRUNCATED: 400,
  DECODE_TRAILING: 400,
  DECODE_INVALID: 400,
  TOO_LARGE: 413,
  UNAUTHENTICATED: 401,
  TOKEN_EXPIRED: 401,
  PIN_WRONG: 403,
  PIN_LOCKED: 403,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  CONFLICT: 409,
  IDEMPOTENCY_MISMATCH: 422,
  NOT_SUPPORTED: 422,
  KEY_STATE: 409,
  KEY_USAGE: 422,
  KEY_LIMIT: 409,
  NOT_EXPORTABLE: 403,
  DECRYPT_FAILED: 422,
  DEVICE_LOCKED: 423,
  DEVICE_TAMPERED: 503,
  DEVICE_ABSENT: 503,
  DEVICE_RESTARTED: 503,
  DEVICE_FAILED: 502,
  DEVICE_FULL: 507,
  TIMEOUT: 504,
  UNAVAILABLE: 503,
  RATE_LIMITED: 429,
  STORAGE_FULL: 507,
  STORAGE_FAILED: 500,
  STORAGE_IN_USE: 503,
  STORAGE_NEWER: 500,
  TAMPER_DETECTED: 500,
  CONFIG_INVALID: 422,
  INTERNAL: 500,
} as const satisfies Record<ErrorCode, number>;

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly hint?: string;
  readonly retryable: boolean;
  readonly requestId?: string;
  readonly details?: Readonly<Record<string, string | number | boolean>>;
}

/** `status` differs from the table's only for what HTTP alone knows: 405, 406, 415, 408, 431. */
export function problemOf(error: CasemateError, requestId?: string, status: number = STATUS_OF[error.code]): Problem {
  return {
    type: `urn:casemate:problem:${error.code.toLowerCase().replaceAll("_", "-")}`,
    title: ERROR_CODES[error.code].meaning,
    status,
    detail: error.message,
    code: error.code,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    retryable: error.retryable,
    ...(requestId === undefined ? {} : { requestId }),
    ...(Object.keys(error.details).length === 0 ? {} : { details: error.details }),
  };
}

/** How one failed item of a batch looks. */
export interface ItemProblem {
  readonly code: ErrorCode;
  readonly status: number;
  readonly detail: string;
  readonly hint?: string;
  readonly retryable: boolean;
}

export function itemProblemOf(error: CasemateError): ItemProblem {
  return {
    code: error.code,
    status: STATUS_OF[error.code],
    detail: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    retryable: error.retryable,
  };
}
