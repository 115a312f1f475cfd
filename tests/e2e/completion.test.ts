/** Completion scripts parse in their shells, and really complete. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { DATA_KEY_BYTES, KEY_ALGORITHMS, USAGES, WRAP_SCHEMES } from "@casemate/devices/contract";
import { KEY_STATES, ROLES } from "@casemate/keyring/core/names";
import type { Client } from "@casemate/sdk";
import { LOG_LEVELS } from "@casemate/server/options";
import { VERBS } from "../../apps/cli/commands/index.ts";
import { SOURCES, offered } from "../../apps/cli/completion/sources.ts";
import { REPOSITORY, casemate, run, startServer, temporary } from "./harness.ts";

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

/** How each shell is asked what it would offer for a line, its script in `file`. */
const ASK: Readonly<Record<keyof typeof CHECKS, (file: string, line: string) => readonly string[]>> = {
  bash: (file, line) => [
    "-c",
    `source '${file}'; COMP_LINE='${line}'; COMP_POINT=${line.length}; _casemate; printf '%s\\n' "\${COMPREPLY[@]}"`,
  ],
  // Outside of a line editor there is no completion: what the function would offer is taken from its ways to say it.
  zsh: (file, line) => {
    const words = line.split(" ");
    return [
      "-f",
      "-c",
      `compdef() { :; }
cut=''
compset() { case $2$cur in '*,'*,*) cut="\${cur%,*}"; cut="\${cut##*=}," ;; esac; }
compadd() { print -rl -- "$cut\${(@)^\${(@P)@[-1]}}"; }
_describe() { print -rl -- "\${(@)\${(@P)@[-1]}%%:*}"; }
_files() { print -r -- "files $*"; }
source '${file}'
words=(${words.map((word) => `'${word}'`).join(" ")}); CURRENT=${words.length}
_casemate`,
    ];
  },
  fish: (file, line) => ["--no-config", "-c", `source '${file}'; complete -C '${line}'`],
};

/** Answers with what a shell offers, without descriptions, in the order of the alphabet; undefined where there is no such shell. */
async function completer(
  shell: keyof typeof CHECKS,
  directory: string,
): Promise<((line: string) => Promise<readonly string[]>) | undefined> {
  if ((await run("bash", ["-c", `command -v ${shell}`])).status !== 0) return undefined;
  const file = join(directory, `script.${shell}`);
  writeFileSync(file, (await casemate(directory, ["completion", shell])).stdout);
  const bin = join(directory, "bin");
  mkdirSync(bin, { recursive: true });
  writeFileSync(
    join(bin, "casemate"),
    `#!/bin/sh\nexec '${process.execPath}' '${join(REPOSITORY, "apps/cli/bin/casemate.mjs")}' "$@"\n`,
    { mode: 0o755 },
  );
  return async (line) => {
    const env = { CASEMATE_DATA: directory, PATH: `${bin}:${process.env["PATH"] ?? ""}` };
    const { stdout, stderr } = await run(shell, ASK[shell](file, line), { env });
    assert.equal(stderr, "", line);
    const last = line.slice(line.lastIndexOf(" ") + 1);
    const value = last.startsWith("--") && last.includes("=") ? last.slice(last.indexOf("=") + 1) : last;
    return stdout
      .split("\n")
      .map((word) => (word.split("\t", 1)[0] ?? "").replace(/^--[^=]*=/, ""))
      .filter((word) => word !== "" && word.startsWith(value))
      .toSorted();
  };
}

const SHELLS = Object.keys(CHECKS) as (keyof typeof CHECKS)[];

