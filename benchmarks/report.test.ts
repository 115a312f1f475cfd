import assert from "node:assert/strict";
import { test } from "node:test";
import { cpuSeconds, residentMiB } from "./machine.ts";
import { formatRow, rowOf } from "./report.ts";

const load = { operations: 1000, wallSeconds: 2, cpuSeconds: 0.5, p50Ms: 1, p99Ms: 3 };
const raw = { operation: "x", perCoreSecond: 4000, method: "test" };

test("a row divides operations per CPU second by raw speed and judges it by its target", () => {
  const row = rowOf("engine", "x", load, raw, { ratio: 0.5 });
  assert.deepEqual([row.perSecond, row.cpuMicros, row.perCoreSecond, row.ratio], [500, 500, 2000, 0.5]);
  assert.equal(row.reached, true);
  assert.equal(rowOf("engine", "x", load, raw, { ratio: 0.51 }).reached, false);
  assert.equal(rowOf("rest", "x", load, raw, { perCoreSecond: 2001 }).reached, false);
  assert.match(formatRow(rowOf("rest", "x", load, raw, { perCoreSecond: 2001 })), /✗$/);
});

test("CPU time and memory of a process are read where the kernel tells them", () => {
  const before = cpuSeconds(process.pid);
  const until = process.cpuUsage().user + 60_000;
  while (process.cpuUsage().user < until);
  assert.ok(cpuSeconds(process.pid) > before);
  assert.ok(residentMiB(process.pid) > 10);
});
