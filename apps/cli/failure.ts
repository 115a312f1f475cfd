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
export function usage(message: string, hint = "Add --help for the options."): CasemateError {
  return new CasemateError("BAD_REQUEST", message, { hint, details: { usage: true } });
}

export function exitCode(error: CasemateError): number {
  if (error.details["reachable"] === false) return EXIT.unreachable;
  if (error.details["usage"] === true) return EXIT.usage;
  return EXIT.refused;
}

/** The part of a request that does not fit. Whoever types a command sees none, and no document of the routes. */
const PART = /^(?:body|query|path): /;
const OPTIONS_HINT = "Add --help to the command for its options and what they take.";

/** Recognised by its name and shape: verbs that need no server do not load the SDK. */
function isApiError(value: unknown): value is CasemateApiError {
  return value instanceof Error && value.name === "CasemateApiError" && "code" in value && "details" in value;
}

function isSystemError(value: unknown): value is NodeJS.ErrnoException {
  return value instanceof Error && "code" in value && typeof value.code === "string" && "syscall" in value;
}

/** What the system says of a file, as what and why, and what to do about it. */
const FILE_FAILURES: ReadonlyMap<string, readonly [why: string, hint: string]> = new Map([
  ["ENOENT", ["there is no such file or directory", "Check the name, and that the directory exists."]],
  ["EISDIR", ["it is a directory", "Name a file in it."]],
  ["ENOTDIR", ["a part of its path is no directory", "Check the name."]],
  ["EACCES", ["this account may not", "Check the mode of the file and of its directory."]],
  ["EPERM", ["this account may not", "Check the mode of the file and of its directory."]],
  ["EROFS", ["its file system is read-only", "Name a file somewhere else."]],
  ["ENOSPC", ["no space is left on its file system", "Make room, or name a file somewhere else."]],
  ["EDQUOT", ["the quota of this account is used up", "Make room, or name a file somewhere else."]],
  ["ENAMETOOLONG", ["its name is too long", "Use a shorter one."]],
]);

function systemFailure(error: NodeJS.ErrnoException): CasemateError {
  const known = FILE_FAILURES.get(error.code ?? "");
  const ofFile = error.path !== undefined || error.syscall === "read" || error.syscall === "write";
  if (known === undefined || !ofFile) return new CasemateError("BAD_REQUEST", error.message, { cause: error });
  const [why, hint] = known;
  // The path is absent where a read or write through an open descriptor failed.
  const what = error.path === undefined ? "a file cannot be used" : `${error.path} cannot be used`;
  return new CasemateError("BAD_REQUEST", `${what}: ${why} (${error.code})`, { hint, cause: error });
}

/** Anything thrown as the error to show: what a server answered, what the connection said, or a system error, in plain words where it is of a file. */
export function shown(value: unknown): CasemateError {
  if (isCasemateError(value)) return value;
  if (isApiError(value)) {
    if (isCasemateError(value.cause)) return value.cause;
    const { code, message, hint, details } = value;
    const known: ErrorCode = lookup(ERROR_CODES, code) === undefined ? "INTERNAL" : code;
    if (known === "BAD_REQUEST" && PART.test(message)) {
      return new CasemateError(known, message.replace(PART, ""), { hint: OPTIONS_HINT, details });
    }
    return new CasemateError(known, message, { ...(hint === undefined ? {} : { hint }), details });
  }
  if (isSystemError(value)) return systemFailure(value);
  return asCasemateError(value);
}