for (const shell of SHELLS) {
  test(`${shell} completes verbs, their sub-commands and their options`, async (t: TestContext) => {
    using directory = temporary();
    const complete = await completer(shell, directory.path);
    if (complete === undefined) return t.skip(`${shell} is not installed`);
    assert.deepEqual(await complete("casemate dev"), ["device"]);
    assert.deepEqual(await complete("casemate key ro"), ["rotate"]);
    assert.deepEqual(await complete("casemate --json key de"), ["deactivate", "decapsulate", "destroy"]);
    assert.deepEqual(await complete("casemate --data key sig"), ["sign"], "the value of an option is no verb");
    assert.deepEqual(await complete("casemate sign --sch"), ["--scheme"]);
    assert.deepEqual(await complete("casemate device add pkcs11 --mo"), ["--module"]);
  });

  test(`${shell} completes values that are one of a few`, async (t: TestContext) => {
    using directory = temporary();
    const complete = await completer(shell, directory.path);
    if (complete === undefined) return t.skip(`${shell} is not installed`);
    const values: readonly (readonly [line: string, offered: readonly string[]])[] = [
      ["casemate key create x --algorithm ml-k", KEY_ALGORITHMS.filter((name) => name.startsWith("ml-k"))],
      ["casemate key create x --use sign,", USAGES.map((usage) => `sign,${usage}`)],
      ["casemate key create x --use=k", ["kem"]],
      ["casemate key list --state ", KEY_STATES],
      ["casemate key data-keys x --bytes ", DATA_KEY_BYTES.map(String)],
      ["casemate token create ci --role ", ROLES],
      ["casemate policy explain ci key.sig", ["key.sign"]],
      ["casemate up --log-level ", LOG_LEVELS],
      ["casemate wrap x --scheme ", WRAP_SCHEMES],
      ["casemate audit list --outcome DEVICE_A", ["DEVICE_ABSENT"]],
      ["casemate completion ", SHELLS],
    ];
    for (const [line, offered] of values) assert.deepEqual(await complete(line), offered.toSorted(), line);
    const [files] = await complete(`casemate sign x --in ${directory.path}/scr`);
    assert.ok(shell === "zsh" || files === join(directory.path, `script.${shell}`), "files are no names");
  });
}

test("every shell completes names that the server knows, of the server that the line names", async (t: TestContext) => {
  using directory = temporary();
  using elsewhere = temporary();
  const server = await startServer(directory.path);
  t.after(() => server.stop());
  await casemate(directory.path, ["key", "create", "release", "--algorithm", "ec-p256"]);
  await casemate(directory.path, ["token", "create", "build", "--role", "user"]);
  await casemate(directory.path, ["policy", "set", "nights"], {
    input: 'forbid(principal == User::"night", action, resource);',
  });
  const { stdout } = await casemate(directory.path, ["token", "list", "--json"]);
  const tokens = (JSON.parse(stdout) as { readonly id: string }[]).map(({ id }) => id);
  for (const shell of SHELLS) {
    const complete = await completer(shell, directory.path);
    if (complete === undefined) {
      t.diagnostic(`${shell} is not installed`);
      continue;
    }
    const offers = async (line: string, names: readonly string[]): Promise<void> => {
      // On a busy machine half a second may be too short.
      for (let tries = 0; tries < 20 && (await complete(line)).length < names.length; tries++);
      assert.deepEqual(await complete(line), names.toSorted(), `${shell}: ${line}`);
    };
    await offers("casemate sign ", ["release"]);
    await offers("casemate key show re", ["release"]);
    await offers("casemate wrap x --wrapping-key ", ["release"]);
    await offers("casemate device lock ", ["hsm-1"]);
    await offers("casemate token revoke ", tokens);
    await offers("casemate policy set ", ["nights"]);
    await offers("casemate policy explain bu", ["build"]);
    await offers(`casemate --data ${elsewhere.path} sign r`, []);
  }
});

test("names of a server that is not there or says nothing are none, soon and without a word", async () => {
  using directory = temporary();
  const silent = { status: 0, stdout: "", stderr: "" };
  const asked = async (): Promise<object> => {
    const { status, stdout, stderr } = await casemate(directory.path, ["completion", "names", "key"]);
    return { status, stdout, stderr };
  };
  assert.deepEqual(await asked(), silent);
  const mute = createServer().listen(join(directory.path, "casemate.sock"));
  try {
    await once(mute, "listening");
    writeFileSync(join(directory.path, "admin.token"), "token\n");
    const began = performance.now();
    assert.deepEqual(await asked(), silent);
    assert.ok(performance.now() - began < 5000);
  } finally {
    mute.close();
  }
});

test("a name that a shell might take for more than a word is not offered", async () => {
  const client = {
    listDevices: () => ({
      items: ["hsm-1", "$(id)", "-rf", "a b"].map((id) => ({ identity: { id, model: "m" }, status: { state: "s" } })),
    }),
  } as unknown as Client;
  const names: string[] = [];
  for await (const { name } of offered(client, SOURCES.device)) names.push(name);
  assert.deepEqual(names, ["hsm-1"]);
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
