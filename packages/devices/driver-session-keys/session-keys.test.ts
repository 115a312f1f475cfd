import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { isCasemateError } from "@casemate/foundation/errors";
import type { IsolationStep } from "@casemate/devices/contract";
import { openSessionKeys, type SessionKeyProcess } from "./index.ts";

const entry = fileURLToPath(new URL("../virtual-session-keys/main.ts", import.meta.url));
const OPEN = { readable: true, extractable: true } as const;
const aes = (keys: SessionKeyProcess) => keys.call("generateSecret", { type: "aes", length: 16, ...OPEN });
const code = (expected: string) => (error: unknown) => isCasemateError(error) && error.code === expected;

test("nothing runs before the first key; then one process does, with nothing allowed to it", async (t) => {
  const isolation: IsolationStep[] = [];
  const keys = openSessionKeys({ entry, started: (process) => void isolation.push(...process.isolation) });
  t.after(() => keys.close());
  assert.equal(keys.pid, undefined);
  await assert.rejects(keys.call("read", { id: new Uint8Array(16) }), code("NOT_FOUND"));
  assert.equal(keys.pid, undefined, "a key that cannot be there starts nothing");
  const made = await Promise.all([aes(keys), aes(keys), aes(keys)]);
  assert.equal(new Set(made.map(({ id }) => id.toHex())).size, 3);
  assert.match(readFileSync(`/proc/${keys.pid}/cmdline`, "utf8"), /casemate: virtual-session-keys/);
  const named = (step: string) => isolation.find((found) => found.step === step);
  for (const step of ["no foreign descriptors", "Node refuses fs", "Node refuses net", "Node refuses child"])
    assert.equal(named(step)?.holds, true, step);
  assert.equal(named("system call filter, seen from outside")?.holds, true);
});

test("a process that is killed takes its keys with it, and the next key starts another one", async (t) => {
  const keys = openSessionKeys({ entry });
  t.after(() => keys.close());
  let lost = 0;
  keys.onLost(() => (lost += 1));
  const { id } = await aes(keys);
  const { id: rsa } = await keys.call("generateRsa", { bits: 1024, exponent: 65_537, ...OPEN });
  const first = keys.pid as number;
  const input = new Uint8Array(128);
  const underWay = Array.from({ length: 200 }, () => keys.call("sign", { id: rsa, scheme: "rsa-raw", input }));
  const settled = Promise.allSettled(underWay);
  process.kill(first, "SIGKILL");
  for (const outcome of await settled)
    assert.ok(outcome.status === "fulfilled" || code("DEVICE_RESTARTED")(outcome.reason), "nothing hangs");
  await assert.rejects(keys.call("read", { id }), code("NOT_FOUND"));
  assert.equal(lost, 1);
  assert.equal(keys.pid, undefined, "no key, no process");
  await aes(keys);
  assert.notEqual(keys.pid, first);
  await assert.rejects(keys.call("read", { id }), code("NOT_FOUND"), "a new process knows no old key");
});

test("16 384 small keys and more fit", async (t) => {
  const keys = openSessionKeys({ entry });
  t.after(() => keys.close());
  const ids: Uint8Array[] = [];
  for (let i = 0; i < 16; i++) {
    const made = await Promise.all(Array.from({ length: 1024 }, () => aes(keys)));
    ids.push(...made.map(({ id }) => id.slice()));
  }
  assert.equal((await keys.call("status", {})).keys, 16_384);
  const pairs = Array.from({ length: 64 }, () => keys.call("generateCurve", { curve: "prime256v1", ...OPEN }));
  await Promise.all(pairs);
  await keys.call("forget", { ids: ids.slice(0, 4096) });
  assert.equal((await keys.call("status", {})).keys, 16_384 - 4096 + 64);
});

test("closed, it answers nothing more", async () => {
  const keys = openSessionKeys({ entry });
  await aes(keys);
  await keys.close();
  await assert.rejects(aes(keys), code("DEVICE_ABSENT"));
});
