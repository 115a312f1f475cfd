import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { migrate } from "./migrations.ts";
import { Statements } from "./statements.ts";

/** How SQLite would run `sql`, one line per step. */
function plan(db: DatabaseSync, sql: string): string[] {
  const values = Array.from(sql.matchAll(/\?/g), () => null);
  return db
    .prepare(`EXPLAIN QUERY PLAN ${sql}`)
    .all(...values)
    .map((step) => String(step["detail"]));
}

/** Steps that look at every row or sort them: their time grows with the catalogue. */
const slow = (steps: readonly string[]): string[] =>
  steps.filter((step) => /^SCAN (?!.*USING (COVERING )?INDEX)|TEMP B-TREE/.test(step));

test("whatever the catalogue asks is answered by an index, so its time does not grow with the number of keys", () => {
  const db = new DatabaseSync(":memory:");
  migrate(db, "test");
  const asked: string[] = [];
  const statements = new Statements({
    prepare: (sql: string) => {
      asked.push(sql);
      return db.prepare(sql);
    },
  } as DatabaseSync);
  statements.get("key", "name", "release");
  statements.get("key", "id", "k1");
  statements.get("key", "ref", "00");
  statements.find("key", { order: "name", limit: 100 });
  statements.find("key", { order: "name", after: "m", limit: 100 });
  statements.find("key", { order: "name", prefix: { column: "name", text: "team-" }, limit: 100 });
  statements.find("key", { order: "id", atMost: { column: "due", value: 1 }, limit: 100 });
  const equals = { device: "hsm-1", algorithm: "aes-256", state: "active" };
  statements.find("key", { order: "name", equals, after: "m", limit: 100 });
  statements.countBy("key", "device");
  assert.ok(asked.length >= 6);
  for (const sql of asked) assert.deepEqual(slow(plan(db, sql)), [], `${sql}\n${plan(db, sql).join("\n")}`);
  asked.length = 0;
  const rare = { column: "due", value: 1, rare: true };
  statements.find("key", {
    order: "name",
    equals,
    after: "m",
    prefix: { column: "name", text: "t" },
    atMost: rare,
    limit: 9,
  });
  const [first, ...others] = plan(db, asked[0] ?? "");
  assert.match(first ?? "", /^SEARCH key USING INDEX key_due \(due<\?\)$/, "only the few that are due are read");
  assert.deepEqual(others, ["USE TEMP B-TREE FOR ORDER BY"], "and only they are sorted");
  db.close();
});

test("the check above notices a query that reads every row", () => {
  const db = new DatabaseSync(":memory:");
  migrate(db, "test");
  assert.notDeepEqual(slow(plan(db, "SELECT * FROM key ORDER BY body LIMIT ?")), []);
  assert.notDeepEqual(slow(plan(db, "SELECT * FROM key WHERE body = ?")), []);
  db.close();
});
