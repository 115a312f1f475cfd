import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { CasemateError } from "@casemate/foundation/errors";
import { constantTimeEqual } from "@casemate/foundation/secrets";
import {
  COLLECTIONS,
  type AuditHead,
  type Change,
  type Collection,
  type Row,
  type Store,
  type StoreHead,
  type StoreQuery,
  type StoreState,
} from "@casemate/keyring/core";
import { lockDirectory, type DirectoryLock } from "./directory-lock.ts";
import { checkLayout } from "./layout.ts";
import { migrate } from "./migrations.ts";
import { checkRows } from "./check-rows.ts";
import { addMac, headMac, removeMac, rowMac } from "./row-mac.ts";
import { DATABASE_FILE } from "./read-head.ts";
import { readHead, tampered, verifiedRow, type Head } from "./verified.ts";
import { storageError } from "./sqlite-errors.ts";
import { Statements, type StoredRow } from "./statements.ts";

/** Rows in memory at once while all of them are sealed. */
const SEAL_SLICE = 1000;

export interface SqliteOptions {
  /** Largest size of the database in pages of 4 KiB; for tests of a full disk. */
  readonly maxPages?: number;
}

/**
 * The store of one data directory (made if absent), owned by this process alone.
 * @throws STORAGE_IN_USE, STORAGE_NEWER, STORAGE_FULL, STORAGE_FAILED, TAMPER_DETECTED where its layout was changed.
 */
export async function openSqliteStore(directory: string, options: SqliteOptions = {}): Promise<Store> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const lock = lockDirectory(directory);
  const file = join(directory, DATABASE_FILE);
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(file, { timeout: 0 });
    // The files beside it inherit the mode.
    chmodSync(file, 0o600);
    db.exec(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF",
    );
    if (options.maxPages !== undefined) db.exec(`PRAGMA max_page_count = ${options.maxPages}`);
    migrate(db, file);
    checkLayout(db, file);
    syncDirectory(directory);
    return new SqliteStore(db, file, lock);
  } catch (error) {
    db?.close();
    lock.release();
    throw storageError(error, file);
  }
}

class SqliteStore implements Store {
  readonly #db: DatabaseSync;
  readonly #file: string;
  readonly #lock: DirectoryLock;
  readonly #statements: Statements;
  #head: Head;
  #key: Uint8Array | undefined;
  #closed = false;

  constructor(db: DatabaseSync, file: string, lock: DirectoryLock) {
    this.#db = db;
    this.#file = file;
    this.#lock = lock;
    this.#statements = new Statements(db);
    this.#head = this.#readHead();
  }

