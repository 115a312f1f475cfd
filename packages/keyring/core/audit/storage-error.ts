import { CasemateError, diskFull, isCasemateError } from "@casemate/foundation/errors";

const FULL = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/** A file error in the words of the contract: STORAGE_FULL or STORAGE_FAILED. */
export function storageError(error: unknown): CasemateError {
  if (isCasemateError(error)) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (FULL.has(code)) {
    return diskFull("what needs an audit record, such as changes and uses of keys, is refused", error);
  }
  return new CasemateError("STORAGE_FAILED", `the audit log cannot be written${code === "" ? "" : ` (${code})`}`, {
    hint: "Check the disk, then restart the server: it recovers the log to its last durable record.",
    cause: error,
  });
}
