import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromHex, toHex } from "@casemate/foundation/bytes";
import { manualClock } from "@casemate/foundation/effects";
import { isCasemateError } from "@casemate/foundation/errors";
import type { AuditRecordView } from "../types.ts";
import type { FileAuditLog } from "./open-audit.ts";
import type { RecordQuery } from "./reader.ts";
import { verifyConsistency, verifyInclusion } from "./merkle.ts";
import { recordLeaf } from "./record.ts";
import { builtLog, clock, entry, linesOf, MemoryFiles, openMemory, testSigner } from "./test-support.ts";
import { verifyAuditFiles } from "./verify-directory.ts";

async function all(log: FileAuditLog, query: RecordQuery): Promise<AuditRecordView[]> {
  const items: AuditRecordView[] = [];
  let cursor: string | undefined;
  do {
    const page = await log.records(cursor === undefined ? query : { ...query, cursor });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor !== undefined);
  return items;
}

test("appended records come back as they were given, numbered, timed and chained", async () => {
  const log = await openMemory(new MemoryFiles());
  assert.deepEqual(log.head, { size: 0, hash: "0".repeat(64) });
  assert.deepEqual(await log.records({}), { items: [] });
  assert.equal(await log.append(entry({ token: "t1", requestId: "r1" })), 0);
  assert.equal(await log.append(entry({ outcome: "FORBIDDEN", details: { b: true, a: "é\n\u2028" } })), 1);
  const [second, first] = (await log.records({})).items;
  assert.deepEqual(first, {
    index: 0,
    time: "2026-01-02T03:04:05.678Z",
    principal: "user/alice",
    source: "rest",
    action: "key.sign",
    resource: "key/release",
    outcome: "ok",
    count: 1,
    details: { token: "t1", requestId: "r1", bytes: 32, version: 1 },
    hash: first!.hash,
  });
  assert.deepEqual(second!.details, { a: "é\n\u2028", b: true });
  assert.deepEqual(log.head, { size: 2, hash: second!.hash });
  await log.close();
});

test("hostile field values are cut and escaped; a record is always one line", async () => {
  const files = new MemoryFiles();
  const log = await openMemory(files);
  const long = '\u0000\n"\\'.repeat(10_000);
  const details = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`${i} ${long}`, long]));
  await log.append({
    ...entry({ principal: long, source: long, action: long, resource: long, outcome: long, token: long }),
    requestId: long,
    details: { ...details, notANumber: Number.NaN, __proto__: "x" },
  });
  await log.append(entry({ details: JSON.parse('{"__proto__":"y","constructor":"z"}') as Record<string, string> }));
  await log.append(entry({ resource: "\ud800 half" }));
  await log.close();
  assert.equal(linesOf(files).length, 3);
  const result = await verifyAuditFiles(files);
  assert.equal(result.problem, undefined);
  const again = await openMemory(files);
  assert.equal((await again.records({ limit: 3 })).items.length, 3);
  await again.close();
});

test("a log goes on where it ended, whatever the saved point", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 300, max: 2000 }),
      async (runs, recordsPerSave, segmentBytes) => {
        const files = new MemoryFiles();
        let size = 0;
        for (const appends of runs) {
          const log = await openMemory(files, { recordsPerSave, segmentBytes });
          assert.equal(log.head.size, size);
          assert.deepEqual(log.recovery, { cutBytes: 0, remade: [], verifiedFrom: size });
          for (let i = 0; i < appends; i++) assert.equal(await log.append(entry()), size++);
          await log.close();
        }
        const result = await verifyAuditFiles(files);
        assert.equal(result.problem, undefined);
        assert.equal(result.records, size);
      },
    ),
    { numRuns: 60 },
  );
});

