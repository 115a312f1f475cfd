/** PINs of tokens: a wrong one locks the token sooner or later, so none is ever tried twice without a person. */
import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kill } from "node:process";
import { test } from "node:test";
import { sealPassphrase } from "@casemate/devices/driver-hsm";
import { parsePkcs11Settings, pkcs11Options } from "@casemate/devices/driver-pkcs11";
import { toUtf8 } from "@casemate/foundation/bytes";
import { bad, failsWith, generate, sign, stateOf, until } from "./pkcs11-out-bad.ts";
import { PIN, SOFTHSM, missing, openSoftHsm, pinOf, softHsm } from "./pkcs11-out-harness.ts";

const skip = missing(SOFTHSM, "softhsm2-util") ?? false;
const skipShim = skip === false ? (missing("cc") ?? false) : skip;

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

test(
  "a PIN file that is corrected opens the token without a person, and no PIN of it is tried twice",
  { skip: skipShim },
  async (t) => {
    const shim = bad(t);
    const file = join(shim.hsm.directory, "pin");
    writeFileSync(file, "wrong-1\n", { mode: 0o644 });
    const settings = parsePkcs11Settings("p11-1", { module: "m", token: "t", pinFile: file });
    const { pin, pinMayChange } = pkcs11Options("p11-1", settings, {});
    assert.ok(pin !== undefined && pinMayChange === true);
    let asked = 0;
    const counted = (): ReturnType<typeof pin> => {
      asked++;
      return pin();
    };
    const device = await shim.open({ pin: counted, pinMayChange, healthEveryMs: 50 });
    assert.match((await device.status()).detail ?? "", /open to other users\. Run chmod 600/);
    assert.equal(shim.logins(), 0);

    chmodSync(file, 0o600);
    await until(async () => /PIN is wrong/.test((await device.status()).detail ?? ""), "the first try");
    const before = asked;
    await until(() => asked >= before + 4, "a few looks into the file");
    assert.equal(shim.logins(), 1);
    assert.match((await device.status()).detail ?? "", /PIN is wrong.*not tried again by itself/);

    writeFileSync(file, "");
    writeFileSync(file, "wrong-2\n");
    await until(() => shim.logins() === 2, "the second try");
    const again = asked;
    await until(() => asked >= again + 4, "a few looks into the file");
    assert.equal(shim.logins(), 2);

    writeFileSync(file, `${PIN}\n`);
    await until(async () => (await stateOf(device)) === "operational", "the right PIN");
    await sign(device, await generate(device));
    assert.equal(shim.logins(), 3);
  },
);

test("a token without a PIN file waits for a person", { skip }, async (t) => {
  using hsm = softHsm("t");
  const { pin: _, ...options } = { pin: undefined, id: "p" };
  const device = await openSoftHsm(hsm, "t", { ...options, pin: undefined as never });
  t.after(() => device.close());
  assert.equal(await stateOf(device), "locked");
});
