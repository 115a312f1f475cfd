import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fromUtf8, toUtf8 } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import { superviseBoundary, type SuperviseOptions, type SupervisedBoundary } from "@casemate/devices/boundary";

const guest = (name: string): string => `${import.meta.dirname}/guest/${name}.testguest.ts`;

async function supervise(t: TestContext, options: Partial<SuperviseOptions> = {}): Promise<SupervisedBoundary> {
  const supervised = await superviseBoundary({
    entry: guest("echo"),
    secureHeapBytes: 0,
    onStart: () => Promise.resolve(),
    ...options,
  });
  t.after(() => supervised.stop());
  return supervised;
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (holds()) return;
    await sleep(10);
  }
  assert.fail("did not happen");
}

test("kill -9 under load: what was in flight rejects DEVICE_RESTARTED, the rest is answered, nothing hangs", async (t) => {
  const exits: (string | null)[] = [];
  let started = 0;
  const supervised = await supervise(t, {
    onStart: async ({ channel }) => {
      await channel.request(1, toUtf8("state"));
      started++;
    },
    onExit: ({ signal }) => exits.push(signal),
  });
  const outcomes = { answered: 0, restarted: 0 };
  let running = true;
  const load = Array.from({ length: 32 }, async (_, worker) => {
    for (let i = 0; running; i++) {
      const text = `${worker}:${i}`;
      try {
        assert.equal(fromUtf8(await supervised.channel.request(1 + (i % 2), toUtf8(text))), text);
        outcomes.answered++;
      } catch (error) {
        assert.ok(isCasemateError(error) && error.code === "DEVICE_RESTARTED" && error.retryable, String(error));
        outcomes.restarted++;
      }
    }
  });
  for (let kills = 1; kills <= 3; kills++) {
    await sleep(20 + Math.random() * 50);
    process.kill((supervised.current ?? assert.fail("not running")).pid, "SIGKILL");
    await until(() => started === kills + 1);
  }
  running = false;
  await Promise.all(load);
  assert.deepEqual(exits, ["SIGKILL", "SIGKILL", "SIGKILL"]);
  assert.equal(supervised.restarts, 3);
  assert.ok(outcomes.answered > 100 && outcomes.restarted > 0, JSON.stringify(outcomes));
});

test("requests made between two processes wait for onStart, but not beyond their own limit", async (t) => {
  const gate = Promise.withResolvers<void>();
  let starts = 0;
  const supervised = await supervise(t, { onStart: () => (starts++ === 0 ? Promise.resolve() : gate.promise) });
  process.kill((supervised.current ?? assert.fail("not running")).pid, "SIGKILL");
  await until(() => supervised.state === "restarting");
  const early = supervised.channel.request(1, toUtf8("early"));
  await assert.rejects(supervised.channel.request(1, toUtf8(""), { timeoutMs: 10 }), { code: "TIMEOUT" });
  await until(() => starts === 2);
  assert.equal(supervised.state, "restarting");
  gate.resolve();
  assert.equal(fromUtf8(await early), "early");
});

for (const [op, what] of [
  [1, "a frame that is too long"],
  [2, "a frame that is too short"],
  [3, "a reply to a request that was not made"],
  [4, "a status that does not exist"],
  [5, "an error that ends early"],
  [6, "a second isolation report that ends early"],
  [9, "a frame cut off by the end"],
] as const) {
  test(`a guest that sends ${what} is ended and replaced`, async (t) => {
    const supervised = await supervise(t, { entry: guest("hostile") });
    const first = supervised.current?.pid;
    await assert.rejects(supervised.channel.request(op, toUtf8("")), { code: "DEVICE_RESTARTED", retryable: true });
    await until(() => supervised.state === "running" && supervised.current?.pid !== first);
    assert.equal(supervised.restarts, 1);
    assert.equal(existsSync(`/proc/${first}`), false);
  });
}

test("a first start that fails is reported with its reason and not repeated", async () => {
  let starts = 0;
  const onStart = (): Promise<void> => {
    starts++;
    return Promise.reject(new Error("no state"));
  };
  await assert.rejects(superviseBoundary({ entry: guest("echo"), secureHeapBytes: 0, onStart }), /no state/);
  assert.equal(starts, 1);
});

test("a guest that cannot load says why", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "casemate-boundary-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const entry = join(directory, "main.ts");
  writeFileSync(entry, 'throw new Error("no luck today");\n');
  await assert.rejects(
    superviseBoundary({ entry, secureHeapBytes: 0, onStart: () => Promise.resolve() }),
    (error) => isCasemateError(error) && error.code === "DEVICE_FAILED" && error.message.includes("no luck today"),
  );
});

test("restarts that keep failing come to an end, and requests then say that the device is absent", async (t) => {
  let starts = 0;
  const supervised = await supervise(t, {
    backoffMs: { first: 1, most: 2 },
    onStart: () => (starts++ === 0 ? Promise.resolve() : Promise.reject(new Error("state is gone"))),
  });
  process.kill((supervised.current ?? assert.fail("not running")).pid, "SIGKILL");
  await until(() => supervised.state === "restarting");
  await assert.rejects(supervised.channel.request(1, toUtf8("")), { code: "DEVICE_ABSENT" });
  assert.equal(supervised.state, "failed");
  await assert.rejects(supervised.channel.request(1, toUtf8("")), { code: "DEVICE_ABSENT" });
});

test("stopping ends the process for good, also while one is starting", async (t) => {
  const supervised = await supervise(t);
  const { pid } = supervised.current ?? assert.fail("not running");
  await supervised.stop();
  assert.equal(existsSync(`/proc/${pid}`), false);
  assert.equal(supervised.state, "stopped");
  await assert.rejects(supervised.channel.request(1, toUtf8("")), { code: "DEVICE_ABSENT" });

  const other = await supervise(t);
  process.kill((other.current ?? assert.fail("not running")).pid, "SIGKILL");
  await until(() => other.state === "restarting");
  await other.stop();
  assert.equal(other.state, "stopped");
  await assert.rejects(other.channel.request(1, toUtf8("")), { code: "DEVICE_ABSENT" });
});

test("a process that dies or is stopped while onStart waits for something else is noticed", async (t) => {
  const pids: number[] = [];
  const stuck = new Set([2, 4]);
  const supervised = await supervise(t, {
    onStart({ pid }) {
      pids.push(pid);
      return stuck.has(pids.length) ? new Promise(() => undefined) : Promise.resolve();
    },
  });
  const killAndAwaitStart = async (number: number): Promise<void> => {
    process.kill(pids.at(-1) ?? 0, "SIGKILL");
    await until(() => pids.length === number);
  };
  await killAndAwaitStart(2);
  await killAndAwaitStart(3); // number 2 dies while stuck
  await until(() => supervised.state === "running");
  await killAndAwaitStart(4);
  await supervised.stop(); // number 4 is stopped while stuck
  assert.equal(supervised.state, "stopped");
  for (const pid of pids) assert.equal(existsSync(`/proc/${pid}`), false);
});
