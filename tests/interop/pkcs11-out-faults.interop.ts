/** What a maker's module and an HSM can do wrong: crash, stall, vanish, refuse. The server must only ever see errors. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kill } from "node:process";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Device, DeviceEvent, NewKey } from "@casemate/devices/contract";
import { sealPassphrase } from "@casemate/devices/driver-hsm";
import type { Pkcs11Options } from "@casemate/devices/driver-pkcs11";
import { toUtf8 } from "@casemate/foundation/bytes";
import { isCasemateError, type ErrorCode } from "@casemate/foundation/errors";
import { PIN, SOFTHSM, missing, openSoftHsm, pinOf, softHsm, type SoftHsm } from "./pkcs11-out-harness.ts";

const skip = missing(SOFTHSM, "softhsm2-util") ?? false;
const skipShim = skip === false ? (missing("cc") ?? false) : skip;
const DIGEST = new Uint8Array(32).fill(7);

const failsWith =
  (code: ErrorCode, message: RegExp = /./) =>
  (error: unknown): boolean => {
    assert.ok(isCasemateError(error), String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };

interface Bad {
  readonly hsm: SoftHsm;
  /** What the module does at its next calls; `-` is well. */
  act(action: string): void;
  readonly logins: () => number;
  readonly initializations: () => number;
  open(more?: Partial<Pkcs11Options>): Promise<Device>;
}

/** SoftHSM behind a module that misbehaves on demand. */
function bad(t: TestContext): Bad {
  const hsm = softHsm("t");
  t.after(() => hsm[Symbol.dispose]());
  const [library, control, counts] = ["shim.so", "control", "counts"].map((name) => join(hsm.directory, name)) as [
    string,
    string,
    string,
  ];
  const source = join(import.meta.dirname, "pkcs11-out-shim.c");
  const built = spawnSync("cc", ["-shared", "-fPIC", "-O1", "-w", "-o", library, source, "-ldl"], { encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);
  writeFileSync(control, "-");
  const counted = (what: string): number =>
    existsSync(counts)
      ? readFileSync(counts, "utf8")
          .split("\n")
          .filter((line) => line === what).length
      : 0;
  return {
    hsm,
    act: (action) => writeFileSync(control, action),
    logins: () => counted("login"),
    initializations: () => counted("initialize"),
    async open(more = {}) {
      const device = await openSoftHsm(hsm, "t", {
        module: library,
        environment: { ...hsm.environment, SHIM_TARGET: SOFTHSM, SHIM_CONTROL: control, SHIM_COUNTS: counts },
        ...more,
      });
      t.after(() => device.close());
      return device;
    },
  };
}

const generate = (device: Device): Promise<NewKey> =>
  device.keys.generate({ algorithm: "ec-p256", usages: ["sign"], exportable: false });

async function sign(device: Device, key: NewKey): Promise<void> {
  const [signature] = (await device.sign?.sign(key.ref, "ecdsa-sha256", "digest", [DIGEST])) ?? [];
  if (signature instanceof Error) throw signature;
  assert.ok(signature !== undefined && signature.length > 60);
}

async function until(condition: () => boolean | Promise<boolean>, what: string, ms = 10_000): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; await sleep(20)) if (await condition()) return;
  assert.fail(`${what} did not happen within ${ms} ms`);
}

const stateOf = async (device: Device): Promise<string> => (await device.status()).state;

test("a vendor host killed under load loses only what was in flight, and says so", { skip }, async (t) => {
  using hsm = softHsm("t");
  const device = await openSoftHsm(hsm, "t");
  t.after(() => device.close());
  const events: DeviceEvent[] = [];
  device.watch?.watch((event) => events.push(event));
  const key = await generate(device);
  let done = 0;
  const codes = new Set<string>();
  let stop = false;
  const load = Array.from({ length: 8 }, async () => {
    while (!stop) {
      try {
        await sign(device, key);
        done++;
      } catch (error) {
        assert.ok(isCasemateError(error), String(error));
        codes.add(error.code);
      }
    }
  });
  for (let round = 1; round <= 5; round++) {
    const before = done;
    await until(() => done > before + 50, "signing");
    const { pid } = await device.status();
    kill(pid as number, "SIGKILL");
    await until(async () => (await device.status()).counters["restarts"] === round, "a restart");
  }
  const before = done;
  await until(() => done > before + 50, "signing after the last kill");
  stop = true;
  await Promise.all(load);
  assert.deepEqual([...codes], ["DEVICE_RESTARTED"]);
  assert.ok(events.some((event) => event.kind === "state" && event.state === "absent"));
  assert.equal(events.at(-1)?.kind === "state" && events.at(-1)?.detail, "connected to t");
});

test(
  "a module that stalls gives TIMEOUT, its process is replaced, and others are answered meanwhile",
  { skip: skipShim },
  async (t) => {
    const shim = bad(t);
    const device = await shim.open({ limits: { useMs: 2000 } });
    const key = await generate(device);
    const { pid } = await device.status();
    shim.act("S");
    const stalled = sign(device, key);
    await sleep(100);
    await sign(device, key); // on another thread
    await assert.rejects(stalled, failsWith("TIMEOUT"));
    await sign(device, key);
    const status = await device.status();
    assert.notEqual(status.pid, pid);
    assert.equal(status.counters["timeouts"], 1);
    assert.throws(() => kill(pid as number, 0), { code: "ESRCH" });
  },
);

