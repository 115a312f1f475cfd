/** What a module leaves in the token, or takes away, beside what it says: no key is left there unsaid, and none of somebody else's is lost. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import type { NewKey } from "@casemate/devices/contract";
import { sealPassphrase } from "@casemate/devices/driver-hsm";
import { toUtf8 } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import { failsWith, generate, sign, stateOf, until } from "./pkcs11-out-bad.ts";
import { PIN } from "./pkcs11-out-harness.ts";
import { liar, make, one, skipLiar as skip } from "./pkcs11-out-liar.ts";

test(
  "a key of whose making the token says nothing, or something else, is there once or not at all",
  { skip },
  async (t) => {
    const module = liar(t);
    const device = await module.open();
    const kek = await make(device, "aes-256", "wrap");
    const exportable = await make(device, "aes-256", "encrypt", true);
    const wrapped = await device.wrap?.export(kek.ref, "aes-kwp", exportable.ref);
    assert.ok(wrapped !== undefined);
    const secret = (): Promise<NewKey> => make(device, "aes-256", "encrypt");
    const pair = (): Promise<NewKey> => make(device, "ec-p256", "sign");
    const brought = async (): Promise<NewKey | undefined> =>
      device.wrap?.import(kek.ref, "aes-kwp", wrapped, {
        algorithm: "aes-256",
        usages: ["encrypt"],
        exportable: false,
      });
    const before = module.objects();
    let kept = 0;
    for (const [call, mode, value, making, objects] of [
      ["generateKey", "R", 0xb3, secret, 1],
      ["generateKey", "R", 0x90, secret, 1],
      ["generateKeyPair", "R", 0xb3, pair, 2],
      ["unwrapKey", "R", 0xb3, brought, 1],
      ["getAttributeValue", "r", 0xb3, secret, 1],
      ["generateKey", "R", 0x30, secret, 0],
      ["generateKeyPair", "R", 0x31, pair, 0],
      ["unwrapKey", "R", 0x30, brought, 0],
      ["getAttributeValue", "r", 0x30, secret, 0],
      ["getAttributeValue", "r", 0x31, pair, 0],
      ["generateKey", "r", 0, secret, 0],
      ["generateKey", "K", 0, secret, 0],
      ["generateKeyPair", "K", 0, pair, 0],
      ["unwrapKey", "K", 0, brought, 0],
    ] as const) {
      module.say(call, mode, value);
      const outcome = await making().then(
        () => "made",
        (error: unknown) => (isCasemateError(error) ? error.code : String(error)),
      );
      module.truth();
      await until(async () => (await stateOf(device)) === "operational", "working order");
      const what = `${call} ${mode} ${value.toString(16)}: ${outcome}`;
      if (objects > 0) assert.equal(outcome, "made", what);
      else assert.match(outcome, mode === "K" ? /^DEVICE_RESTARTED$/ : /^DEVICE_(FAILED|FULL)$/, what);
      kept += objects;
      assert.equal(module.objects(), before + kept, what);
    }
  },
);

test(
  "what the vendor host could not undo at once is undone a moment later, and what cannot be is given up, aloud",
  { skip },
  async (t) => {
    const module = liar(t);
    const lines: string[] = [];
    const device = await module.open({ log: (line) => lines.push(line) });
    const key = await generate(device);
    const before = module.objects();
    module.say("generateKey", "R", 0x30);
    // By its handle, and by its id.
    module.also("destroyObject", "r", 0x30, { count: 1 });
    await assert.rejects(make(device, "aes-256", "encrypt"), failsWith("DEVICE_FAILED"));
    assert.equal(module.objects(), before);
    assert.ok(
      lines.some((line) => /^took back a key whose making got no answer \(CKA_ID [0-9a-f]{32}\): 1 objects/.test(line)),
      lines.join("\n"),
    );

    module.say("generateKey", "K");
    module.also("destroyObject", "r", 0x30, { count: -1 });
    await assert.rejects(make(device, "aes-256", "encrypt"), failsWith("DEVICE_RESTARTED"));
    await until(async () => (await stateOf(device)) === "operational", "working order without it");
    await sign(device, key);
    assert.ok(
      lines.some((line) => /may be in the token still: .*CKR_DEVICE_ERROR/.test(line)),
      lines.join("\n"),
    );
    module.truth();
    assert.equal(module.objects(), before + 1, "it is there, and the log says so");
  },
);

test("what never got to a token is not sought in it", { skip }, async (t) => {
  const module = liar(t);
  const device = await module.open();
  const away = (): Promise<void> => until(async () => (await stateOf(device)) === "absent", "being away");
  const searches = async (meanwhile: () => Promise<void>): Promise<number> => {
    module.say("getTokenInfo", "r", 0xe0, { count: -1 });
    process.kill((await device.status()).pid as number, "SIGKILL");
    await away();
    const before = module.calls("findObjects");
    await meanwhile();
    module.truth();
    await until(async () => (await stateOf(device)) === "operational", "coming back");
    return module.calls("findObjects") - before;
  };
  const alone = await searches(() => Promise.resolve());
  let refused = 0;
  const asked = await searches(async () => {
    for (; refused < 20; refused++) {
      // oxlint-disable-next-line no-await-in-loop -- refused one after the other
      await assert.rejects(make(device, "aes-256", "encrypt"), failsWith("DEVICE_ABSENT"));
    }
  });
  assert.equal(refused, 20);
  assert.equal(asked, alone);
});

test("a key that the token only says it destroyed is not reported as gone", { skip }, async (t) => {
  const module = liar(t);
  const device = await module.open();
  const key = await generate(device);
  module.say("destroyObject", "r", 0, { count: -1 });
  await assert.rejects(device.keys.destroy(key.ref), failsWith("DEVICE_FAILED", /still has it/));
  module.truth();
  await sign(device, key);
  await device.keys.destroy(key.ref);
  await assert.rejects(sign(device, key), failsWith("NOT_FOUND"));
});

test("a key of somebody else's with the same id and label outlives the destruction of ours", { skip }, async (t) => {
  const module = liar(t);
  for (const lost of [false, true]) {
    const device = await module.open();
    const { ref } = await make(device, "aes-256", "encrypt");
    // It is used once, so that it is known by its handle.
    assert.ok(!isCasemateError(await one(device.cipher?.encrypt(ref, "aes-gcm", [{ data: new Uint8Array(1) }]))));
    const ours = (await device.objects?.list())?.at(-1);
    assert.ok(ours !== undefined);
    module.tool("--keygen", "--key-type", "AES:32", "--id", ours.id, "--label", ours.label);
    const before = module.objects();
    // The session ends in the search after it was destroyed, too.
    if (lost) module.say("findObjects", "r", 0xb3);
    await device.keys.destroy(ref);
    module.truth();
    assert.equal(module.objects(), before - 1);
    await device.close();
    module.tool("--delete-object", "--type", "secrkey", "--id", ours.id);
  }
});

test("a person's PIN is not taken for right because somebody is logged in already", { skip }, async (t) => {
  const module = liar(t);
  const kept: Uint8Array[] = [];
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const recipient = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  const keeper = {
    recipient: () => Promise.resolve(recipient),
    label: toUtf8("label"),
    keep: (pin: Uint8Array) => Promise.resolve(void kept.push(pin)),
  };
  const device = await module.open({ pin: () => Promise.resolve(undefined), keeper });
  const unlock = async (pin: string): Promise<void> => {
    const challenge = await device.unlock?.challenge();
    assert.ok(challenge !== undefined);
    await device.unlock?.unlock(sealPassphrase(challenge.publicKey, toUtf8(pin)));
  };
  // The other threads fail after the login of the first.
  module.say("getTokenInfo", "r", 0x30);
  await assert.rejects(unlock(PIN), failsWith("DEVICE_FAILED"));
  module.truth();
  await until(async () => (await stateOf(device)) === "locked", "a new process");
  await assert.rejects(unlock("wrong-pin-1"), failsWith("PIN_WRONG"));
  assert.equal(kept.length, 1);
  // A session that the token ended while it was locked is no reason to stay locked.
  module.say("login", "r", 0xb3);
  await assert.rejects(unlock(PIN), failsWith("DEVICE_ABSENT", /C_Login/));
  await until(async () => (await stateOf(device)) === "locked", "another process");
  await unlock(PIN);
  assert.equal(await stateOf(device), "operational");
});

test("a key is destroyed once, whatever becomes of the session", { skip }, async (t) => {
  const module = liar(t);
  const device = await module.open();
  const before = module.objects();
  for (const mode of ["R", "r"] as const)
    for (const algorithm of ["ec-p256", "aes-256"] as const) {
      const { ref } = await make(device, algorithm, algorithm === "aes-256" ? "encrypt" : "sign");
      await device.keys.publicKey(ref).catch(() => undefined);
      module.say("destroyObject", mode, 0xb3);
      const calls = module.calls("destroyObject");
      await device.keys.destroy(ref);
      assert.equal(module.objects(), before, `${mode} ${algorithm}`);
      assert.ok(module.calls("destroyObject") - calls <= 3);
    }
});
