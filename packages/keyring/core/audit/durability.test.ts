import assert from "node:assert/strict";
import { test } from "node:test";
import { entry, linesOf, MemoryFiles, openMemory } from "./test-support.ts";
import { verifyAuditFiles } from "./verify-directory.ts";

test("appends of one turn go out in one write and one sync, in the order they came", async () => {
  const files = new MemoryFiles();
  const log = await openMemory(files);
  const { writes, syncs } = files;
  const indexes = await Promise.all(Array.from({ length: 500 }, (_, i) => log.append(entry({ resource: `key/${i}` }))));
  assert.deepEqual(indexes, [...Array(500).keys()]);
  // One for the records, one for the head that follows.
  assert.ok(files.writes - writes <= 2);
  assert.equal(files.syncs - syncs, 1);
  const { items } = await log.records({ from: 0, limit: 500 });
  assert.deepEqual(
    items.map(({ resource }) => resource),
    Array.from({ length: 500 }, (_, i) => `key/${i}`),
  );
  await log.close();
});

test("durable appends wait a moment for announced ones once there was company, and share their sync", async () => {
  const files = new MemoryFiles();
  const log = await openMemory(files);
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  // Each appended in a turn of its own, with the number of those still to come.
  const inTurns = async (count: number, announced: (left: number) => number): Promise<number> => {
    const before = files.syncs;
    const appended: Promise<number>[] = [];
    for (let left = count - 1; left >= 0; left--) {
      appended.push(log.append(entry(), "durable", announced(left)));
      for (let i = 0; i < 5; i++) await turn();
    }
    await Promise.all(appended);
    return files.syncs - before;
  };
  const company = (): Promise<number[]> => Promise.all([log.append(entry()), log.append(entry())]);

  assert.equal(await inTurns(6, () => 100), 6, "without company before, nobody waits");
  // The moment is 2 ms, which a busy machine may take from one turn to the next.
  let shared = false;
  for (let attempt = 0; attempt < 20 && !shared; attempt++) {
    await company();
    shared = (await inTurns(6, (left) => left)) < 6;
  }
  assert.ok(shared, "announced appends were not waited for");
  await company();
  assert.equal(await inTurns(6, () => 0), 6, "nothing announced, nothing to wait for");
  await company();
  // An announcement that does not come true costs a moment, no record.
  assert.equal(typeof (await log.append(entry(), "durable", 100)), "number");
  await company();
  const late = log.append(entry(), "durable", 100);
  await log.close();
  assert.equal(typeof (await late), "number");
});

test("an append resolves only after the sync that covers it", async () => {
  const files = new MemoryFiles();
  const log = await openMemory(files);
  const open = files.open.bind(files);
  let release: () => void = () => undefined;
  await log.close();
  files.open = async (name, mode) => {
    const file = await open(name, mode);
    if (!name.startsWith("records-")) return file;
    let gate = Promise.resolve();
    return {
      ...file,
      writeNow: (bytes, position) => {
        gate = new Promise((resolve) => (release = resolve));
        file.writeNow(bytes, position);
      },
      sync: () => gate,
    };
  };
  const slow = await openMemory(files);
  let done = false;
  const appended = slow.append(entry()).then(() => (done = true));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(done, false);
  assert.equal(slow.head.size, 0);
  release();
  await appended;
  assert.equal(slow.head.size, 1);
  await slow.close();
});

test("a relaxed append resolves once it is written, and is no part of the head before it is synced", async () => {
  const files = new MemoryFiles();
  const open = files.open.bind(files);
  let release: () => void = () => undefined;
  let gate = Promise.resolve();
  files.open = async (name, mode) => {
    const file = await open(name, mode);
    return name.startsWith("records-") ? { ...file, sync: () => gate } : file;
  };
  const log = await openMemory(files);
  await log.append(entry());
  gate = new Promise((resolve) => (release = resolve));
  const indexes = await Promise.all([1, 2, 3].map(() => log.append(entry(), "relaxed")));
  assert.deepEqual(indexes, [1, 2, 3]);
  assert.equal(linesOf(files).length, 4);
  assert.equal(log.head.size, 1);
  let read = 0;
  const reading = log.records({}).then(({ items }) => (read = items.length));
  let durable = false;
  const appended = log.append(entry()).then(() => (durable = true));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual([read, durable], [0, false]);
  assert.equal(await log.append(entry(), "relaxed"), 5);
  release();
  await Promise.all([reading, appended]);
  assert.ok(read >= 4);
  await log.close();
  assert.equal((await verifyAuditFiles(files)).records, 6);
});

test("relaxed records alone are synced soon and together", async () => {
  const files = new MemoryFiles();
  const log = await openMemory(files);
  const before = files.syncs;
  for (let i = 0; i < 40; i++) assert.equal(await log.append(entry(), "relaxed"), i);
  while (log.head.size < 40) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(files.syncs - before < 20, `${files.syncs - before} syncs`);
  await log.close();
});

test("relaxed records fill segment after segment, each synced before the next begins", async () => {
  const files = new MemoryFiles();
  const log = await openMemory(files, { segmentBytes: 1500 });
  for (let i = 0; i < 40; i++) assert.equal(await log.append(entry(), "relaxed"), i);
  assert.ok([...files.content.keys()].filter((name) => name.startsWith("records-")).length > 5);
  await log.close();
  const { problem, records } = await verifyAuditFiles(files);
  assert.deepEqual([problem, records], [undefined, 40]);
});
