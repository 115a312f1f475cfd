/** Files beside the records that were damaged or changed: start and verifier agree on what it is, and it stays on record. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { builtLog, entry, MemoryFiles, openMemory, testSigner } from "./test-support.ts";
import { verifyAuditFiles } from "./verify-directory.ts";

type Change = (copy: MemoryFiles) => void;

const on =
  (name: string, change: (bytes: Buffer) => Buffer): Change =>
  (copy) =>
    copy.content.set(name, change(copy.content.get(name)!));
const flipped =
  (at: number) =>
  (bytes: Buffer): Buffer => {
    bytes[at]! ^= 1;
    return bytes;
  };
const halved = (bytes: Buffer): Buffer => bytes.subarray(0, bytes.length / 2);
const zeroed = (bytes: Buffer): Buffer => Buffer.alloc(bytes.length);

/** Details of the newest record. */
async function newest(copy: MemoryFiles): Promise<unknown> {
  const log = await openMemory(copy);
  const [record] = (await log.records({ limit: 1 })).items;
  await log.close();
  return [record?.action, record?.details];
}

test("a slot of the head that no crash explains is written again, said and recorded; the verifier names it, with the records whole", async () => {
  const files = await builtLog(12);
  for (const change of [
    on("head", flipped(10)),
    on("head", flipped(138)),
    on("head", halved),
    on("head", (bytes) => bytes.subarray(0, 200)),
    on("head", (bytes) => Buffer.concat([bytes, Buffer.from("more")])),
  ]) {
    const copy = files.copy();
    change(copy);
    const { problem, records } = await verifyAuditFiles(copy);
    assert.deepEqual([problem?.kind, problem?.remakes, records], ["head", "head", 13]);
    assert.match(problem?.hint ?? "", /^The records hold/);
    const log = await openMemory(copy);
    assert.deepEqual(log.recovery.remade, ["head"]);
    await log.close();
    assert.deepEqual(await newest(copy), ["audit.recovered", { cutBytes: 0, remade: "head" }]);
    assert.equal((await verifyAuditFiles(copy)).problem, undefined);
    assert.equal(copy.content.get("head")!.length, 256);
    const again = await openMemory(copy);
    assert.deepEqual(again.recovery.remade, []);
    await again.close();
  }
});

test("a slot that was being written when the power went is a note of the verifier, and nothing at the start", async () => {
  for (const recordsPerSave of [3, 1000]) {
    const files = new MemoryFiles();
    const log = await openMemory(files, { recordsPerSave });
    for (let i = 0; i < 11; i++) {
      await log.append(entry());
      await new Promise(setImmediate);
    }
    const killed = files.copy();
    await log.close();
    for (const at of [10, 138]) {
      const torn = killed.copy();
      on("head", flipped(at))(torn);
      const { problem, headTorn } = await verifyAuditFiles(torn);
      assert.deepEqual([problem, headTorn], [undefined, true]);
      assert.equal((await verifyAuditFiles(torn, { running: true })).problem?.kind, "head", "a server puts it right");
      const next = await openMemory(torn);
      assert.deepEqual(next.recovery.remade, []);
      await next.close();
      assert.equal((await verifyAuditFiles(torn)).headTorn, undefined);
    }
  }
});

test("a file of keys that holds no keys, or others, is made again from the records and named, at once or by the check beside the work", async () => {
  const signer = testSigner();
  const files = await builtLog(12, { signer, segmentBytes: 1 << 20 });
  const whole = files.content.get("checkpoint-key")!.toString();
  const stranger = await builtLog(2, { signer: testSigner("thief") });
  const strange = stranger.content.get("checkpoint-key")!;
  for (const [change, atOnce] of [
    [on("checkpoint-key", flipped(20)), true],
    [on("checkpoint-key", halved), true],
    [on("checkpoint-key", zeroed), true],
    [on("checkpoint-key", () => Buffer.alloc(0)), true],
    [on("checkpoint-key", () => strange), false],
    [on("checkpoint-key", (bytes) => Buffer.concat([strange, bytes])), false],
  ] as const) {
    for (const signs of [true, false]) {
      const copy = files.copy();
      change(copy);
      const { problem, records } = await verifyAuditFiles(copy);
      assert.deepEqual([problem?.kind, problem?.remakes, records], ["key", "checkpoint-key", 13]);
      assert.match(problem?.hint ?? "", /next start makes the file again/);
      const log = await openMemory(copy);
      if (signs) log.useSigner(signer);
      assert.deepEqual(log.recovery.remade, atOnce ? ["checkpoint-key"] : []);
      assert.deepEqual(await log.check(), atOnce ? [] : ["checkpoint-key"]);
      assert.equal(copy.content.get("checkpoint-key")!.toString(), whole);
      const { items } = await log.records({ limit: 10 });
      const made = items.filter(
        ({ action, details }) => action === "audit.recovered" && details["remade"] !== undefined,
      );
      assert.deepEqual(
        made.map(({ details }) => details["remade"]),
        ["checkpoint-key"],
      );
      await log.close();
      assert.equal((await verifyAuditFiles(copy)).problem, undefined);
    }
  }
});

test("a history that is none is set aside, which is said and recorded; the verifier reads the records all the same", async () => {
  const files = await builtLog(12);
  for (const change of [
    on("checkpoints", zeroed),
    on("checkpoints", (bytes) => Buffer.concat([halved(bytes), Buffer.alloc(bytes.length / 2)])),
    on("checkpoints", (bytes) => flipped(bytes.length - 2)(bytes)),
    on("checkpoints", () => Buffer.alloc(200_000)),
    on("checkpoints", () => Buffer.alloc(200_000, "x")),
  ]) {
    const copy = files.copy();
    change(copy);
    const damaged = Buffer.from(copy.content.get("checkpoints")!);
    const { problem, records } = await verifyAuditFiles(copy);
    assert.deepEqual([problem?.kind, records], ["checkpoint", 13]);
    const log = await openMemory(copy);
    assert.equal(log.recovery.aside, "checkpoints.damaged");
    assert.deepEqual(copy.content.get("checkpoints.damaged"), damaged);
    log.useSigner(testSigner());
    await log.checkpoint();
    const { items } = await log.records({ limit: 10 });
    assert.ok(items.some(({ details }) => details["aside"] === "checkpoints.damaged"));
    await log.close();
    const again = await openMemory(copy);
    assert.equal(again.recovery.aside, undefined);
    await again.close();
  }
});

test("a line of the history that was being written when the power went goes, and no more", async () => {
  const files = await builtLog(12);
  const whole = files.content.get("checkpoints")!;
  for (const torn of ['"casemate-audit/', '"half\\', "\0".repeat(300), `"x${"\0".repeat(100)}`]) {
    const copy = files.copy();
    copy.content.set("checkpoints", Buffer.concat([whole, Buffer.from(torn)]));
    assert.equal((await verifyAuditFiles(copy)).problem, undefined);
    const log = await openMemory(copy);
    assert.equal(log.recovery.aside, undefined);
    assert.deepEqual(copy.content.get("checkpoints"), whole);
    await log.close();
  }
});
