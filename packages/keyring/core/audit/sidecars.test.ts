/** Files that are made from the records: what is said when they are gone, and what is made of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { builtLog, entry, MemoryFiles, openMemory, testSigner } from "./test-support.ts";
import { verifyAuditFiles } from "./verify-directory.ts";

test("lost or damaged derived files are made again from the records, which is said and recorded", async () => {
  const files = await builtLog(25);
  const { rootHash, gone, records } = await verifyAuditFiles(files);
  assert.deepEqual(gone, []);
  const damage: readonly (readonly [remade: string, gone: string, (copy: MemoryFiles) => void])[] = [
    ["saved", "saved", (copy) => copy.content.delete("saved")],
    ["tree", "tree", (copy) => copy.content.delete("tree")],
    ["tree", "tree", (copy) => ["tree", "saved"].forEach((name) => copy.content.delete(name))],
    ["saved", "", (copy) => copy.content.get("saved")!.write("X", 10)],
    ["tree", "", (copy) => copy.content.set("tree", copy.content.get("tree")!.subarray(0, 40))],
    ["tree", "", (copy) => copy.content.get("tree")!.fill(0)],
    ["tree", "", (copy) => copy.content.set("tree", Buffer.alloc(0))],
  ];
  for (const [remade, missing, change] of damage) {
    const copy = files.copy();
    change(copy);
    assert.equal((await verifyAuditFiles(copy)).gone.join(), missing);
    const log = await openMemory(copy);
    assert.equal(log.recovery.verifiedFrom, 0);
    assert.deepEqual(log.recovery.remade, [remade]);
    assert.equal((await log.inclusion(3, records)).rootHash, rootHash);
    const [newest] = (await log.records({ limit: 1 })).items;
    assert.deepEqual([newest?.action, newest?.details], ["audit.recovered", { cutBytes: 0, remade }]);
    await log.close();
    const result = await verifyAuditFiles(copy);
    assert.deepEqual([result.problem, result.gone, result.records], [undefined, [], records + 1]);
    const again = await openMemory(copy);
    assert.deepEqual(again.recovery.remade, []);
    await again.close();
  }
});

test("a log that was killed before its first save, and an empty one, lack nothing", async () => {
  for (const records of [0, 9]) {
    const files = new MemoryFiles();
    const first = await openMemory(files, { recordsPerSave: 1000 });
    for (let i = 0; i < records; i++) await first.append(entry());
    const killed = files.copy();
    await first.close();
    assert.deepEqual((await verifyAuditFiles(killed)).gone, []);
    const log = await openMemory(killed);
    assert.deepEqual(log.recovery.remade, []);
    await log.close();
  }
});

test("the file of keys is made again with every key that records pin, the newest last", async () => {
  const files = new MemoryFiles();
  const [a, b, c] = [testSigner("hsm-1"), testSigner("hsm-2"), testSigner("hsm-3")];
  for (const signer of [a, b, a, c]) {
    const log = await openMemory(files);
    log.useSigner(signer);
    await log.checkpoint();
    await log.close();
  }
  const whole = files.content.get("checkpoint-key")!.toString();
  assert.equal(whole.trim().split("\n").length, 3);
  for (const change of [
    (copy: MemoryFiles) => copy.content.delete("checkpoint-key"),
    (copy: MemoryFiles) => copy.content.set("checkpoint-key", Buffer.from(whole.split("\n").slice(1).join("\n"))),
  ]) {
    const copy = files.copy();
    change(copy);
    const missing = !copy.content.has("checkpoint-key");
    assert.deepEqual((await verifyAuditFiles(copy)).gone, missing ? ["checkpoint-key"] : []);
    const log = await openMemory(copy);
    assert.deepEqual(log.recovery.remade, missing ? ["checkpoint-key"] : []);
    await log.check();
    assert.equal(copy.content.get("checkpoint-key")!.toString(), whole);
    await log.close();
    assert.equal((await verifyAuditFiles(copy)).problem, undefined);
  }
});
