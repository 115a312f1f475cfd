/** Idempotency keys in a SQLite file of their own, so that they survive a restart. */
import { CasemateError, diskFull } from "@casemate/foundation/errors";
import { chmodSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { IdempotencyEntry, IdempotencyStore } from "./idempotency.ts";

const SCHEMA_VERSION = 1;
/** SQLite result codes (sqlite.org/rescode.html) of a full disk: SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_SHMSIZE. */
const FULL: ReadonlySet<unknown> = new Set([13, 778, 4874]);

interface Row {
  readonly fingerprint: Uint8Array;
  readonly run: string;
  readonly at: number;
  readonly sealed: Uint8Array | null;
}

/** What cannot be done when the storage fails, and what is said of a full disk. */
interface Work {
  readonly failed: string;
  readonly full: (cause: unknown) => CasemateError;
}
const KEEPING: Work = {
  failed: "the idempotency key of the request could not be kept",
  full: (cause) => diskFull("nothing can be made or changed", cause),
};
/** Then there is no server yet that could go on with anything. */
const OPENING: Work = {
  failed: "the file of idempotency keys could not be opened",
  full: (cause) =>
    new CasemateError("STORAGE_FULL", `${OPENING.failed}: the disk is full`, {
      hint: "Free space on the disk of the data directory, then try again.",
      cause,
    }),
};

/** Turns the storage's failures into ours. */
function guarded<T>(action: () => T, { failed, full }: Work = KEEPING): T {
  try {
    return action();
  } catch (cause) {
    if (FULL.has((cause as { readonly errcode?: number }).errcode)) throw full(cause);
    throw new CasemateError("STORAGE_FAILED", failed, { cause });
  }
}

/** Opens or makes the file with mode 0600. @throws STORAGE_FAILED, STORAGE_NEWER. */
export function openIdempotencyFile(path: string): IdempotencyStore {
  const database = guarded(() => {
    const opened = new DatabaseSync(path);
    chmodSync(path, 0o600);
    opened.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=1000");
    return opened;
  }, OPENING);
  const { user_version: found = 0 } = guarded(
    () => database.prepare("PRAGMA user_version").get() as { user_version?: number },
    OPENING,
  );
  if (found > SCHEMA_VERSION) {
    database.close();
    throw new CasemateError("STORAGE_NEWER", `${path} was written by a newer version of Casemate`);
  }
  guarded(
    () =>
      database.exec(
        `CREATE TABLE IF NOT EXISTS call (id BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, run TEXT NOT NULL, at INTEGER NOT NULL, sealed BLOB) STRICT, WITHOUT ROWID;
       CREATE INDEX IF NOT EXISTS call_at ON call (at);
       PRAGMA user_version = ${SCHEMA_VERSION}`,
      ),
    OPENING,
  );
  const get = database.prepare("SELECT fingerprint, run, at, sealed FROM call WHERE id = ?");
  const put = database.prepare("INSERT OR REPLACE INTO call (id, fingerprint, run, at, sealed) VALUES (?, ?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM call WHERE id = ?");
  const purge = database.prepare("DELETE FROM call WHERE at < ?");
  return {
    get(id) {
      const row = guarded(() => get.get(id)) as Row | undefined;
      if (row === undefined) return undefined;
      const { fingerprint, run, at, sealed } = row;
      return { fingerprint, run, at, ...(sealed === null ? {} : { sealed }) };
    },
    put(id, { fingerprint, run, at, sealed }: IdempotencyEntry) {
      guarded(() => put.run(id, fingerprint, run, at, sealed ?? null));
    },
    remove: (id) => void guarded(() => remove.run(id)),
    purge: (at) => void guarded(() => purge.run(at)),
    close: () => database.close(),
  };
}