  get state(): StoreState {
    if (this.#key !== undefined) return "open";
    return this.#head.keyed ? "sealed" : "new";
  }

  async useKey(key: Uint8Array): Promise<void> {
    this.#run(() => {
      const head = this.#readHead();
      if (head.keyed) {
        if (head.mac === null || !constantTimeEqual(headMac(key, head, head.digest), head.mac))
          throw tampered(`${this.#file}: the head row does not belong to this device or was changed`);
        this.#key = key;
        return;
      }
      this.#key = key;
      try {
        this.#transaction(() => this.#sealAll(head, key));
      } catch (error) {
        this.#key = undefined;
        throw error;
      }
    });
  }

  async dropKey(changes: readonly Change[], audit: AuditHead): Promise<void> {
    this.#run(() => {
      const before = { key: this.#key, head: this.#head };
      this.#key = undefined;
      this.#head = { ...this.#head, digest: 0n };
      try {
        this.#transaction(() => {
          for (const collection of Object.keys(COLLECTIONS)) this.#db.exec(`UPDATE ${collection} SET mac = NULL`);
          this.#apply(changes, audit);
        });
      } catch (error) {
        this.#key = before.key;
        this.#head = before.head;
        throw error;
      }
      this.#head = this.#readHead();
    });
  }

  async head(): Promise<StoreHead> {
    const { generation, audit, rows } = this.#head;
    return { generation, audit, rows };
  }

  async get(collection: Collection, column: string, value: string): Promise<Row | undefined> {
    return this.#run(() => {
      const found = this.#statements.get(collection, column, value);
      return found === undefined ? undefined : this.#verified(collection, found);
    });
  }

  async find(collection: Collection, query: StoreQuery): Promise<readonly Row[]> {
    return this.#run(() => this.#statements.find(collection, query).map((found) => this.#verified(collection, found)));
  }

  async count(collection: Collection, equals: Readonly<Record<string, string | number>> = {}): Promise<number> {
    return this.#run(() => this.#statements.count(collection, equals));
  }

  async countBy(collection: Collection, column: string): Promise<ReadonlyMap<string, number>> {
    return this.#run(() => this.#statements.countBy(collection, column));
  }

  async commit(changes: readonly Change[], audit: AuditHead): Promise<number> {
    if (this.state === "sealed")
      throw new CasemateError("DEVICE_LOCKED", "the storage key is inside a locked device", {
        hint: "Unlock the device first.",
      });
    return this.#run(() => {
      this.#transaction(() => this.#apply(changes, audit));
      this.#head = this.#readHead();
      return this.#head.generation;
    });
  }

  async check(): Promise<void> {
    const key = this.#key;
    if (key === undefined) throw new CasemateError("DEVICE_LOCKED", "rows can be checked only with the storage key");
    await checkRows(this.#file, key, () => this.#closed);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#db.close();
    this.#lock.release();
  }

  #run<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw storageError(error, this.#file);
    }
  }

  #transaction(work: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#db.exec("COMMIT");
    } catch (error) {
      // A full disk may have rolled back already.
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #apply(changes: readonly Change[], audit: AuditHead): void {
    let { rows, digest } = this.#head;
    for (const change of changes) {
      const before = this.#previous(change);
      if (before !== undefined && before.mac !== null) digest = removeMac(digest, before.mac);
      if (change.kind === "delete") {
        this.#statements.delete(change.collection, change.id);
        rows -= 1;
        continue;
      }
      const mac = this.#key === undefined ? null : rowMac(this.#key, change.collection, change.row);
      if (mac !== null) digest = addMac(digest, mac);
      if (before === undefined) {
        rows += 1;
        this.#statements.insert(change.collection, change.row, mac);
      } else this.#statements.update(change.collection, change.row, mac);
    }
    this.#writeHead({ generation: this.#head.generation + 1, audit, rows }, digest);
  }

  /** The row a change replaces, at the revision it expects. */
  #previous(change: Change): StoredRow | undefined {
    const [id, expected] =
      change.kind === "delete" ? [change.id, change.revision] : [change.row.id, change.row.revision - 1];
    const before = this.#statements.get(change.collection, "id", id);
    if ((before?.row.revision ?? 0) !== expected)
      throw new CasemateError("CONFLICT", `${change.collection} ${id} was changed meanwhile`, { hint: "Try again." });
    return before;
  }

  #sealAll(head: StoreHead, key: Uint8Array): void {
    let digest = 0n;
    for (const collection of Object.keys(COLLECTIONS) as Collection[]) {
      let after = "";
      for (;;) {
        const slice = this.#statements.find(collection, { order: "id", after, limit: SEAL_SLICE });
        for (const { row } of slice) {
          const mac = rowMac(key, collection, row);
          digest = addMac(digest, mac);
          this.#statements.update(collection, row, mac);
          after = row.id;
        }
        if (slice.length < SEAL_SLICE) break;
      }
    }
    this.#writeHead({ ...head, generation: head.generation + 1 }, digest);
    this.#head = this.#readHead();
  }

  #verified(collection: Collection, found: StoredRow): Row {
    return this.#key === undefined ? found.row : verifiedRow(this.#key, collection, found);
  }

  #readHead(): Head {
    return readHead(this.#statements, this.#file);
  }

  #writeHead(head: StoreHead, digest: bigint): void {
    const mac = this.#key === undefined ? null : headMac(this.#key, head, digest);
    this.#statements
      .prepare(
        "UPDATE head SET keyed = ?, generation = ?, audit_size = ?, audit_hash = ?, rows = ?, digest = ?, mac = ?",
      )
      .run(mac === null ? 0 : 1, head.generation, head.audit.size, head.audit.hash, head.rows, String(digest), mac);
  }
}

/** A new file survives power loss only once its directory entry is on disk. */
function syncDirectory(directory: string): void {
  const handle = openSync(directory, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
