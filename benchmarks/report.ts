/** One line per measurement, and the JSON file kept of a run. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Path, Target } from "./cases.ts";
import type { Machine } from "./machine.ts";
import type { RawSpeed } from "./raw/index.ts";

export interface Load {
  readonly operations: number;
  readonly wallSeconds: number;
  /** CPU of everything but the load generator. */
  readonly cpuSeconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Row {
  readonly path: Path;
  readonly operation: string;
  readonly perSecond: number;
  readonly cpuMicros: number;
  readonly perCoreSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Divided by raw OpenSSL's operations per core-second in the same run. */
  readonly ratio: number;
  readonly target?: string;
  readonly reached?: boolean;
  /** Rounds that this is the median of, by what is judged, and the lowest and highest ratio of them. */
  readonly rounds?: number;
  readonly ratioRange?: readonly [number, number];
}

export function rowOf(path: Path, operation: string, load: Load, raw: RawSpeed, target: Target | undefined): Row {
  const perCoreSecond = load.operations / load.cpuSeconds;
  const ratio = perCoreSecond / raw.perCoreSecond;
  const judged =
    target === undefined
      ? {}
      : "ratio" in target
        ? { target: `≥ ${target.ratio.toFixed(2)}`, reached: ratio >= target.ratio }
        : { target: `≥ ${target.perCoreSecond / 1000} k/core-s`, reached: perCoreSecond >= target.perCoreSecond };
  return {
    path,
    operation,
    perSecond: Math.round(load.operations / load.wallSeconds),
    cpuMicros: Math.round((1e7 * load.cpuSeconds) / load.operations) / 10,
    perCoreSecond: Math.round(perCoreSecond),
    p50Ms: Math.round(load.p50Ms * 1000) / 1000,
    p99Ms: Math.round(load.p99Ms * 1000) / 1000,
    ratio: Math.round(ratio * 1000) / 1000,
    ...judged,
  };
}

/** The median round, by what the target judges; of an even number the lower one of the two in the middle. */
export function medianRow(rows: readonly Row[], target: Target | undefined): Row {
  const judged = (row: Row): number =>
    target !== undefined && "perCoreSecond" in target ? row.perCoreSecond : row.ratio;
  const row = rows.toSorted((a, b) => judged(a) - judged(b))[(rows.length - 1) >> 1];
  if (row === undefined) throw new RangeError("no round was measured");
  const ratios = rows.map(({ ratio }) => ratio);
  return { ...row, rounds: rows.length, ratioRange: [Math.min(...ratios), Math.max(...ratios)] };
}

const COLUMNS = [
  "path",
  "operation",
  "ops/s",
  "CPU µs/op",
  "ops/core-s",
  "p50 ms",
  "p99 ms",
  "÷ raw",
  "of rounds",
  "target",
];
const WIDTHS = [11, 15, 9, 10, 11, 9, 9, 7, 13, 16];

const line = (cells: readonly string[]): string =>
  cells.map((cell, i) => (i < 2 ? cell.padEnd(WIDTHS[i] ?? 0) : cell.padStart(WIDTHS[i] ?? 0))).join(" ");

export const header = (): string => line(COLUMNS);

export function formatRow(row: Row): string {
  const verdict = row.target === undefined ? "" : `${row.target} ${row.reached === true ? "✓" : "✗"}`;
  return line([
    row.path,
    row.operation,
    String(row.perSecond),
    row.cpuMicros.toFixed(1),
    String(row.perCoreSecond),
    row.p50Ms.toFixed(2),
    row.p99Ms.toFixed(2),
    row.ratio.toFixed(3),
    row.ratioRange === undefined ? "" : row.ratioRange.map((ratio) => ratio.toFixed(3)).join("–"),
    verdict,
  ]);
}

/** Writes `benchmarks/results/NAME.json`; one file per suite, the newest run. */
export function keep(name: string, machine: Machine, content: object): string {
  const folder = join(import.meta.dirname, "results");
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.json`);
  writeFileSync(
    path,
    `${JSON.stringify({ date: new Date().toISOString().slice(0, 10), machine, ...content }, null, 2)}\n`,
  );
  return path;
}
