/** The README's first minute, run as it stands there by a real shell, from an empty data directory. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { REPOSITORY, environment, run, temporary, type Ran } from "./harness.ts";

const READY_MS = 30_000;
const STOP_MS = 15_000;

/** The commands of the first sh block under the heading, without their remarks. */
function script(): readonly string[] {
  const readme = readFileSync(join(REPOSITORY, "README.md"), "utf8");
  const block = /## The first minute\n+```sh\n([\s\S]*?)\n```/.exec(readme)?.[1];
  assert.ok(block !== undefined, "README.md has no block under `The first minute`");
  return block.split("\n").map((line) => line.replace(/\s+#.*$/, "").trim());
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  assert.ok(typeof address === "object" && address !== null);
  return address.port;
}

interface Started {
  readonly child: ChildProcess;
  readonly firstOutputMs: number;
  readonly readyMs: number;
  readonly text: string;
}

/** `npm start` with the options that a test needs, in a process group of its own. */
async function start(command: string, env: Readonly<Record<string, string>>): Promise<Started> {
  const begun = performance.now();
  const child = spawn("bash", ["-c", command], {
    cwd: REPOSITORY,
    env: environment(env),
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let text = "";
  let firstOutputMs = 0;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not ready within ${READY_MS} ms:\n${text}`)), READY_MS);
    const take = (part: Buffer): void => {
      text += part.toString("utf8");
      if (text.includes("Casemate starts") || text.includes("Casemate is ready")) {
        firstOutputMs ||= performance.now() - begun;
      }
      if (!text.includes("Type next")) return;
      clearTimeout(timer);
      resolve();
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.once("exit", (code) => {
      clearTimeout(timer);
      reject(new Error(`the server ended with ${code}:\n${text}`));
    });
  });
  return { child, firstOutputMs, readyMs: performance.now() - begun, text };
}

/** Ends the whole group that `start` began: npm, its shell and the server. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null) return;
  const group = -child.pid;
  const gone = new Promise((resolve) => child.once("close", resolve));
  process.kill(group, "SIGTERM");
  const timer = setTimeout(() => process.kill(group, "SIGKILL"), STOP_MS);
  await gone;
  clearTimeout(timer);
}

interface Expectation {
  readonly begins: string;
  readonly status: number;
  readonly says: RegExp;
}

/** What each command of the README must do. */
const EXPECTED: readonly Expectation[] = [
  { begins: "npx casemate key create", status: 0, says: /Key release created: ec-p256 for sign in hsm-1/ },
  { begins: "npx casemate sign", status: 0, says: /Signed with release version 1 \(ecdsa-sha256\)/ },
  { begins: "npx casemate key public", status: 0, says: /^$/ },
  { begins: "openssl dgst", status: 0, says: /Verified OK/ },
  { begins: "npx casemate key export", status: 1, says: /NOT_EXPORTABLE[\s\S]*Hint: / },
  { begins: "npx casemate audit verify", status: 0, says: /chain ok, \d+ records, checkpoint signed by hsm-1/ },
];

test("the README's first minute works as written, on an empty data directory", async (t: TestContext) => {
  using directory = temporary();
  // The commands write files where they run: a directory that looks like the repository to npx.
  copyFileSync(join(REPOSITORY, "package.json"), join(directory.path, "package.json"));
  symlinkSync(join(REPOSITORY, "node_modules"), join(directory.path, "node_modules"));
  const data = join(directory.path, "data");
  const env = { CASEMATE_DATA: data };
  const [first = "", ...commands] = script();
  assert.equal(first, "npm ci && npm start");
  assert.equal(commands.at(-1), "npm test", "the last command is this very suite, which is running");
  const steps = commands.slice(0, -1);
  assert.deepEqual(
    steps.map((step) => EXPECTED.find(({ begins }) => step.startsWith(begins))?.begins),
    EXPECTED.map(({ begins }) => begins),
    "README and test name different steps",
  );

  // Packages are installed already, and the default port may be taken.
  const server = await start(`npm start -- --listen 127.0.0.1:${await freePort()}`, env);
  t.diagnostic(
    `npm start: first output after ${server.firstOutputMs.toFixed(0)} ms, ready after ${server.readyMs.toFixed(0)} ms`,
  );
  try {
    assert.match(server.text, /hsm-1 +hsm \(virtual\) +operational/);
    assert.ok(server.text.includes(data), "the data directory is printed");
    for (const step of steps) {
      const { status, says } = EXPECTED.find(({ begins }) => step.startsWith(begins)) ?? { status: 0, says: /^/ };
      const ran: Ran = await run("bash", ["-c", step], { cwd: directory.path, env });
      if (step.startsWith("openssl") && ran.status === 127) {
        t.diagnostic("skipped: the signature is not checked by openssl, which is not installed");
        continue;
      }
      assert.equal(ran.status, status, `${step}\n${ran.stdout}${ran.stderr}`);
      const said = status === 0 ? ran.stdout : ran.stderr;
      assert.match(said, says, step);
    }
    assert.match(readFileSync(join(directory.path, "release.pem"), "utf8"), /^-----BEGIN PUBLIC KEY-----\n/);
    assert.equal(readFileSync(join(directory.path, "package.json.sig"))[0], 0x30, "a DER signature");
  } finally {
    await stop(server.child);
  }
  assert.ok(!existsSync(join(data, "casemate.sock")), "the socket is gone with the server");
});
