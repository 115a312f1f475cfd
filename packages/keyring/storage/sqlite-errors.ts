// Result codes: https://www.sqlite.org/rescode.html
import { CasemateError, isCasemateError, type ErrorCode } from "@casemate/foundation/errors";
import { tampered } from "./verified.ts";

interface Meaning {
  readonly code: ErrorCode;
  readonly what: string;
  readonly hint: string;
}

const FULL = 13;

const BY_RESULT_CODE: ReadonlyMap<number, Meaning> = new Map([
  [5, { code: "STORAGE_IN_USE", what: "is locked by another process", hint: "Stop the other process." }],
  [8, { code: "STORAGE_FAILED", what: "is read-only", hint: "Check the permissions of the data directory." }],
  [10, { code: "STORAGE_FAILED", what: "cannot be read or written", hint: "Check the disk and the system log." }],
  [11, { code: "STORAGE_FAILED", what: "is damaged", hint: "Restore the data directory from a backup." }],
  [FULL, { code: "STORAGE_FULL", what: "cannot grow", hint: "Free space on the disk, then try again." }],
  [
    14,
    { code: "STORAGE_FAILED", what: "cannot be opened", hint: "Check the path and permissions of the data directory." },
  ],
  [26, { code: "STORAGE_FAILED", what: "is not a database", hint: "Restore the data directory from a backup." }],
]);

/** I/O errors that stand for a full disk: IOERR_WRITE (a file size limit, a quota) and IOERR_SHMSIZE (no room for the index of the write-ahead log). */
const FULL_IN_OTHER_WORDS: ReadonlySet<number> = new Set([778, 4874]);

/** SQLITE_ERROR, as of a table that is not there, SQLITE_CORRUPT, SQLITE_NOTADB: primary codes. */
const DAMAGE: ReadonlySet<number> = new Set([1, 11, 26]);

/** Whether the database is not what it should be, rather than out of reach. */
export function isDamage(error: unknown): boolean {
  return DAMAGE.has(resultOf(error) & 0xff);
}

/** What SQLite says of a layout that was changed under it. */
const OTHER_LAYOUT = /^no such (table|column|index)|already exists$/;

function resultOf(error: unknown): number {
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode : -1;
}

/** Turns what node:sqlite throws into a CasemateError that names the file; others pass. */
export function storageError(error: unknown, file: string): CasemateError {
  if (isCasemateError(error)) return error;
  const result = resultOf(error);
  const text = error instanceof Error ? error.message : String(error);
  if (result === 2067 || result === 1555)
    return new CasemateError("ALREADY_EXISTS", "the name is taken", { cause: error });
  if (result === 1 && OTHER_LAYOUT.test(text))
    return tampered(`${file} is not laid out as Casemate left it (${text})`, error);
  const meaning = BY_RESULT_CODE.get(FULL_IN_OTHER_WORDS.has(result) ? FULL : result & 0xff);
  if (meaning === undefined) return new CasemateError("STORAGE_FAILED", `${file}: ${text}`, { cause: error });
  // Whoever meets a full disk needs no SQLite for it.
  const what =
    meaning.code === "STORAGE_FULL" ? `the disk is full: ${file} ${meaning.what}` : `${file} ${meaning.what} (${text})`;
  return new CasemateError(meaning.code, what, { hint: meaning.hint, cause: error });
}
