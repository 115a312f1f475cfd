/** A module that says something else than what it did: nothing wrong is passed on as good, and no PIN tried on and on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CipherScheme, NewKey } from "@casemate/devices/contract";
import { isCasemateError, type ErrorCode } from "@casemate/foundation/errors";
import { failsWith, generate, sign, stateOf, until } from "./pkcs11-out-bad.ts";
import { pinOf } from "./pkcs11-out-harness.ts";
import { liar, make, one, skipLiar as skip } from "./pkcs11-out-liar.ts";

test("a plaintext of a length that it cannot have is a failure of the token", { skip }, async (t) => {
  const module = liar(t);
  const device = await module.open();
  const [aes, rsa] = [await make(device, "aes-256", "encrypt"), await make(device, "rsa-2048", "encrypt")];
  const schemes: readonly (readonly [CipherScheme, NewKey, readonly number[], ErrorCode])[] = [
    ["aes-gcm", aes, [0, 3, 99, 101, 10 ** 10], "DEVICE_FAILED"],
    ["aes-ctr", aes, [0, 3, 99], "DEVICE_FAILED"],
    // Where the length hangs on the padding, it must not be told from other wrong ciphertexts.
    ["aes-cbc", aes, [0, 3, 95, 112], "DECRYPT_FAILED"],
    ["rsa-oaep-sha1", rsa, [215, 256], "DECRYPT_FAILED"],
  ];
  const data = new Uint8Array(100).fill(1);
  for (const [scheme, { ref }, lengths, code] of schemes) {
    const sealed = await one(device.cipher?.encrypt(ref, scheme, [{ data }]));
    assert.ok(!isCasemateError(sealed));
    for (const length of lengths) {
      module.say("decrypt", "l", length);
      const answer: unknown = await one(device.cipher?.decrypt(ref, scheme, [{ data: sealed }]));
      assert.ok(isCasemateError(answer) && answer.code === code, `${scheme} ${length}: ${String(answer)}`);
    }
    assert.deepEqual(await one(device.cipher?.decrypt(ref, scheme, [{ data: sealed }])), data);
  }
});

test(
  "a decryption that the token failed to do is no damaged ciphertext; what may be about the ciphertext all looks the same",
  { skip },
  async (t) => {
    const module = liar(t);
    const device = await module.open();
    const { ref } = await make(device, "aes-256", "encrypt");
    const sealed = await one(device.cipher?.encrypt(ref, "aes-gcm", [{ data: new Uint8Array(10) }]));
    assert.ok(!isCasemateError(sealed));
    const decrypted = async (rv: number): Promise<string> => {
      module.say("decrypt", "r", rv, { count: 2 });
      const answer: unknown = await one(device.cipher?.decrypt(ref, "aes-gcm", [{ data: sealed }]));
      module.truth();
      assert.ok(isCasemateError(answer), `${rv.toString(16)}: ${String(answer)}`);
      return `${answer.code} ${answer.message}`;
    };
    const damaged = await decrypted(0x40);
    assert.match(damaged, /^DECRYPT_FAILED/);
    for (const rv of [0x05, 0x06, 0x30, 0x20, 0x21, 0x41, 0xc0, 0x150, 0x80001234])
      assert.equal(await decrypted(rv), damaged, `0x${rv.toString(16)}`);
    for (const [rv, code] of [
      [0x02, /^DEVICE_FAILED/],
      [0x31, /^DEVICE_FULL/],
      [0x200, /^FORBIDDEN/],
      [0xa3, /^PIN_LOCKED/],
    ] as const)
      assert.match(await decrypted(rv), code, `0x${rv.toString(16)}`);
    module.say("decrypt", "r", 0xb3, { count: 2 });
    await assert.rejects(
      async () => device.cipher?.decrypt(ref, "aes-gcm", [{ data: sealed }]),
      failsWith("DEVICE_ABSENT"),
    );
  },
);

test("a wrapping of a length that it cannot have is none", { skip }, async (t) => {
  const module = liar(t);
  const device = await module.open();
  const kek = await make(device, "aes-256", "wrap");
  for (const [algorithm, usage, lengths] of [
    ["aes-256", "encrypt", [0, 3, 32, 48, 10 ** 8]],
    ["hmac-sha256", "mac", [0, 3, 16]],
    ["rsa-2048", "sign", [0, 3, 256, 260]],
  ] as const) {
    const { ref } = await make(device, algorithm, usage, true);
    for (const length of lengths) {
      module.say("wrapKey", "l", length);
      await assert.rejects(
        async () => device.wrap?.export(kek.ref, "aes-kwp", ref),
        failsWith("DEVICE_FAILED", /no wrapping of this key/),
        `${algorithm} ${length}`,
      );
    }
    assert.ok(((await device.wrap?.export(kek.ref, "aes-kwp", ref))?.length ?? 0) >= 40);
  }
});

test("random bytes and data keys that the token did not make are none", { skip }, async (t) => {
  const module = liar(t);
  const device = await module.open();
  const { ref } = await make(device, "aes-256", "encrypt");
  const zeros = failsWith("DEVICE_FAILED", /zeros as random bytes/);
  for (const [length, skipped] of [
    [16, 0],
    [2000, 0],
    [2000, 1],
    [1024, 0],
    [1025, 0],
  ] as const) {
    module.say("generateRandom", "r", 0, { skipped });
    await assert.rejects(async () => device.random(length), zeros);
  }
  module.say("generateRandom", "r", 0);
  await assert.rejects(async () => device.dataKeys?.generate(ref, { count: 1, bytes: 32, plaintext: true }), zeros);
  assert.equal((await device.dataKeys?.generate(ref, { count: 2, bytes: 32, plaintext: true }))?.length, 2);
});

test("an object that is named twice is one", { skip }, async (t) => {
  const module = liar(t);
  const device = await module.open();
  const key = await generate(device);
  await device.close();
  const again = await module.open();
  module.say("findObjects", "d", 0, { count: -1 });
  await sign(again, key);
  assert.equal((await again.objects?.list())?.length, 1);
});

test("an ECDSA signature of a length that it cannot have is none", { skip }, async (t) => {
  const module = liar(t);
  const device = await module.open();
  const { ref } = await generate(device);
  const signing = (): Promise<unknown> =>
    one(device.sign?.sign(ref, "ecdsa-sha256", "digest", [new Uint8Array(32)]) as Promise<readonly unknown[]>);
  for (const length of [0, 2, 32, 62, 63, 66, 96, 132]) {
    module.say("sign", "l", length);
    const answer = await signing();
    assert.ok(isCasemateError(answer) && answer.code === "DEVICE_FAILED", `${length}: ${String(answer)}`);
  }
  assert.ok((await signing()) instanceof Uint8Array);
});

test("one bad signature is a failure, and no other key in its place", { skip }, async (t) => {
  const module = liar(t);
  const device = await module.open();
  const { ref, publicKey } = await generate(device);
  const expected = device.keys.expecting?.(ref, publicKey as Uint8Array) as Uint8Array;
  await device.close();
  for (const [length, code] of [
    [3, "DEVICE_FAILED"],
    [96, undefined],
  ] as const) {
    const fresh = await module.open();
    module.say("sign", "l", length);
    const signing = async (): Promise<unknown> =>
      one(fresh.sign?.sign(expected, "ecdsa-sha256", "digest", [new Uint8Array(32)]));
    if (code === undefined) assert.ok((await signing()) instanceof Uint8Array);
    else await assert.rejects(signing, failsWith(code));
    module.truth();
    assert.ok((await signing()) instanceof Uint8Array);
    await fresh.close();
  }
});

test(
  "a PIN of which the token does not say whether it is right is tried twice, and then left to a person",
  { skip },
  async (t) => {
    const module = liar(t);
    for (const [mode, value] of [
      ["r", 0x05],
      ["r", 0x100],
      ["K", 0],
    ] as const) {
      module.say("login", mode, value, { count: -1 });
      const before = module.calls("login");
      const device = await module.open();
      await until(async () => (await stateOf(device)) === "locked", `giving up: ${mode} ${value}`);
      assert.equal(module.calls("login") - before, 2);
      assert.match((await device.status()).detail ?? "", /tried 2 times, and is not tried again by itself/);
      module.truth();
      await device.close();
    }
  },
);

test("a PIN that was right once is tried again when the token comes back with a failure", { skip }, async (t) => {
  const module = liar(t);
  const device = await module.open();
  const key = await generate(device);
  const before = module.calls("login");
  module.say("login", "r", 0x05, { count: 3 });
  process.kill((await device.status()).pid as number, "SIGKILL");
  await until(
    async () => module.calls("login") >= before + 4 && (await stateOf(device)) === "operational",
    "coming back",
  );
  await sign(device, key);
});

test(
  "a PIN that was refused is not tried again, though the token does not say how many tries are left",
  { skip },
  async (t) => {
    const module = liar(t);
    const probe = await module.open();
    await probe.close();
    const infos = module.calls("getTokenInfo");
    const device = await module.open({ pin: pinOf("wrong-pin-1"), pinMayChange: true, healthEveryMs: 50 });
    const perLogin = module.calls("getTokenInfo") - infos;
    assert.equal(await stateOf(device), "locked");
    await device.close();
    const before = module.calls("login");
    module.say("getTokenInfo", "r", 0xe0, { skipped: perLogin - 1, count: 1 });
    const silent = await module.open({ pin: pinOf("wrong-pin-1"), pinMayChange: true, healthEveryMs: 50 });
    assert.equal(await stateOf(silent), "locked");
    await until(() => module.calls("login") > before, "a login");
    assert.equal(module.calls("login") - before, 1);
  },
);
