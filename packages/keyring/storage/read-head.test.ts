import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { databaseHead, openSqliteStore } from "@casemate/keyring/storage";

test("the head is read beside a server that writes, and afterwards without leaving a file behind; a missing or damaged database says so", async () => {
  const directory = mkdtempSync(join(tmpdir(), "casemate-head-"));
  try {
    assert.equal(databaseHead(directory), "missing");
    const store = await openSqliteStore(directory);
    const audit = { size: 3, hash: "ab".repeat(32) };
    await store.commit([], audit);
    assert.deepEqual(databaseHead(directory), { generation: 1, audit }, "what is in the write-ahead log counts");
    await store.commit([], { size: 4, hash: "cd".repeat(32) });
    const newest = { generation: 2, audit: { size: 4, hash: "cd".repeat(32) } };
    await store.close();
    const before = readdirSync(directory);
    assert.deepEqual(databaseHead(directory), newest);
    assert.deepEqual(readdirSync(directory), before);
    const file = join(directory, "casemate.db");
    const whole = readFileSync(file);
    const damaged = { empty: Buffer.alloc(0), other: Buffer.from("no database"), noise: randomBytes(whole.length) };
    for (const [what, bytes] of Object.entries(damaged)) {
      writeFileSync(file, bytes);
      assert.equal(databaseHead(directory), "damaged", what);
    }
    writeFileSync(file, whole);
    const db = new DatabaseSync(file);
    db.exec("DELETE FROM head");
    db.close();
    assert.equal(databaseHead(directory), "damaged", "without a head");
    writeFileSync(file, whole);
    assert.deepEqual(databaseHead(directory), newest);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
