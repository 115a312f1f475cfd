import assert from "node:assert/strict";
import { test } from "node:test";
import { systemRandom } from "@casemate/foundation/effects";
import { AUDIT_LIMITS } from "./limits.ts";
import { Reserve, RESERVE_FILE } from "./reserve.ts";
import { entry, MemoryFiles, openMemory } from "./test-support.ts";
import { verifyAuditFiles } from "./verify-directory.ts";

const full = { code: "STORAGE_FULL" };

test("what is on record of a change fits on a full disk, once; no further change is begun before there is room", async () => {
  const files = new MemoryFiles();
  const log = await openMemory(files);
  await log.room();
  assert.equal(log.room(), undefined, "nothing to wait for");
  files.room = 0;
  await assert.rejects(log.append(entry()), full);
  await assert.rejects(log.append(entry(), "relaxed"), full);
  // Changes that were under way together.
  assert.deepEqual(await Promise.all([1, 2, 3].map(() => log.append(entry(), "reserved"))), [0, 1, 2]);
  files.room = 0;
  await assert.rejects(Promise.resolve(log.room()), full);
  assert.equal(files.content.has(RESERVE_FILE), false, "no part of it is left");
  await assert.rejects(log.append(entry(), "reserved"), full);
  files.room = AUDIT_LIMITS.reserveBytes + 10_000;
  await log.room();
  assert.equal(await log.append(entry(), "reserved"), 3);
  assert.equal(files.content.get(RESERVE_FILE)?.length, AUDIT_LIMITS.reserveBytes, "not taken without need");
  await log.close();
  assert.equal((await verifyAuditFiles(files)).problem, undefined);
});

test("what is asked while the reserve is given up, or made, is answered after that", async () => {
  const files = new MemoryFiles();
  const reserve = new Reserve(files, systemRandom);
  await reserve.ready();
  files.room = 0;
  // A change that takes the room, and one that is about to begin.
  const given = reserve.release();
  const begun = Promise.resolve(reserve.ready());
  assert.equal(await given, true);
  files.room = 0;
  await assert.rejects(begun, full);
  assert.notEqual(reserve.ready(), undefined, "it is not believed to be there");
  await assert.rejects(Promise.resolve(reserve.ready()), full);

  files.room = AUDIT_LIMITS.reserveBytes;
  const making = reserve.ready();
  const another = reserve.release();
  await making;
  assert.equal(await another, true);
  assert.equal(files.content.has(RESERVE_FILE), false);
  files.room = 0;
  await assert.rejects(Promise.resolve(reserve.ready()), full);
});

test("a record for which a new segment is needed takes the reserve, too", async () => {
  const files = new MemoryFiles();
  const log = await openMemory(files, { segmentBytes: 600 });
  await log.room();
  for (let i = 0; i < 3; i++) await log.append(entry());
  files.room = 0;
  assert.equal(await log.append(entry(), "reserved"), 3);
  await log.close();
  assert.equal((await verifyAuditFiles(files)).problem, undefined);
});

test("the reserve of an earlier run holds; one that was cut off while it was made is made again", async () => {
  const files = new MemoryFiles();
  const first = await openMemory(files);
  await first.room();
  await first.close();
  files.room = 0;
  const second = await openMemory(files);
  await second.room();
  await second.close();

  files.content.set(RESERVE_FILE, Buffer.alloc(100));
  const third = await openMemory(files);
  await assert.rejects(Promise.resolve(third.room()), full);
  files.room = AUDIT_LIMITS.reserveBytes;
  await third.room();
  assert.equal(files.content.get(RESERVE_FILE)?.length, AUDIT_LIMITS.reserveBytes);
  await third.close();
});
