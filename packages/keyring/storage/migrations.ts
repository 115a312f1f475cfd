import type { DatabaseSync } from "node:sqlite";
import { CasemateError } from "@casemate/foundation/errors";

/** Numbered by position, forward only; never edit one that was released. */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE head (
     one INTEGER PRIMARY KEY CHECK (one = 1),
     keyed INTEGER NOT NULL, generation INTEGER NOT NULL,
     audit_size INTEGER NOT NULL, audit_hash TEXT NOT NULL,
     rows INTEGER NOT NULL, digest TEXT NOT NULL, mac BLOB) STRICT;
   INSERT INTO head VALUES (1, 0, 0, 0, '${"0".repeat(64)}', 0, '0', NULL);
   CREATE TABLE key (
     id TEXT PRIMARY KEY, revision INTEGER NOT NULL, body TEXT NOT NULL, mac BLOB,
     name TEXT NOT NULL UNIQUE, device TEXT NOT NULL, state TEXT NOT NULL, algorithm TEXT NOT NULL,
     due INTEGER, ref TEXT) STRICT;
   CREATE INDEX key_device ON key (device, name);
   CREATE INDEX key_state ON key (state, name);
   CREATE INDEX key_algorithm ON key (algorithm, name);
   CREATE INDEX key_due ON key (due) WHERE due IS NOT NULL;
   CREATE INDEX key_ref ON key (ref) WHERE ref IS NOT NULL;
   CREATE TABLE use (id TEXT PRIMARY KEY, revision INTEGER NOT NULL, body TEXT NOT NULL, mac BLOB) STRICT;
   CREATE TABLE token (
     id TEXT PRIMARY KEY, revision INTEGER NOT NULL, body TEXT NOT NULL, mac BLOB, principal TEXT NOT NULL) STRICT;
   CREATE INDEX token_principal ON token (principal, id);
   CREATE TABLE policy (id TEXT PRIMARY KEY, revision INTEGER NOT NULL, body TEXT NOT NULL, mac BLOB) STRICT;
   CREATE TABLE object (
     id TEXT PRIMARY KEY, revision INTEGER NOT NULL, body TEXT NOT NULL, mac BLOB,
     token_label TEXT NOT NULL, class INTEGER NOT NULL, label TEXT NOT NULL, cka_id TEXT NOT NULL) STRICT;
   CREATE INDEX object_label ON object (token_label, label, id);
   CREATE INDEX object_cka_id ON object (token_label, cka_id, id);
   CREATE INDEX object_class ON object (token_label, class, id);
   CREATE TABLE internal (id TEXT PRIMARY KEY, revision INTEGER NOT NULL, body TEXT NOT NULL, mac BLOB) STRICT;`,
];

/** Brings the database to the newest layout. @throws STORAGE_NEWER. */
export function migrate(db: DatabaseSync, file: string, migrations: readonly string[] = MIGRATIONS): void {
  const found = Number(db.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
  if (found > migrations.length)
    throw new CasemateError(
      "STORAGE_NEWER",
      `${file} has layout ${found}; this program knows layouts up to ${migrations.length}`,
      { hint: "Start the newer version of Casemate that wrote it." },
    );
  for (let next = found; next < migrations.length; next++) {
    try {
      db.exec(`BEGIN IMMEDIATE; ${migrations[next]}; PRAGMA user_version = ${next + 1}; COMMIT`);
    } catch (error) {
      if (db.isTransaction) db.exec("ROLLBACK");
      throw error;
    }
  }
}
