import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import fc from "fast-check";
import { systemClock } from "@casemate/foundation/effects";
import { openAudit } from "./open-audit.ts";
import { builtLog, entry, linesOf, MemoryFiles, openMemory, testSigner } from "./test-support.ts";
import { segmentName } from "./segment.ts";
import { verifyAuditDirectory, verifyAuditFiles } from "./verify-directory.ts";

/** The files as a process leaves them that is killed while the last batch is being written. */
async function killedLog(records: number): Promise<MemoryFiles> {
  const files = new MemoryFiles();
  const log = await openMemory(files, { recordsPerSave: 1000 });
  for (let i = 0; i < records; i++) await log.append(entry({ resource: `key/${i}` }));
  const killed = files.copy();
  await log.close();
  return killed;
}

test("an incomplete last record is cut, said, and recorded; nothing acknowledged is lost", async () => {
  const killed = await killedLog(9);
  const last = linesOf(killed).at(-1)!;
  const line = killed.content.get(last.segment)!.subarray(last.start, last.end);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: line.length - 1 }), fc.boolean(), async (length, holes) => {
      const files = killed.copy();
      const torn = Buffer.concat([line.subarray(0, length), ...(holes ? [Buffer.alloc(50), Buffer.from("\n")] : [])]);
      files.content.set(last.segment, Buffer.concat([files.content.get(last.segment)!, torn]));
      const before = await verifyAuditFiles(files);
      assert.equal(before.problem, undefined);
      assert.equal(before.tornBytes, torn.length);
      const log = await openMemory(files);
      assert.equal(log.recovery.cutBytes, torn.length);
      const [newest] = (await log.records({ limit: 1 })).items;
      assert.equal(newest!.action, "audit.recovered");
      assert.equal(newest!.index, 9);
      assert.equal(newest!.details["cutBytes"], torn.length);
      await log.close();
      assert.equal((await verifyAuditFiles(files)).problem, undefined);
    }),
    { numRuns: 60 },
  );
});

test("an acknowledged record that is cut short is tampering, not a torn tail", async () => {
  const killed = await killedLog(9);
  const last = linesOf(killed).at(-1)!;
  for (const bytes of [1, 50]) {
    const files = killed.copy();
    const content = files.content.get(last.segment)!;
    files.content.set(last.segment, content.subarray(0, content.length - bytes));
    await assert.rejects(openMemory(files), { code: "TAMPER_DETECTED", details: { index: 8 } });
    assert.deepEqual((await verifyAuditFiles(files)).problem?.kind, "truncated");
  }
});

test("a segment that was just begun when the process died is taken away or taken up", async () => {
  const files = await builtLog(12);
  const segment = [...files.content.keys()].filter((name) => name.startsWith("records-")).length;
  const size = linesOf(files).length;
  for (const content of ["", "casemate-au", "casemate-audit/1 log=00", "\0".repeat(80)]) {
    const copy = files.copy();
    copy.content.set(`records-${String(size).padStart(16, "0")}.log`, Buffer.from(content));
    assert.equal((await verifyAuditFiles(copy)).problem, undefined);
    const log = await openMemory(copy, { segmentBytes: 1500 });
    assert.equal(log.head.size, content === "" ? size : size + 1);
    await log.append(entry());
    await log.close();
    assert.equal((await verifyAuditFiles(copy)).problem, undefined);
  }
  const foreign = files.copy();
  foreign.content.set(`records-${String(size).padStart(16, "0")}.log`, Buffer.from("something else\n"));
  await assert.rejects(openMemory(foreign), { code: "TAMPER_DETECTED" });
  assert.ok(segment > 1);
});