test("pages cover every record once, both ways, with every filter, across segments", async () => {
  const files = await builtLog(60, { segmentBytes: 3000 });
  const log = await openMemory(files, { segmentBytes: 3000 });
  const everything = await all(log, { from: 0, limit: 1000 });
  assert.deepEqual(
    everything.map(({ index }) => index),
    [...Array(61).keys()],
  );
  for (const limit of [1, 2, 7, 60, 61, 1000]) {
    const newest = await all(log, { limit });
    assert.deepEqual(newest, everything.toReversed(), `limit ${limit}`);
    for (const from of [0, 1, 30, 60]) assert.deepEqual(await all(log, { from, limit }), everything.slice(from));
  }
  for (const query of [
    { outcome: "FORBIDDEN" },
    { principal: "casemate" },
    { resource: "key/17" },
    { principal: "user/alice", outcome: "ok" },
    { resource: "key/1", outcome: "FORBIDDEN" },
    { principal: 'nobody"' },
  ]) {
    const expected = everything.filter((record) =>
      Object.entries(query).every(([name, value]) => record[name as "principal"] === value),
    );
    assert.deepEqual(await all(log, { ...query, from: 0, limit: 3 }), expected);
    assert.deepEqual(await all(log, { ...query, limit: 3 }), expected.toReversed());
  }
  assert.deepEqual(await log.records({ from: 61 }), { items: [] });
  await log.close();
});

test("a page keeps its place while records are added", async () => {
  const log = await openMemory(new MemoryFiles());
  for (let i = 0; i < 10; i++) await log.append(entry());
  const { next } = await log.records({ limit: 4 });
  for (let i = 0; i < 10; i++) await log.append(entry());
  const second = await log.records({ limit: 4, cursor: next! });
  assert.deepEqual(
    second.items.map(({ index }) => index),
    [5, 4, 3, 2],
  );
  await log.close();
});

test("limits, cursors and indexes from outside are checked", async () => {
  const log = await openMemory(new MemoryFiles());
  await log.append(entry());
  await log.append(entry());
  const { next } = await log.records({ limit: 1 });
  const cursor = (text: string): string => Buffer.from(text).toString("base64url");
  for (const query of [
    { limit: 0 },
    { limit: 1001 },
    { limit: 1.5 },
    { from: -1 },
    { from: Number.NaN },
    { cursor: "" },
    { cursor: "x" },
    { cursor: `${next}=` },
    { cursor: cursor("older 0 150") },
    { cursor: cursor("older 0 1") },
    { cursor: cursor("older 0 99999") },
    { cursor: cursor("older 7 200") },
    { cursor: cursor("newer 0 99999") },
    { cursor: cursor("sideways 0 200") },
  ]) {
    await assert.rejects(log.records(query), { code: "BAD_REQUEST" }, JSON.stringify(query));
  }
  await assert.rejects(log.inclusion(2), { code: "NOT_FOUND" });
  await assert.rejects(log.inclusion(-1), { code: "NOT_FOUND" });
  await assert.rejects(log.inclusion(0, 3), { code: "BAD_REQUEST" });
  await assert.rejects(log.consistency(0), { code: "BAD_REQUEST" });
  await assert.rejects(log.consistency(2, 1), { code: "BAD_REQUEST" });
  await log.close();
});

test("proofs from memory and from the file convince", async () => {
  const log = await openMemory(new MemoryFiles(), { recordsPerSave: 8 });
  log.useSigner(testSigner());
  const roots: string[] = [];
  for (let size = 1; size <= 40; size++) {
    await log.append(entry());
    if (log.head.size > 1) roots[log.head.size] = (await log.checkpoint()).rootHash;
  }
  const records = await all(log, { from: 0 });
  for (const size of [2, 3, 8, 17, log.head.size]) {
    for (const index of [0, 1, size - 1]) {
      const proof = await log.inclusion(index, size);
      assert.equal(proof.rootHash, roots[size]);
      assert.equal(proof.leafHash, toHex(recordLeaf(records[index]!.hash)));
      const path = proof.path.map(fromHex);
      assert.ok(verifyInclusion(fromHex(proof.leafHash), index, size, path, fromHex(roots[size]!)));
    }
    const { path, second } = await log.consistency(2, size);
    assert.equal(second, size);
    assert.ok(verifyConsistency(2, size, path.map(fromHex), fromHex(roots[2]!), fromHex(roots[size]!)));
  }
  await log.close();
});

