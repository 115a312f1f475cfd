import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { nativeCalls } from "@casemate/foundation/ffi";
import { CasemateError } from "@casemate/foundation/errors";
import { fromUtf8, toUtf8 } from "@casemate/foundation/bytes";
import { launchBoundary, type BoundaryProcess, type LaunchOptions } from "@casemate/devices/boundary";

const entry = `${import.meta.dirname}/guest/echo.testguest.ts`;

async function start(t: TestContext, options: Partial<LaunchOptions> = {}): Promise<BoundaryProcess> {
  const boundary = await launchBoundary({ entry, secureHeapBytes: 0, ...options });
  t.after(() => boundary.stop());
  return boundary;
}

test("many requests share the channel and each gets its own answer", async (t) => {
  const { channel } = await start(t);
  const answers = await Promise.all(
    Array.from({ length: 500 }, (_, i) => channel.request(1 + (i % 2), toUtf8(`request ${i}`))),
  );
  assert.deepEqual(
    answers.map(fromUtf8),
    answers.map((_, i) => `request ${i}`),
  );
  assert.equal(channel.inFlight, 0);
});

test("a body of any size up to the limit arrives whole, and a larger one is refused before it is sent", async (t) => {
  const { channel } = await start(t);
  for (const size of [0, 1, 65_535, 65_536, 1_000_003, 16 * 1024 * 1024 - 5]) {
    const body = Buffer.alloc(size, size % 251);
    assert.ok(body.equals(await channel.request(1, body)), `${size} bytes`);
  }
  await assert.rejects(channel.request(1, Buffer.alloc(16 * 1024 * 1024 - 4)), { code: "TOO_LARGE" });
  await assert.rejects(channel.request(7, Buffer.alloc(0)), { code: "TOO_LARGE" });
  assert.equal(fromUtf8(await channel.request(1, toUtf8("still there"))), "still there");
});

test("an error crosses the channel with code, message, hint and details", async (t) => {
  const { channel } = await start(t);
  await assert.rejects(
    channel.request(3, toUtf8("")),
    new CasemateError("KEY_STATE", "the key is deactivated", {
      hint: "Use a newer version.",
      details: { state: "deactivated", version: 3, ratio: 0.5, retired: true },
    }),
  );
});

test("an unexpected error becomes INTERNAL and keeps its text, which may quote input, inside", async (t) => {
  const lines: string[] = [];
  const { channel } = await start(t, { log: (line) => lines.push(line) });
  await assert.rejects(channel.request(6, toUtf8("hunter2")), (error: Error) => {
    assert.ok(error instanceof CasemateError && error.code === "INTERNAL");
    assert.ok(!error.message.includes("hunter2"));
    return true;
  });
  await channel.request(1, toUtf8(""));
  assert.ok(!lines.join("\n").includes("hunter2"), lines.join("\n"));
});

test("a request that gets no answer ends with TIMEOUT and the channel goes on", async (t) => {
  const { channel } = await start(t);
  await assert.rejects(channel.request(4, toUtf8(""), { timeoutMs: 20 }), { code: "TIMEOUT" });
  assert.equal(fromUtf8(await channel.request(2, toUtf8("next"), { timeoutMs: 5_000 })), "next");
});

test("everything in flight rejects DEVICE_RESTARTED when the process ends, and so does every later request", async (t) => {
  const boundary = await start(t);
  const waiting = [boundary.channel.request(4, toUtf8("")), boundary.channel.request(4, toUtf8(""))];
  boundary.channel.request(5, toUtf8("")).catch(() => undefined);
  for (const promise of waiting) await assert.rejects(promise, { code: "DEVICE_RESTARTED", retryable: true });
  assert.deepEqual(await boundary.exited, { code: 9, signal: null });
  await assert.rejects(boundary.channel.request(1, toUtf8("")), { code: "DEVICE_RESTARTED" });
});

test("the guest learns its seed, descriptors and secure heap, and nothing of the host's environment", async (t) => {
  const { channel } = await start(t, {
    testSeed: Buffer.from("00ff", "hex"),
    secureHeapBytes: 65_536,
    descriptors: [2],
  });
  assert.deepEqual(JSON.parse(fromUtf8(await channel.request(8, toUtf8("")))), {
    secureHeapBytes: 65_536,
    descriptors: [4],
    testSeed: "00ff",
    env: { UV_THREADPOOL_SIZE: String(Math.max(2, availableParallelism())) },
  });
});

