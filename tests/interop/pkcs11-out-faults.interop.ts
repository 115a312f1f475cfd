/** What a maker's module and an HSM can do wrong: crash, stall, vanish, refuse. The server must only ever see errors. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { kill } from "node:process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { DeviceEvent, KeyAlgorithm, Usage } from "@casemate/devices/contract";
import type { Pkcs11Options } from "@casemate/devices/driver-pkcs11";
import { isCasemateError } from "@casemate/foundation/errors";
import { bad, failsWith, generate, sign, stateOf, until } from "./pkcs11-out-bad.ts";
import { SOFTHSM, missing, openSoftHsm, softHsm } from "./pkcs11-out-harness.ts";

const skip = missing(SOFTHSM, "softhsm2-util") ?? false;
const skipShim = skip === false ? (missing("cc") ?? false) : skip;

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
    const device = await shim.open({ limits: { useMs: 6000 } });
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
  "a login that the token ends is DEVICE_LOCKED for who finds it out; what else is in flight may try again",
  { skip: skipShim },
  async (t) => {
    const shim = bad(t);
    const device = await shim.open({ limits: { useMs: 20_000 } });
    const key = await generate(device);
    shim.act("S");
    const beside = sign(device, key).then(
      () => "signed",
      (error: unknown) => (isCasemateError(error) ? error.code : error),
    );
    await until(() => !shim.waiting(), "the first call's being in the module");
    shim.act("L");
    await assert.rejects(sign(device, key), failsWith("DEVICE_LOCKED"));
    assert.equal(await beside, "DEVICE_RESTARTED");
    await until(async () => (await stateOf(device)) === "operational", "logging in again");
    await sign(device, key);
  },
);

test(
  "a module that crashes or stalls at its start leaves the device absent until it does not",
  { skip: skipShim },
  async (t) => {
    const shim = bad(t);
    shim.act("i");
    const device = await shim.open({ limits: { connectMs: 4000 } });
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
    assert.ok(attempts <= 5, `${attempts} attempts in 1.5 s`);
    // However slow the machine is, it goes on trying.
    await until(async () => shim.initializations() > before, "another try");
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

test("what cannot be a signature, a code or a ciphertext is not passed on as one", { skip: skipShim }, async (t) => {
  const shim = bad(t);
  const device = await shim.open();
  const made = async (algorithm: KeyAlgorithm, usage: Usage): Promise<Uint8Array> =>
    (await device.keys.generate({ algorithm, usages: [usage], exportable: false })).ref;
  const [aes, opener, rsa, edwards, mac] = [
    await made("aes-256", "encrypt"),
    await made("rsa-2048", "encrypt"),
    await made("rsa-2048", "sign"),
    await made("ed25519", "sign"),
    await made("hmac-sha256", "mac"),
  ];
  const input = [Uint8Array.of(1, 2, 3)];
  for (const action of ["T", "Z"])
    for (const use of [
      () => device.sign?.sign(rsa, "rsa-pss-sha256", "message", input),
      () => device.sign?.sign(edwards, "pure", "message", input),
      () => device.mac?.mac(mac, "hmac-sha256", input),
      ...(["aes-gcm", "aes-cbc", "aes-ctr"] as const).map(
        (scheme) => () => device.cipher?.encrypt(aes, scheme, [{ data: new Uint8Array(16) }]),
      ),
      () => device.cipher?.encrypt(opener, "rsa-oaep-sha1", [{ data: new Uint8Array(16) }]),
    ]) {
      shim.act(action);
      const [answer] = (await use()) ?? [];
      assert.ok(isCasemateError(answer) && answer.code === "DEVICE_FAILED", `${action}: ${String(answer)}`);
      assert.ok(!isCasemateError((await use())?.[0]), "the next is good again");
    }
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
