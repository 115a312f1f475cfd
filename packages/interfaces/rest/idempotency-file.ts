/** Idempotency keys in a SQLite file of their own, so that they survive a restart. */
import { CasemateError, diskFull } from "@casemate/foundation/errors";
import { chmodSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { IdempotencyEntry, IdempotencyStore } from "./idempotency.ts";

const SCHEMA_VERSION = 2;
/** SQLite result codes (sqlite.org/rescode.html) of a full disk: SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_SHMSIZE. */
const FULL: ReadonlySet<unknown> = new Set([13, 778, 4874]);

interface Row {
  readonly fingerprint: Uint8Array;
  readonly at: number;
  readonly sealed: Uint8Array | null;
}

/** What cannot be done when the storage fails, and what is said of a full disk. */
interface Work {
  readonly failed: string;
  readonly full: (cause: unknown) => CasemateError;
}
const KEEPING: Work = {
  failed: "the idempotency key of the request could not be kept in idempotency.db",
  full: (cause) => diskFull("nothing can be made or changed", cause),
};
/** Then there is no server yet that could go on with anything. */
function opening(path: string): Work {
  const failed = `the file of idempotency keys, ${path}, could not be opened`;
  return {
    failed,
    full: (cause) =>
      new CasemateError("STORAGE_FULL", `${failed}: the disk is full`, {
        hint: "Free space on the disk of the data directory, then try again.",
        cause,
      }),
  };
}
/** The file holds nothing else, and nothing for longer. */
const ASIDE =
  "Check its owner and mode. Where it is damaged, move it away with the files beside it that begin with its name: what is lost is that a creating call of the last day, repeated under its Idempotency-Key, is known.";

/** Turns the storage's failures into ours. */
function guarded<T>(action: () => T, { failed, full }: Work = KEEPING): T {
  try {
    return action();
  } catch (cause) {
    if (FULL.has((cause as { readonly errcode?: number }).errcode)) throw full(cause);
    throw new CasemateError("STORAGE_FAILED", failed, { hint: ASIDE, cause });
  }
}

/** Opens or makes the file with mode 0600. @throws STORAGE_FAILED, STORAGE_NEWER. */
export function openIdempotencyFile(path: string): IdempotencyStore {
  const at = opening(path);
  const database = guarded(() => {
    const opened = new DatabaseSync(path);
    chmodSync(path, 0o600);
    opened.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=1000");
    return opened;
  }, at);
  const { user_version: found = 0 } = guarded(
    () => database.prepare("PRAGMA user_version").get() as { user_version?: number },
    at,
  );
  if (found > SCHEMA_VERSION) {
    database.close();
    throw new CasemateError("STORAGE_NEWER", `${path} was written by a newer version of Casemate`);
  }
  guarded(
    () =>
      database.exec(
        `BEGIN IMMEDIATE;
       ${found === 1 ? "ALTER TABLE call DROP COLUMN run;" : ""}
       CREATE TABLE IF NOT EXISTS call (id BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, at INTEGER NOT NULL, sealed BLOB) STRICT, WITHOUT ROWID;
       CREATE INDEX IF NOT EXISTS call_at ON call (at);
       PRAGMA user_version = ${SCHEMA_VERSION};
       COMMIT`,
      ),
    at,
  );
  const get = database.prepare("SELECT fingerprint, at, sealed FROM call WHERE id = ?");
  const put = database.prepare("INSERT OR REPLACE INTO call (id, fingerprint, at, sealed) VALUES (?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM call WHERE id = ?");
  const purge = database.prepare("DELETE FROM call WHERE at < ?");
  return {
    get(id) {
      const row = guarded(() => get.get(id)) as Row | undefined;
      if (row === undefined) return undefined;
      const { fingerprint, at, sealed } = row;
      return { fingerprint, at, ...(sealed === null ? {} : { sealed }) };
    },
    put(id, { fingerprint, at, sealed }: IdempotencyEntry) {
      guarded(() => put.run(id, fingerprint, at, sealed ?? null));
    },
    remove: (id) => void guarded(() => remove.run(id)),
    purge: (at) => void guarded(() => purge.run(at)),
    close: () => database.close(),
  };
}