test("start-up reads the end of the log, not all of it", async () => {
  const files = new MemoryFiles();
  const log = await openMemory(files, { segmentBytes: 500_000, recordsPerSave: 1000 });
  for (let i = 0; i < 20; i++) await Promise.all(Array.from({ length: 500 }, () => log.append(entry())));
  await new Promise(setImmediate);
  const killed = files.copy();
  await log.close();
  const total = [...killed.content.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  assert.ok(total > 3_000_000);
  const again = await openMemory(killed, { segmentBytes: 500_000 });
  assert.equal(again.head.size, 10_000);
  assert.ok(again.recovery.verifiedFrom >= 8000, String(again.recovery.verifiedFrom));
  assert.ok(killed.bytesRead < total / 3, `${killed.bytesRead} of ${total}`);
  killed.bytesRead = 0;
  await again.inclusion(5000);
  await again.records({ from: 5000, limit: 10 });
  assert.ok(killed.bytesRead < 400_000);
  await again.close();
});

test("a missing head file, or one with neither slot whole, stops the start", async () => {
  const files = await builtLog(5);
  for (const change of [
    (copy: MemoryFiles) => copy.content.delete("head"),
    (copy: MemoryFiles) => copy.content.get("head")!.fill(0),
    (copy: MemoryFiles) => copy.content.set("head", Buffer.alloc(0)),
  ]) {
    const copy = files.copy();
    change(copy);
    await assert.rejects(openMemory(copy), { code: "TAMPER_DETECTED" });
    assert.equal((await verifyAuditFiles(copy)).problem?.kind, "head");
  }
  const torn = files.copy();
  torn.content.get("head")!.fill(0, 0, 128);
  const log = await openMemory(torn);
  assert.deepEqual(log.recovery.remade, ["head"]);
  await log.close();
  assert.equal((await verifyAuditFiles(torn)).problem, undefined);
});

test("a full disk refuses the append, keeps the log whole, and lets go when there is room", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 900 }), fc.integer({ min: 1, max: 6 }), async (room, together) => {
      const files = new MemoryFiles();
      const log = await openMemory(files, { segmentBytes: 900 });
      for (let i = 0; i < 3; i++) await log.append(entry());
      files.room = room;
      let refused = 0;
      for (let i = 0; i < 4; i++) {
        const results = await Promise.allSettled(Array.from({ length: together }, () => log.append(entry())));
        for (const result of results) {
          if (result.status === "fulfilled") continue;
          refused++;
          assert.equal((result.reason as { code?: string }).code, "STORAGE_FULL");
        }
      }
      assert.ok(refused > 0);
      const { size } = log.head;
      assert.equal((await log.records({ limit: 1 })).items[0]!.index, size - 1);
      assert.equal((await log.inclusion(0)).size, size);
      assert.equal((await verifyAuditFiles(files)).problem, undefined);
      files.room = Infinity;
      assert.equal(await log.append(entry()), size);
      await log.close();
      const result = await verifyAuditFiles(files);
      assert.equal(result.problem, undefined);
      assert.equal(result.records, size + 1);
    }),
    { numRuns: 60 },
  );
});

test("the same on a real file system that is full", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "casemate-full-"));
  const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", directory]);
  if (mount.status !== 0) {
    await rm(directory, { recursive: true });
    t.skip("needs the right to mount a small tmpfs; the test above does the same over a port");
    return;
  }
  try {
    const log = await openAudit({ directory: join(directory, "audit"), clock: systemClock });
    await log.append(entry());
    await writeFile(join(directory, "filler"), Buffer.alloc(200_000));
    let failed: unknown;
    while (failed === undefined) await log.append(entry()).catch((error: unknown) => (failed = error));
    assert.equal((failed as { code?: string }).code, "STORAGE_FULL");
    await assert.rejects(Promise.all(Array.from({ length: 500 }, () => log.append(entry()))), { code: "STORAGE_FULL" });
    const { size } = log.head;
    assert.equal((await log.records({ limit: 1 })).items[0]!.index, size - 1);
    assert.equal((await verifyAuditDirectory(join(directory, "audit"))).records, size);
    await rm(join(directory, "filler"));
    assert.equal(await log.append(entry()), size);
    await log.close();
    assert.equal((await verifyAuditDirectory(join(directory, "audit"))).problem, undefined);
  } finally {
    spawnSync("umount", [directory]);
    await rm(directory, { recursive: true });
  }
});

test("a failed sync refuses the batch and all that follow until the log is opened again", async () => {
  const files = new MemoryFiles();
  const log = await openMemory(files);
  await log.append(entry());
  files.failSync = "EIO";
  await assert.rejects(log.append(entry()), { code: "STORAGE_FAILED" });
  await assert.rejects(log.append(entry()), { code: "STORAGE_FAILED" });
  assert.equal(log.head.size, 1);
  assert.equal((await log.records({})).items.length, 1);
  await log.close();
  const again = await openMemory(files);
  assert.ok(again.head.size >= 1);
  await again.append(entry());
  await again.close();
  assert.equal((await verifyAuditFiles(files)).problem, undefined);
});

test("a failed sync after a relaxed record was acknowledged stops the log; what was written is there at the next start", async () => {
  for (const code of ["EIO", "ENOSPC"]) {
    const files = new MemoryFiles();
    const log = await openMemory(files);
    await log.append(entry());
    files.failSync = code;
    await log.append(entry(), "relaxed");
    await assert.rejects(log.append(entry()), { code: "STORAGE_FAILED" });
    await assert.rejects(log.append(entry(), "relaxed"), { code: "STORAGE_FAILED" });
    await assert.rejects(log.append(entry()), { code: "STORAGE_FAILED" });
    assert.equal(log.head.size, 1);
    await log.close();
    const again = await openMemory(files);
    assert.ok(again.head.size >= 2);
    await again.close();
    assert.equal((await verifyAuditFiles(files)).problem, undefined);
  }
});