/** Runs a host in a process of its own and gives it `boundary`, a started echo guest. */
function hostScript(script: string): string {
  const index = JSON.stringify(`${import.meta.dirname}/index.ts`);
  return `
    import { launchBoundary } from ${index};
    const boundary = await launchBoundary({ entry: ${JSON.stringify(entry)}, secureHeapBytes: 0 });
    ${script}`;
}

test("a guest is gone after its host was killed, even when it is stuck", async (t) => {
  if (!nativeCalls().processCalls.available) return t.skip("no native calls here");
  const script = hostScript("boundary.channel.request(9, new Uint8Array()); console.log(boundary.pid);");
  const host = spawn(process.execPath, ["--no-warnings", "--input-type=module", "-e", script]);
  const [line] = (await once(host.stdout, "data")) as [Buffer];
  const pid = Number(line.toString());
  assert.ok(existsSync(`/proc/${pid}`));
  host.kill("SIGKILL");
  for (let i = 0; existsSync(`/proc/${pid}`); i++) {
    assert.ok(i < 500, "still there");
    await sleep(10);
  }
});

test("a signal to the host's process group, as Ctrl-C sends it, does not reach the guest", async (t) => {
  const boundary = await start(t);
  const group = readFileSync(`/proc/${boundary.pid}/stat`, "utf8").split(") ")[1]?.split(" ")[2];
  assert.equal(Number(group), boundary.pid);
});

test("without native calls in the host the guest starts all the same and still confines itself", (t) => {
  if (!process.allowedNodeEnvironmentFlags.has("--no-experimental-ffi")) return t.skip("this Node has no node:ffi");
  const script = hostScript(
    "console.log(JSON.stringify([boundary.isolation, [...await boundary.channel.request(1, Buffer.of(7))]])); await boundary.stop();",
  );
  const run = spawnSync(
    process.execPath,
    ["--no-warnings", "--no-experimental-ffi", "--input-type=module", "-e", script],
    { encoding: "utf8", timeout: 20_000 },
  );
  assert.equal(run.status, 0, run.stderr);
  const [isolation, answer] = JSON.parse(run.stdout) as [{ step: string; holds: boolean }[], number[]];
  assert.deepEqual(answer, [7]);
  if (!nativeCalls().seccomp.available) return;
  const holds = (step: string): boolean | undefined => isolation.find((found) => found.step === step)?.holds;
  assert.equal(holds("cannot open a file"), true);
  assert.equal(holds("cannot use an io_uring made earlier"), false, "what is missing is said");
});

test("a descriptor that the host itself inherited goes no further; where that cannot be had, the report says so", (t) => {
  if (!nativeCalls().processCalls.available) return t.skip("no native calls here");
  const file = openSync(import.meta.filename, "r");
  t.after(() => closeSync(file));
  const script = `
    import { fstatSync } from "node:fs";
    import { launchBoundary } from ${JSON.stringify(`${import.meta.dirname}/index.ts`)};
    const entry = ${JSON.stringify(entry)};
    const boundary = await launchBoundary({ entry, secureHeapBytes: 0, descriptors: [40] });
    const files = Buffer.from(await boundary.channel.request(10, new Uint8Array())).toString();
    const { holds } = boundary.isolation.find(({ step }) => step === "no foreign descriptors");
    console.log(fstatSync(40).isFile(), files, holds);
    await boundary.stop();`;
  const stdio = Array.from({ length: 41 }, (_, fd) =>
    fd === 40 ? file : fd < 3 ? ("pipe" as const) : ("ignore" as const),
  );
  const run = (flag: string): string => {
    const args = ["--no-warnings", flag, "--input-type=module", "-e", script];
    const { stdout, stderr } = spawnSync(process.execPath, args, { stdio, encoding: "utf8", timeout: 20_000 });
    return stdout === "" ? stderr : stdout;
  };
  assert.equal(run("--experimental-ffi"), "true 4 true\n");
  assert.equal(run("--no-experimental-ffi"), "true 4,40 false\n");
});
