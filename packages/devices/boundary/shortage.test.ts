// A system without descriptors, processes or memory for another process: Node throws some of it, and tells the rest by an event.
import assert from "node:assert/strict";
import childProcess, { ChildProcess } from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
import { test, type TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { fromUtf8, toUtf8 } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import { launchUnconfined, superviseBoundary } from "@casemate/devices/boundary";

const entry = `${import.meta.dirname}/guest/echo.testguest.ts`;
const options = { entry, secureHeapBytes: 0, backoffMs: { first: 1, most: 2 }, onStart: () => Promise.resolve() };

const refusal = (code: string): Error => Object.assign(new Error(`spawn node ${code}`), { code, syscall: "spawn" });

/** A child as Node hands it out then: without a pid, without streams. */
function stillborn(code: string): ChildProcess {
  const child = new ChildProcess();
  process.nextTick(() => child.emit("error", refusal(code)));
  return child;
}

/** From now until `end`, no process is started. */
function shortOf(
  t: TestContext,
  refuse: () => ChildProcess,
): { readonly tries: () => number; readonly end: () => void } {
  let tries = 0;
  const { spawn } = childProcess;
  childProcess.spawn = (() => {
    tries += 1;
    return refuse();
  }) as unknown as typeof spawn;
  syncBuiltinESMExports();
  const end = (): void => {
    childProcess.spawn = spawn;
    syncBuiltinESMExports();
  };
  t.after(end);
  return { tries: () => tries, end };
}

const thrown = (code: string) => (): never => {
  throw refusal(code);
};
const told = (code: string) => (): ChildProcess => stillborn(code);

const WAYS = [
  ["EMFILE", told("EMFILE"), /no free file descriptor \(EMFILE\)/],
  ["ENFILE", told("ENFILE"), /system has no free file descriptor \(ENFILE\)/],
  ["EAGAIN", told("EAGAIN"), /no more processes.*\(EAGAIN\)/],
  ["EAGAIN, thrown", thrown("EAGAIN"), /no more processes.*\(EAGAIN\)/],
  ["ENOMEM", thrown("ENOMEM"), /not enough memory \(ENOMEM\)/],
] as const;

for (const [what, refuse, message] of WAYS) {
  test(`a first start without means (${what}) is refused with what is missing and what to do`, async (t) => {
    shortOf(t, refuse);
    const refused = (error: unknown): boolean =>
      isCasemateError(error) && error.code === "UNAVAILABLE" && message.test(error.message) && error.hint !== undefined;
    await assert.rejects(superviseBoundary(options), refused);
    await assert.rejects(launchUnconfined({ entry, channels: 1, environment: {} }), refused);
  });

  test(`a process that dies while there are no means for another (${what}) is replaced once there are`, async (t) => {
    const lines: string[] = [];
    const supervised = await superviseBoundary({ ...options, log: (line) => lines.push(line) });
    t.after(() => supervised.stop());
    const shortage = shortOf(t, refuse);
    process.kill(supervised.current?.pid ?? assert.fail("not running"), "SIGKILL");
    // More often than a process that fails to start by its own fault is given.
    while (shortage.tries() < 20) await turn();
    assert.equal(supervised.state, "restarting");
    assert.match(supervised.reason?.message ?? "", message);
    await assert.rejects(supervised.channel.request(1, toUtf8("")), { code: "UNAVAILABLE", retryable: true, message });
    assert.equal(lines.filter((line) => line.startsWith("restart failed")).length, 1, "said once");

    shortage.end();
    while (supervised.current === undefined) await turn();
    assert.equal(supervised.reason, undefined);
    assert.equal(fromUtf8(await supervised.channel.request(1, toUtf8("back"))), "back");
  });
}

test("what waits for the next process is told of a shortage at once", async (t) => {
  const supervised = await superviseBoundary(options);
  t.after(() => supervised.stop());
  const shortage = shortOf(t, told("EMFILE"));
  process.kill(supervised.current?.pid ?? assert.fail("not running"), "SIGKILL");
  while (supervised.current !== undefined) await turn();
  await assert.rejects(supervised.channel.request(1, toUtf8("")), { code: "UNAVAILABLE" });
  shortage.end();
});

test("a shortage that is met while a new process is brought to work counts as one", async (t) => {
  let starts = 0;
  const supervised = await superviseBoundary({
    ...options,
    onStart: () => (++starts === 1 || starts > 12 ? Promise.resolve() : Promise.reject(refusal("EMFILE"))),
  });
  t.after(() => supervised.stop());
  process.kill(supervised.current?.pid ?? assert.fail("not running"), "SIGKILL");
  while (starts <= 12 || supervised.current === undefined) await turn();
  assert.equal(fromUtf8(await supervised.channel.request(1, toUtf8("back"))), "back");
});

test("a supervisor that waits for means can be stopped", async (t) => {
  const supervised = await superviseBoundary(options);
  const shortage = shortOf(t, told("EMFILE"));
  process.kill(supervised.current?.pid ?? assert.fail("not running"), "SIGKILL");
  while (shortage.tries() < 3) await turn();
  await supervised.stop();
  assert.equal(supervised.state, "stopped");
});

test("a program that is not there is said as that, and is no shortage", async (t) => {
  shortOf(t, told("ENOENT"));
  await assert.rejects(superviseBoundary(options), { code: "DEVICE_FAILED", message: /cannot be started: .*ENOENT/ });
});

test("a supervisor is stopped while a process is being launched, and leaves none", async () => {
  const supervised = await superviseBoundary({ ...options, backoffMs: { first: 0, most: 1 } });
  const { spawn } = childProcess;
  const begun = Promise.withResolvers<ChildProcess>();
  childProcess.spawn = ((...given: Parameters<typeof spawn>) => {
    const child = spawn(...given);
    begun.resolve(child);
    return child;
  }) as unknown as typeof spawn;
  syncBuiltinESMExports();
  process.kill(supervised.current?.pid ?? assert.fail("not running"), "SIGKILL");
  const child = await begun.promise;
  childProcess.spawn = spawn;
  syncBuiltinESMExports();
  const gone = new Promise((resolve) => child.once("exit", resolve));
  await supervised.stop();
  await gone;
  assert.equal(supervised.state, "stopped");
});
