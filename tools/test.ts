/** Runs a suite with node:test: `quick` is every *.test.ts, `interop` every *.interop.ts. Further arguments filter by path. */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";

const SUITES: Readonly<Record<string, string>> = { quick: "**/*.test.ts", interop: "**/*.interop.ts" };

const [suite = "quick", ...filters] = process.argv.slice(2);
const pattern = SUITES[suite];
if (pattern === undefined) {
  process.stderr.write(`test: no suite ${suite}; there are ${Object.keys(SUITES).join(", ")}\n`);
  process.exit(2);
}
const files = ["packages", "apps", "tests", "tools", "benchmarks"]
  .flatMap((root) =>
    globSync(pattern, { cwd: root, exclude: (path) => path.includes("node_modules") }).map((path) => `${root}/${path}`),
  )
  .filter((path) => filters.length === 0 || filters.some((filter) => path.includes(filter)))
  .toSorted();
if (files.length === 0) {
  process.stderr.write(`test: no ${suite} tests match ${filters.join(" ")}\n`);
  process.exit(1);
}
const run = spawnSync(
  process.execPath,
  ["--disable-warning=ExperimentalWarning", "--test", `--test-concurrency=${availableParallelism()}`, ...files],
  {
    stdio: "inherit",
    env: { ...process.env, NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? "node_modules/.cache/compile" },
  },
);
process.exit(run.status ?? 1);
