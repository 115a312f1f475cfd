import { CasemateError, isCasemateError, shortageOf, type ErrorCode } from "@casemate/foundation/errors";

/** What the system says when a file of the data directory cannot be written at start, by errno. */
const FAILURES: ReadonlyMap<string, readonly [code: ErrorCode, why: string, hint: string]> = new Map([
  ["ENOSPC", ["STORAGE_FULL", "the disk is full", "Free space on the disk, then start again; nothing needs repair."]],
  [
    "EDQUOT",
    ["STORAGE_FULL", "the quota is used up", "Make room within the quota, then start again; nothing needs repair."],
  ],
  [
    "EROFS",
    ["STORAGE_FAILED", "its file system is read-only", "Mount it writable, or choose another one with --data DIR."],
  ],
  [
    "EACCES",
    ["STORAGE_FAILED", "this account may not write there", "Check owner and mode of the directory and its files."],
  ],
  ["EIO", ["STORAGE_FAILED", "the disk failed", "Check the disk and the system log."]],
]);

/**
 * What a start threw: a bare error of the system becomes a coded one that names the data directory or says what the system is short of;
 * everything else passes.
 */
export function startFailure(error: unknown, directory: string): unknown {
  if (isCasemateError(error) || !(error instanceof Error) || !("code" in error)) return error;
  const known = FAILURES.get(String(error.code));
  if (known === undefined) return shortageOf(error, "the server cannot start") ?? error;
  const [code, why, hint] = known;
  const path = "path" in error && typeof error.path === "string" ? error.path : directory;
  return new CasemateError(code, `${path} cannot be written: ${why} (${String(error.code)})`, { hint, cause: error });
}
