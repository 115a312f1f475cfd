/** Completion scripts parse in their shells, and bash's really completes. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { VERBS } from "../../apps/cli/commands/index.ts";
import { REPOSITORY, casemate, run, temporary } from "./harness.ts";

const CHECKS = { bash: ["-n"], zsh: ["-n"], fish: ["--no-execute"] } as const;

for (const [shell, flags] of Object.entries(CHECKS)) {
  test(`the completion script for ${shell} parses`, async (t: TestContext) => {
    using directory = temporary();
    const { status, stdout, stderr } = await casemate(directory.path, ["completion", shell]);
    assert.equal(status, 0, stderr);
    for (const { name } of VERBS) assert.ok(stdout.includes(name), `${name} is not completed`);
    const file = join(directory.path, "script");
    writeFileSync(file, stdout);
    const present = await run("bash", ["-c", `command -v ${shell}`]);
    if (present.status !== 0) {
      t.skip(`${shell} is not installed`);
      return;
    }
    const parsed = await run(shell, [...flags, file]);
    assert.equal(parsed.status, 0, parsed.stderr);
  });
}

test("bash completes verbs, their sub-commands and their options", async () => {
  using directory = temporary();
  const { stdout } = await casemate(directory.path, ["completion", "bash"]);
  const file = join(directory.path, "script");
  writeFileSync(file, stdout);
  const complete = async (line: string): Promise<readonly string[]> => {
    const words = line.split(" ");
    const list = words.map((word) => `'${word}'`).join(" ");
    const script = `source '${file}'; COMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _casemate; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const ran = await run("bash", ["-c", script]);
    return ran.stdout.trim().split("\n");
  };
  assert.deepEqual(await complete("casemate dev"), ["device"]);
  assert.deepEqual(await complete("casemate key ro"), ["rotate"]);
  assert.deepEqual(await complete("casemate --json key de"), ["deactivate", "destroy", "decapsulate"]);
  assert.deepEqual(await complete("casemate sign --sch"), ["--scheme"]);
  assert.deepEqual(await complete("casemate device add pkcs11 --mo"), ["--module"]);
  assert.deepEqual((await complete("casemate completion ")).slice(0, 3), ["bash", "zsh", "fish"]);
});

test("fish completes verbs, their sub-commands and their options", async (t: TestContext) => {
  if ((await run("bash", ["-c", "command -v fish"])).status !== 0) return t.skip("fish is not installed");
  using directory = temporary();
  const file = join(directory.path, "casemate.fish");
  writeFileSync(file, (await casemate(directory.path, ["completion", "fish"])).stdout);
  const complete = async (line: string): Promise<readonly string[]> => {
    const ran = await run("fish", ["--no-config", "-c", `source '${file}'; complete -C '${line}'`]);
    const words = ran.stdout.trim().split("\n");
    return words.map((word) => word.split("\t", 1)[0] ?? "");
  };
  assert.deepEqual(await complete("casemate dev"), ["device"]);
  assert.deepEqual(await complete("casemate key ro"), ["rotate"]);
  assert.deepEqual(await complete("casemate sign --sch"), ["--scheme"]);
  assert.deepEqual((await complete("casemate completion ")).toSorted(), ["bash", "fish", "zsh"]);
});

test("zsh completes verbs, their sub-commands and their options", async (t: TestContext) => {
  if ((await run("bash", ["-c", "command -v zsh"])).status !== 0) return t.skip("zsh is not installed");
  using directory = temporary();
  const file = join(directory.path, "casemate.zsh");
  writeFileSync(file, (await casemate(directory.path, ["completion", "zsh"])).stdout);
  // Outside of a line editor there is no completion: what the function would offer is taken from its two ways to say it.
  const complete = async (line: string): Promise<readonly string[]> => {
    const words = line.split(" ");
    const script = `compdef() { :; }
compadd() { [[ $1 == -a ]] && print -rl -- "\${(@P)2}"; }
_describe() { print -rl -- "\${(@)\${(@P)2}%%:*}"; }
source '${file}'
words=(${words.map((word) => `'${word}'`).join(" ")}); CURRENT=${words.length}
_casemate`;
    const ran = await run("zsh", ["-f", "-c", script]);
    return ran.stdout
      .trim()
      .split("\n")
      .filter((word) => word.startsWith(words.at(-1) ?? ""));
  };
  assert.deepEqual(await complete("casemate dev"), ["device"]);
  assert.deepEqual(await complete("casemate key ro"), ["rotate"]);
  assert.deepEqual(await complete("casemate sign --sch"), ["--scheme"]);
  assert.deepEqual((await complete("casemate completion ")).slice(0, 3), ["bash", "zsh", "fish"]);
});

test("an unknown shell is refused with those that there are", async () => {
  using directory = temporary();
  const without = await casemate(directory.path, ["completion"]);
  assert.equal(without.status, 2);
  assert.match(without.stderr, /There is: bash, /);
  const { status, stderr } = await casemate(directory.path, ["completion", "tcsh"]);
  assert.equal(status, 2);
  assert.match(stderr, /bash, zsh, fish/);
});

test("the table of verbs and the folder of verbs name the same", async () => {
  const { readdirSync } = await import("node:fs");
  const files = readdirSync(join(REPOSITORY, "apps/cli/commands"))
    .filter((name) => name.endsWith(".ts") && name !== "index.ts")
    .map((name) => name.replace(/\.ts$/, ""));
  assert.deepEqual(files.toSorted(), VERBS.map(({ name }) => name).toSorted());
  for (const { name, summary } of VERBS) assert.ok(summary.length > 0, name);
  assert.ok(readFileSync(join(REPOSITORY, "README.md"), "utf8").includes("casemate"));
});
