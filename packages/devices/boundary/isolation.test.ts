import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { fromUtf8, toUtf8 } from "@casemate/foundation/bytes";
import { nativeCalls } from "@casemate/foundation/ffi";
import { launchBoundary } from "@casemate/devices/boundary";

const escape = `${import.meta.dirname}/guest/escape.testguest.ts`;

/** By permission model, kernel filter, flag or absence; anything else may be luck. */
const REFUSALS = ["ERR_ACCESS_DENIED", "EPERM", "ERR_DLOPEN_DISABLED", "absent", "EvalError"];

test("a guest cannot open a file, socket, child, thread, addon or database, use ffi, signal or compile strings", async (t) => {
  const boundary = await launchBoundary({ entry: escape, secureHeapBytes: 0 });
  t.after(() => boundary.stop());
  const ask = async (what: string): Promise<string> => fromUtf8(await boundary.channel.request(1, toUtf8(what)));
  const attempts = JSON.parse(await ask("")) as string[];
  assert.ok(attempts.length > 20);
  for (const attempt of attempts) {
    const outcome = await ask(attempt);
    if (attempt === "signal its parent" || attempt === "change its user") {
      if (!nativeCalls().seccomp.available) continue; // only the kernel filter refuses these
    }
    assert.ok(
      REFUSALS.some((refusal) => outcome.startsWith(refusal)),
      `${attempt}: ${outcome}`,
    );
  }
  assert.equal(existsSync("/tmp/casemate-escape"), false);
});

test("every isolation step holds on this machine, or says why it does not", async (t) => {
  const boundary = await launchBoundary({ entry: escape, secureHeapBytes: 65_536 });
  t.after(() => boundary.stop());
  const { available } = nativeCalls().seccomp;
  const failed = boundary.isolation.filter(({ holds }) => !holds);
  for (const { step, detail } of failed) assert.ok(detail.length > 5, step);
  if (!available) return t.skip("no native calls here");
  const expected = process.getuid?.() === 0 ? ["memory closed to this server"] : [];
  assert.deepEqual(
    failed.map(({ step }) => step).filter((step) => step !== "secure heap locked in memory"),
    expected,
  );
});

// Run by a user without rights: once against a boundary process and once against an ordinary one of the same user.
const PROBE = `
  import { closeSync, openSync } from "node:fs";
  import { spawn } from "node:child_process";
  import { once } from "node:events";
  import { launchBoundary } from ${JSON.stringify(`${import.meta.dirname}/index.ts`)};
  const readable = (pid) => { try { closeSync(openSync("/proc/" + pid + "/mem", "r")); return true; } catch (e) { return e.code; } };
  const plain = spawn(process.execPath, ["-e", "console.log(1); setInterval(() => {}, 1000)"]);
  await once(plain.stdout, "data");
  const boundary = await launchBoundary({ entry: ${JSON.stringify(escape)}, secureHeapBytes: 0 });
  console.log(JSON.stringify({ plain: readable(plain.pid), boundary: readable(boundary.pid) }));
  plain.kill();
  await boundary.stop();
`;

test("the memory of a boundary process is closed to other processes of the same user, unlike an ordinary one's", (t) => {
  if (!nativeCalls().processCalls.available) return t.skip("no native calls here");
  const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  const run = spawnSync(process.execPath, ["--no-warnings", "--input-type=module", "-e", PROBE], {
    ...user,
    cwd: "/",
    env: {},
    encoding: "utf8",
    timeout: 30_000,
  });
  if (/EACCES|Cannot find|not found/.test(run.error?.message ?? run.stderr))
    return t.skip("user nobody cannot read the sources or run this Node");
  assert.equal(run.status, 0, run.stderr);
  const { plain, boundary } = JSON.parse(run.stdout) as { plain: boolean | string; boundary: boolean | string };
  if (plain !== true) return t.skip(`this kernel refuses it for ordinary processes too (${plain})`);
  assert.equal(boundary, "EACCES");
});
