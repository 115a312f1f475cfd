import { lookup } from "@casemate/foundation/codec";
import {
  CasemateError,
  ERROR_CODES,
  asCasemateError,
  isCasemateError,
  type ErrorCode,
} from "@casemate/foundation/errors";
import type { CasemateApiError } from "@casemate/sdk";

/** What the shell sees. */
export const EXIT = { done: 0, refused: 1, usage: 2, unreachable: 3 } as const;

/** Nobody answers at the address. The one failure with an exit code of its own. */
export function notReachable(where: string, cause: unknown): CasemateError {
  return new CasemateError("UNAVAILABLE", `no server answers at ${where}`, {
    hint: "Start one with `casemate up`, or name another with --data DIR or --url URL.",
    details: { reachable: false },
    cause,
  });
}

/** Wrong words on the command line. */
export function usage(message: string, hint?: string): CasemateError {
  return new CasemateError("BAD_REQUEST", message, {
    ...(hint === undefined ? {} : { hint }),
    details: { usage: true },
  });
}

export function exitCode(error: CasemateError): number {
  if (error.details["reachable"] === false) return EXIT.unreachable;
  if (error.details["usage"] === true) return EXIT.usage;
  return EXIT.refused;
}

/** Recognised by its name and shape: verbs that need no server do not load the SDK. */
function isApiError(value: unknown): value is CasemateApiError {
  return value instanceof Error && value.name === "CasemateApiError" && "code" in value && "details" in value;
}

/** Anything thrown as the error to show: what a server answered, what the connection said, or a system error in its own words. */
export function shown(value: unknown): CasemateError {
  if (isCasemateError(value)) return value;
  if (isApiError(value)) {
    if (isCasemateError(value.cause)) return value.cause;
    const { code, message, hint, details } = value;
    const known: ErrorCode = lookup(ERROR_CODES, code) === undefined ? "INTERNAL" : code;
    return new CasemateError(known, message, { ...(hint === undefined ? {} : { hint }), details });
  }
  if (value instanceof Error && "code" in value && typeof value.code === "string" && "syscall" in value) {
    return new CasemateError("BAD_REQUEST", value.message, { cause: value });
  }
  return asCasemateError(value);
}
