import { CasemateError, type ErrorCode } from "@casemate/foundation/errors";

/** The device's refusals: a code, what and why, what to do. */
export function refuse(code: ErrorCode, message: string, hint?: string): CasemateError {
  return new CasemateError(code, message, hint === undefined ? {} : { hint });
}
