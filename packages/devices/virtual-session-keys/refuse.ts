import { CasemateError, type ErrorCode } from "@casemate/foundation/errors";

/** The refusals of this process: a code, what and why. */
export function refuse(code: ErrorCode, message: string, hint?: string): CasemateError {
  return new CasemateError(code, message, hint === undefined ? {} : { hint });
}

/** Runs an operation of OpenSSL, whose own messages say nothing that a caller needs. */
export function attempt<T>(code: ErrorCode, message: string, run: () => T): T {
  try {
    return run();
  } catch {
    throw refuse(code, message);
  }
}
