import assert from "node:assert/strict";
import { test } from "node:test";
import { cpuSeconds, residentMiB } from "./machine.ts";
import { formatRow, medianRow, rowOf } from "./report.ts";

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

test("of several rounds the median by what is judged is kept, with the range of all ratios", () => {
  const round = (cpuSeconds: number, rawSpeed: number, target: Parameters<typeof rowOf>[4]) =>
    rowOf("rest", "x", { ...load, cpuSeconds }, { ...raw, perCoreSecond: rawSpeed }, target);
  const byRatio = { ratio: 0.5 };
  const rows = [round(1, 4000, byRatio), round(0.25, 4000, byRatio), round(0.5, 4000, byRatio)];
  const median = medianRow(rows, byRatio);
  assert.deepEqual([median.ratio, median.rounds, median.ratioRange, median.reached], [0.5, 3, [0.25, 1], true]);
  assert.equal(medianRow(rows.slice(0, 2), byRatio).ratio, 0.25, "of two the lower one");
  const bySpeed = { perCoreSecond: 2000 };
  // Ratios 0.1, 0.2, 0.8 in another order than the speeds 1000, 2000, 4000.
  const others = [round(1, 1250, bySpeed), round(0.5, 20_000, bySpeed), round(0.25, 20_000, bySpeed)];
  assert.equal(medianRow(others, bySpeed).perCoreSecond, 2000);
  assert.throws(() => medianRow([], byRatio), RangeError);
});

test("CPU time and memory of a process are read where the kernel tells them", () => {
  const before = cpuSeconds(process.pid);
  const until = process.cpuUsage().user + 60_000;
  while (process.cpuUsage().user < until);
  assert.ok(cpuSeconds(process.pid) > before);
  assert.ok(residentMiB(process.pid) > 10);
});
