import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pid } from "node:process";
import { DatabaseSync } from "node:sqlite";
import { CasemateError } from "@casemate/foundation/errors";

const LOCK_FILE = "casemate.lock";
const OWNER_FILE = "casemate.pid";

export interface DirectoryLock {
  release(): void;
}

/**
 * Owns a data directory until release or until the process ends, however it ends: the kernel drops the lock that
 * SQLite holds on the lock file. @throws STORAGE_IN_USE naming the owner's process id.
 */
export function lockDirectory(directory: string): DirectoryLock {
  const lock = new DatabaseSync(join(directory, LOCK_FILE), { timeout: 0 });
  try {
    lock.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (cause) {
    lock.close();
    const owner = ownerOf(directory);
    throw new CasemateError(
      "STORAGE_IN_USE",
      `${directory} is in use${owner === undefined ? "" : ` by process ${owner}`}`,
      {
        hint: "Stop that process, or choose another data directory with --data.",
        cause,
        ...(owner === undefined ? {} : { details: { pid: owner } }),
      },
    );
  }
  nameOwner(directory);
  return { release: () => lock.close() };
}

/** For the message of who comes second, no more: a disk without room for it keeps nobody from reading. */
function nameOwner(directory: string): void {
  try {
    writeFileSync(join(directory, OWNER_FILE), `${pid}\n`, { mode: 0o600 });
  } catch {
    // The lock itself stands.
  }
}

function ownerOf(directory: string): number | undefined {
  try {
    const owner = Number(readFileSync(join(directory, OWNER_FILE), "utf8"));
    return Number.isSafeInteger(owner) && owner > 0 ? owner : undefined;
  } catch {
    return undefined;
  }
}