test(
  "a module that crashes or ends the process gives DEVICE_RESTARTED, and works again",
  { skip: skipShim },
  async (t) => {
    const shim = bad(t);
    const device = await shim.open();
    const key = await generate(device);
    for (const action of ["C", "X"]) {
      shim.act(action);
      await assert.rejects(sign(device, key), failsWith("DEVICE_RESTARTED"));
      await sign(device, key);
    }
  },
);

test(
  "a module that crashes or stalls at its start leaves the device absent until it does not",
  { skip: skipShim },
  async (t) => {
    const shim = bad(t);
    shim.act("i");
    const device = await shim.open({ limits: { connectMs: 400 } });
    const { state, detail } = await device.status();
    assert.equal(state, "absent");
    assert.match(detail ?? "", /did not answer/);
    await assert.rejects(generate(device), failsWith("DEVICE_ABSENT"));
    shim.act("-");
    await until(async () => (await stateOf(device)) === "operational", "coming back");
    await sign(device, await generate(device));
  },
);

test(
  "a token that is taken out is sought with growing pauses, and works when it is back",
  { skip: skipShim },
  async (t) => {
    const shim = bad(t);
    const device = await shim.open({ backoffMs: { first: 50, most: 400 } });
    const key = await generate(device);
    shim.act("r");
    await assert.rejects(sign(device, key), failsWith("DEVICE_ABSENT", /CKR_DEVICE_REMOVED/));
    await until(async () => (await device.status()).detail?.includes("no token labelled") === true, "noticing");
    await assert.rejects(sign(device, key), failsWith("DEVICE_ABSENT"));
    const before = shim.initializations();
    await sleep(1500);
    const attempts = shim.initializations() - before;
    assert.ok(attempts >= 1 && attempts <= 5, `${attempts} attempts in 1.5 s`);
    shim.act("-");
    await until(async () => (await stateOf(device)) === "operational", "coming back");
    await sign(device, key);
  },
);

test(
  "a token that went away without the module's saying so is absent at the first call, whatever that is",
  { skip },
  async (t) => {
    using hsm = softHsm("t");
    const device = await openSoftHsm(hsm, "t", { healthEveryMs: 600_000 });
    t.after(() => device.close());
    const key = await generate(device);
    await sign(device, key);
    const calls: readonly (() => Promise<unknown> | undefined)[] = [
      () => sign(device, key),
      () => device.keys.publicKey(key.ref),
      () => device.objects?.list(),
      () => device.keys.destroy(key.ref),
    ];
    for (const call of calls) {
      hsm.remove();
      await assert.rejects(async () => call(), failsWith("DEVICE_ABSENT", /the token is not there/), String(call));
      hsm.restore();
      await until(async () => (await stateOf(device)) === "operational", "coming back");
      await sign(device, key);
    }
    const nowhere = await generate(device);
    await device.keys.destroy(nowhere.ref);
    await assert.rejects(sign(device, nowhere), failsWith("NOT_FOUND"));
  },
);

test(
  "a token that is sought in vain is told of once, with the reason, and once when it is back",
  { skip },
  async (t) => {
    using hsm = softHsm("t");
    const lines: string[] = [];
    const device = await openSoftHsm(hsm, "t", { log: (line) => lines.push(line) });
    t.after(() => device.close());
    const events: DeviceEvent[] = [];
    device.watch?.watch((event) => events.push(event));
    const key = await generate(device);
    hsm.remove();
    await assert.rejects(sign(device, key), failsWith("DEVICE_ABSENT"));
    await until(async () => ((await device.status()).counters["attempts"] ?? 0) >= 4, "a few attempts");
    assert.deepEqual(
      events.map((event) => event.kind === "state" && event.state),
      ["absent"],
    );
    assert.match(events[0]?.detail ?? "", /the token is not there/);
    assert.equal(lines.filter((line) => /cannot connect/.test(line)).length, 1);
    hsm.restore();
    await until(async () => (await stateOf(device)) === "operational", "coming back");
    assert.deepEqual(
      events.map((event) => event.kind === "state" && event.state),
      ["absent", "operational"],
    );
    assert.equal((await device.status()).counters["attempts"], 0);
  },
);

test("a token that is taken out while nothing happens is missed by the health check", { skip: skipShim }, async (t) => {
  const shim = bad(t);
  const device = await shim.open({ healthEveryMs: 100 });
  shim.act("r");
  await until(async () => (await stateOf(device)) === "absent", "noticing");
  shim.act("-");
  await until(async () => (await stateOf(device)) === "operational", "coming back");
});

test("a session that the token ended is opened again; a lost login is made again", { skip: skipShim }, async (t) => {
  const shim = bad(t);
  const device = await shim.open();
  const key = await generate(device);
  const { pid } = await device.status();
  shim.act("H");
  await sign(device, key);
  assert.equal((await device.status()).pid, pid, "the same process");
  shim.act("L");
  await assert.rejects(sign(device, key), failsWith("DEVICE_LOCKED", /CKR_USER_NOT_LOGGED_IN/));
  await sign(device, key);
  assert.equal(shim.logins(), 2);
});

