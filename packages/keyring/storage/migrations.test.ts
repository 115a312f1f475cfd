import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { COLLECTIONS } from "@casemate/keyring/core";
import { MIGRATIONS, migrate } from "./migrations.ts";

function columns(db: DatabaseSync, table: string): string[] {
  return db
    .prepare(`SELECT name FROM pragma_table_info('${table}')`)
    .all()
    .map((row) => String(row["name"]));
}

test("the newest layout has a table with the declared columns for every collection", () => {
  const db = new DatabaseSync(":memory:");
  migrate(db, "test");
  for (const [collection, declared] of Object.entries(COLLECTIONS))
    assert.deepEqual(columns(db, collection), ["id", "revision", "body", "mac", ...Object.keys(declared)]);
  db.close();
});

test("an older database is brought forward step by step and keeps its rows", () => {
  const db = new DatabaseSync(":memory:");
  migrate(db, "test", MIGRATIONS.slice(0, 1));
  db.exec("INSERT INTO policy VALUES ('kept', 1, '{}', NULL)");
  migrate(db, "test", [...MIGRATIONS, "ALTER TABLE policy ADD COLUMN later TEXT"]);
  assert.equal(db.prepare("SELECT id FROM policy").get()?.["id"], "kept");
  assert.ok(columns(db, "policy").includes("later"));
  assert.equal(db.prepare("PRAGMA user_version").get()?.["user_version"], MIGRATIONS.length + 1);
  db.close();
});

test("a step that fails changes nothing", () => {
  const db = new DatabaseSync(":memory:");
  migrate(db, "test");
  const broken = [...MIGRATIONS, "CREATE TABLE half (id TEXT); INSERT INTO nowhere VALUES (1)"];
  assert.throws(() => migrate(db, "test", broken), /nowhere/);
  assert.deepEqual(columns(db, "half"), []);
  assert.equal(db.prepare("PRAGMA user_version").get()?.["user_version"], MIGRATIONS.length);
  db.close();
});