test("a power cut that lost relaxed records, or tore them, costs those alone", async () => {
  const files = new MemoryFiles();
  const open = files.open.bind(files);
  let power = true;
  files.open = async (name, mode) => {
    const file = await open(name, mode);
    return { ...file, sync: () => (power ? file.sync() : new Promise<never>(() => undefined)) };
  };
  const log = await openMemory(files);
  for (let i = 0; i < 5; i++) await log.append(entry());
  power = false;
  await Promise.all(Array.from({ length: 400 }, () => log.append(entry(), "relaxed")));
  const name = segmentName(0);
  const whole = files.content.get(name)!;
  const [, , , , , first] = linesOf(files);
  const crash = files.copy();
  const tears: readonly ((bytes: Buffer) => Buffer)[] = [
    (bytes) => bytes.subarray(0, first!.start + 70),
    (bytes) => bytes.fill(0, first!.start + 4096, first!.start + 8192),
    // More than any line may have.
    (bytes) => Buffer.concat([bytes.subarray(0, first!.start + 4096), Buffer.alloc(300_000)]),
  ];
  for (const tear of tears) {
    const copy = crash.copy();
    copy.content.set(name, tear(Buffer.from(whole)));
    const again = await openMemory(copy);
    assert.ok(again.recovery.cutBytes > 0);
    assert.ok(again.head.size >= 5 && again.head.size < 405);
    await again.append(entry());
    await again.close();
    assert.equal((await verifyAuditFiles(copy)).problem, undefined);
  }
});

test("a log verifies while its server goes on writing", async () => {
  const directory = await mkdtemp(join(tmpdir(), "casemate-live-"));
  try {
    const log = await openAudit({
      directory,
      clock: systemClock,
      segmentBytes: 40_000,
      recordsPerSave: 300,
      recordsPerCheckpoint: 100,
      checkpointIntervalMs: 5,
    });
    log.useSigner(testSigner());
    let stop = false;
    const writing = Promise.all(
      Array.from({ length: 20 }, async () => {
        while (!stop && log.head.size < 20_000) await log.append(entry());
      }),
    );
    let records = 0;
    try {
      for (let i = 0; i < 12; i++) {
        const result = await verifyAuditDirectory(directory);
        assert.equal(result.problem, undefined);
        assert.ok(result.records >= records);
        records = result.records;
      }
    } finally {
      stop = true;
      await writing;
      await log.close();
    }
    assert.ok(records > 0);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("a log opens on a full disk: what is there can be read and verified", async () => {
  for (const files of [await builtLog(12), await killedLog(12)]) {
    files.room = 0;
    const log = await openMemory(files);
    const { size } = log.head;
    assert.equal((await log.records({ limit: 1 })).items[0]!.index, size - 1);
    await assert.rejects(log.append(entry()), { code: "STORAGE_FULL" });
    files.room = Infinity;
    assert.equal(await log.append(entry()), size);
    await log.close();
    assert.equal((await verifyAuditFiles(files)).problem, undefined);
  }
});

test("a process killed again and again loses no acknowledged record", { timeout: 60_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "casemate-audit-"));
  const writer = fileURLToPath(new URL("./test-writer.ts", import.meta.url));
  try {
    let acknowledged = 0;
    for (let round = 0; round < 6; round++) {
      const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", writer, directory], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const exited = once(child, "exit");
      let text = "";
      let deadline: NodeJS.Timeout | undefined;
      child.stdout.setEncoding("latin1").on("data", (chunk: string) => {
        text = (text + chunk).slice(-200);
        deadline ??= setTimeout(() => child.kill("SIGKILL"), 5 + round * 13);
      });
      await exited;
      clearTimeout(deadline);
      const sizes = text.split("\n").slice(0, -1);
      acknowledged = Math.max(acknowledged, Number(sizes.at(-1) ?? 0));
      assert.ok(acknowledged > 0);
      const before = await verifyAuditDirectory(directory);
      assert.equal(before.problem, undefined);
      assert.ok(before.records >= acknowledged, `${before.records} of ${acknowledged}`);
      const log = await openAudit({ directory, clock: systemClock });
      assert.ok(log.head.size >= acknowledged);
      await log.close();
    }
    assert.equal((await verifyAuditDirectory(directory)).problem, undefined);
  } finally {
    await rm(directory, { recursive: true });
  }
});