test("checkpoints are signed after so many records, after so much time, and at the end", async () => {
  const files = new MemoryFiles();
  const time = manualClock(clock.now());
  const log = await openMemory(files, { clock: time, recordsPerCheckpoint: 5, checkpointIntervalMs: 20 });
  const size = (): number => Number(files.content.get("checkpoint")?.toString().split("\n")[1] ?? 0);
  const until = async (wanted: number): Promise<void> => {
    for (let i = 0; i < 100 && size() !== wanted; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(size(), wanted);
  };
  log.useSigner(testSigner());
  for (let i = 0; i < 4; i++) await log.append(entry());
  await until(5);
  await log.append(entry());
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(size(), 5);
  time.advance(30);
  await until(6);
  await log.append(entry());
  await log.close();
  assert.equal(size(), 7);
  assert.equal((await verifyAuditFiles(files)).newestCheckpoint?.size, 7);
});

test("a signer that fails stops neither appends nor closing, and its error is told to who asks for a checkpoint", async () => {
  const files = new MemoryFiles();
  const log = await openMemory(files);
  await assert.rejects(log.checkpoint(), { code: "UNAVAILABLE" });
  log.useSigner({ ...testSigner(), sign: () => Promise.reject(new Error("gone")) });
  await assert.rejects(log.checkpoint(), { message: "gone" });
  await log.append(entry());
  await log.close();
  assert.equal((await verifyAuditFiles(files)).ok, true);
});

test("a disk that is full refuses a checkpoint and leaves the history whole", async () => {
  const files = await builtLog(3);
  const signer = testSigner();
  for (let room = 0; room < 600; room += 45) {
    const copy = files.copy();
    const log = await openMemory(copy);
    log.useSigner(signer);
    await log.append(entry());
    copy.room = room;
    await log
      .checkpoint()
      .catch((error: unknown) => assert.ok(isCasemateError(error) && error.code === "STORAGE_FULL"));
    copy.room = Infinity;
    const { size } = await log.checkpoint();
    assert.equal(size, log.head.size);
    await log.close();
    const result = await verifyAuditFiles(copy);
    assert.equal(result.problem, undefined);
    assert.equal(result.newestCheckpoint?.size, size);
  }
});

test("a checkpoint covers every record that was durable when it was asked for", async () => {
  const log = await openMemory(new MemoryFiles());
  const signer = testSigner();
  log.useSigner({
    ...signer,
    sign: (...asked) => new Promise((resolve) => setTimeout(resolve, 5)).then(() => signer.sign(...asked)),
  });
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      const index = await log.append(entry());
      assert.ok((await log.checkpoint()).size > index);
    }),
  );
  await log.close();
});

test("a new signing key is pinned in the log; checkpoints of both keys verify", async () => {
  const files = await builtLog(3);
  const log = await openMemory(files);
  const fresh = testSigner("hsm-2");
  log.useSigner(fresh);
  await log.append(entry());
  assert.equal((await log.checkpoint()).signedBy, "hsm-2");
  await log.close();
  const result = await verifyAuditFiles(files, { publicKey: fresh.publicKey });
  assert.equal(result.problem, undefined);
  assert.deepEqual(
    result.keys.map((key) => key.split("+")[0]),
    ["hsm-1", "hsm-2"],
  );
  const again = await openMemory(files);
  again.useSigner(fresh);
  await again.checkpoint();
  assert.equal(again.head.size, result.records);
  await again.close();
});

test("a closed log refuses appends; a log that is no log is NOT_FOUND", async () => {
  const log = await openMemory(new MemoryFiles());
  await log.close();
  await assert.rejects(log.append(entry()), { code: "UNAVAILABLE" });
  await assert.rejects(
    verifyAuditFiles(new MemoryFiles()),
    (error) => isCasemateError(error) && error.code === "NOT_FOUND",
  );
});

test("a check beside the work ends though the log is written on and on", async () => {
  const log = await openMemory(await builtLog(50));
  let ended = false;
  const checked = log.check().finally(() => (ended = true));
  let appended = 0;
  while (!ended && appended < 5000) {
    await log.append(entry());
    appended++;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const endedBeside = ended;
  await checked;
  assert.ok(endedBeside, `still at work after ${appended} records`);
  await log.close();
});