test("an error that the token survives fails one call and nothing else", { skip: skipShim }, async (t) => {
  const shim = bad(t);
  const device = await shim.open();
  const key = await generate(device);
  const { pid } = await device.status();
  for (const [action, text] of [
    ["E", /CKR_DEVICE_ERROR \(0x30\)/],
    ["V", /0x80001234/],
  ] as const) {
    shim.act(action);
    await assert.rejects(sign(device, key), failsWith("DEVICE_FAILED", text));
    await sign(device, key);
  }
  assert.equal((await device.status()).pid, pid, "the same process");
});

test("a wrong PIN is tried once and never again by itself; a person can unlock", { skip: skipShim }, async (t) => {
  const shim = bad(t);
  let asked = 0;
  const device = await shim.open({
    pin: () => {
      asked++;
      return pinOf("wrong-pin")();
    },
  });
  const { state, detail } = await device.status();
  assert.equal(state, "locked");
  assert.match(detail ?? "", /PIN is wrong.*CKR_PIN_INCORRECT/);
  assert.ok(device.algorithms.length > 0, "what the token can do is known without its PIN");
  for (let i = 0; i < 5; i++) await assert.rejects(generate(device), failsWith("DEVICE_LOCKED", /PIN is wrong/));
  kill((await device.status()).pid as number, "SIGKILL");
  await until(async () => shim.initializations() === 2 && (await stateOf(device)) === "locked", "a new process");
  assert.equal(shim.logins(), 1);
  assert.equal(asked, 1);

  const unlock = async (pin: string): Promise<void> => {
    const challenge = await device.unlock?.challenge();
    assert.ok(challenge !== undefined);
    await device.unlock?.unlock(sealPassphrase(challenge.publicKey, toUtf8(pin)));
  };
  await assert.rejects(unlock("also-wrong"), failsWith("PIN_WRONG"));
  assert.equal(await stateOf(device), "locked");
  await unlock(PIN);
  assert.equal(await stateOf(device), "operational");
  await sign(device, await generate(device));
  assert.equal(shim.logins(), 3);
  await device.unlock?.lock();
  assert.equal(await stateOf(device), "locked");
  await assert.rejects(generate(device), failsWith("DEVICE_LOCKED"));
  await assert.rejects(device.unlock?.unlock(new Uint8Array(100)) ?? Promise.resolve(), failsWith("BAD_REQUEST"));
});

test("a token without a PIN file waits for a person", { skip }, async (t) => {
  using hsm = softHsm("t");
  const { pin: _, ...options } = { pin: undefined, id: "p" };
  const device = await openSoftHsm(hsm, "t", { ...options, pin: undefined as never });
  t.after(() => device.close());
  assert.equal(await stateOf(device), "locked");
});

test("what is no module is refused with what to do", { skip }, async (t) => {
  using hsm = softHsm("t");
  const text = join(hsm.directory, "text.so");
  writeFileSync(text, "not a library");
  const cases: readonly (readonly [Partial<Pkcs11Options>, RegExp])[] = [
    [{ module: "/nowhere/libhsm.so" }, /is not there/],
    [{ module: text }, /is not a PKCS#11 module/],
    [{ module: "/lib/x86_64-linux-gnu/libm.so.6" }, /is not a PKCS#11 module/],
    [{ addon: "/nowhere" }, /no pkcs11js package/],
    [{ addon: hsm.directory }, /no pkcs11js package/],
    [{ sessions: 0 }, /sessions/],
    [{ sessions: 33 }, /sessions/],
  ];
  for (const [more, message] of cases)
    await assert.rejects(openSoftHsm(hsm, "t", more), failsWith("CONFIG_INVALID", message), JSON.stringify(more));
  const elsewhere = await openSoftHsm(hsm, "other-token");
  t.after(() => elsewhere.close());
  const { state, detail } = await elsewhere.status();
  assert.equal(state, "absent");
  assert.match(detail ?? "", /no token labelled other-token/);
  hsm.token("other-token");
  await until(async () => (await stateOf(elsewhere)) === "operational", "the token's arrival");
});

test("two tokens of one label are not guessed between", { skip }, async () => {
  using hsm = softHsm("twin", "twin");
  await assert.rejects(openSoftHsm(hsm, "twin"), failsWith("CONFIG_INVALID", /several tokens/));
});

test("closing ends the process, also while the token is sought", { skip: skipShim }, async (t) => {
  const shim = bad(t);
  const device = await shim.open();
  const { pid } = await device.status();
  await device.close();
  assert.throws(() => kill(pid as number, 0), { code: "ESRCH" });
  await assert.rejects(generate(device), failsWith("DEVICE_ABSENT"));
  shim.act("r");
  const seeking = await shim.open();
  assert.equal(await stateOf(seeking), "absent");
  await seeking.close();
  const before = shim.initializations();
  await sleep(400);
  assert.equal(shim.initializations(), before);
});
