import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { LIMITS, LAYERS } from "../architecture.ts";

const root = join(import.meta.dirname, "..");

function lint(...paths: string[]): { status: number | null; output: string } {
  const run = spawnSync(
    process.execPath,
    [join(root, "node_modules/oxlint/bin/oxlint"), "-c", "oxlint.config.ts", ...paths],
    {
      cwd: root,
      encoding: "utf8",
    },
  );
  return { status: run.status, output: run.stdout + run.stderr };
}

/** A file that breaks a rule, put where the rule applies, linted and taken away again. */
function planted(path: string, source: string): { status: number | null; output: string } {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, source);
  try {
    return lint(path);
  } finally {
    rmSync(file);
  }
}

const violations = [
  ["protocols may not reach devices", "packages/protocols/hsm/planted-a.ts", 'import "@casemate/devices/contract";'],
  ["protocols may not do I/O", "packages/protocols/hsm/planted-b.ts", 'import "node:fs";'],
  [
    "a virtual device may not know the contract",
    "packages/devices/virtual-hsm/planted-c.ts",
    'import "@casemate/devices/contract";',
  ],
  [
    "a driver may not know its virtual twin",
    "packages/devices/driver-hsm/planted-d.ts",
    'import "@casemate/devices/virtual-hsm";',
  ],
  ["the keyring may not know drivers", "packages/keyring/core/planted-e.ts", 'import "@casemate/devices/driver-hsm";'],
  [
    "interfaces may not know drivers",
    "packages/interfaces/rest/planted-f.ts",
    'import "@casemate/devices/driver-hsm";',
  ],
  ["only foundation/ffi imports node:ffi", "apps/server/planted-g.ts", 'import "node:ffi";'],
] as const;

for (const [claim, path, source] of violations) {
  test(`the layer rules catch a planted violation: ${claim}`, () => {
    const { status, output } = planted(path, source);
    assert.notEqual(status, 0, `the linter let it pass:\n${output}`);
    assert.match(output, /no-restricted-imports/);
  });
}

test("every rule names a folder pattern of a known layer", () => {
  for (const rule of LAYERS) for (const glob of rule.files) assert.match(glob, /^packages\/[a-z-]+\/.*\*\*$/);
});

function sources(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (name === "node_modules") return [];
    if (statSync(path).isDirectory()) return sources(path);
    return path.endsWith(".ts") ? [path] : [];
  });
}

test("index.ts files only export", () => {
  for (const path of sources(join(root, "packages"))) {
    if (!path.endsWith("/index.ts")) continue;
    const code = readFileSync(path, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
    const statements = code
      .split(";")
      .map((part) => part.trim())
      .filter((part) => part !== "");
    for (const statement of statements) assert.match(statement, /^export /, `${path}: ${statement.slice(0, 60)}`);
  }
});

test(`logic files stay under ${LIMITS.linesPerFile} lines`, () => {
  const long = ["packages", "apps", "tools", "tests", "benchmarks"]
    .flatMap((folder) => sources(join(root, folder)))
    .filter((path) => !path.includes(".generated.") && !path.includes("table"))
    .filter((path) => readFileSync(path, "utf8").split("\n").length > LIMITS.linesPerFile);
  assert.deepEqual(long, []);
});

test(`at most ${LIMITS.runTimePackages} run-time packages, none with an install script`, () => {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean; link?: boolean; hasInstallScript?: boolean; optional?: boolean }>;
  };
  const runTime = Object.entries(lock.packages).filter(
    ([path, entry]) => path.includes("node_modules/") && entry.dev !== true && entry.link !== true,
  );
  assert.ok(runTime.length > 0, "the lock file has no run-time packages: the filter is broken");
  assert.ok(runTime.length <= LIMITS.runTimePackages, `${runTime.length} run-time packages`);
  assert.deepEqual(
    runTime.filter(([, entry]) => entry.hasInstallScript === true && entry.optional !== true).map(([path]) => path),
    [],
  );
});
