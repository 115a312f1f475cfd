import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
    writeFileSync(join(directory, "casemate.db"), "no database");
    assert.equal(databaseHead(directory), undefined);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
