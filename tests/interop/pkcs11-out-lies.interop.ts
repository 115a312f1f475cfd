/** A module that says something else than what it did: nothing wrong is passed on as good, no key is left or lost unsaid, no PIN tried on and on. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { CipherScheme, Device, KeyAlgorithm, NewKey, Usage } from "@casemate/devices/contract";
import type { Pkcs11Options } from "@casemate/devices/driver-pkcs11";
import { isCasemateError } from "@casemate/foundation/errors";
import { failsWith, generate, sign, stateOf, until } from "./pkcs11-out-bad.ts";
import { SOFTHSM, missing, openSoftHsm, pinOf, softHsm } from "./pkcs11-out-harness.ts";

const skip = missing(SOFTHSM, "softhsm2-util", "cc", "pkcs11-tool") ?? false;

/** Places in CK_FUNCTION_LIST. */
const PLACE = {
  getTokenInfo: 6,
  login: 18,
  destroyObject: 22,
  getAttributeValue: 24,
  findObjects: 27,
  decrypt: 34,
  sign: 43,
  generateKey: 58,
  generateKeyPair: 59,
  wrapKey: 60,
  unwrapKey: 61,
  generateRandom: 64,
} as const;
type Mode = "r" | "R" | "K" | "l" | "d";

interface Liar {
  open(more?: Partial<Pkcs11Options>): Promise<Device>;
  /** What is said of `count` calls of the function, after `skipped` ones; -1: of all. */
  say(call: keyof typeof PLACE, mode: Mode, value?: number, options?: { skipped?: number; count?: number }): void;
  truth(): void;
  readonly calls: (call: keyof typeof PLACE) => number;
  /** Keys that other programs see in the token. */
  readonly objects: () => number;
}

function liar(t: TestContext): Liar {
  const hsm = softHsm("t");
  t.after(() => hsm[Symbol.dispose]());
  const [library, control, counts] = ["liar.so", "control", "counts"].map((name) => join(hsm.directory, name)) as [
    string,
    string,
    string,
  ];
  const source = join(import.meta.dirname, "pkcs11-out-liar.c");
  const built = spawnSync("cc", ["-shared", "-fPIC", "-O1", "-w", "-o", library, source, "-ldl"], { encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);
  writeFileSync(control, "");
  return {
    say: (call, mode, value = 0, { skipped = 0, count = 1 } = {}) =>
      writeFileSync(control, `${PLACE[call]} ${mode} ${value.toString(16)} ${skipped} ${count}\n`),
    truth: () => writeFileSync(control, ""),
    calls: (call) =>
      existsSync(counts)
        ? readFileSync(counts, "utf8")
            .split("\n")
            .filter((line) => line === String(PLACE[call])).length
        : 0,
    objects: () => hsm.tool("--list-objects").match(/^(Private|Public|Secret) Key Object/gm)?.length ?? 0,
    async open(more = {}) {
      const device = await openSoftHsm(hsm, "t", {
        module: library,
        environment: { ...hsm.environment, LIAR_TARGET: SOFTHSM, LIAR_CONTROL: control, LIAR_COUNTS: counts },
        ...more,
      });
      t.after(() => device.close());
      return device;
    },
  };
}

const make = (device: Device, algorithm: KeyAlgorithm, usage: Usage, exportable = false): Promise<NewKey> =>
  device.keys.generate({ algorithm, usages: [usage], exportable });

/** What a device answers for one item. */
async function one<T>(answers: Promise<readonly T[]> | undefined): Promise<T> {
  const [answer] = (await answers) ?? [];
  assert.ok(answer !== undefined);
  return answer;
}

test("a plaintext of a length that it cannot have is a failure of the token", { skip }, async (t) => {
  const module = liar(t);
  const device = await module.open();
  const [aes, rsa] = [await make(device, "aes-256", "encrypt"), await make(device, "rsa-2048", "encrypt")];
  const schemes: readonly (readonly [CipherScheme, NewKey, readonly number[]])[] = [
    ["aes-gcm", aes, [0, 3, 99, 101, 10 ** 10]],
    ["aes-ctr", aes, [0, 3, 99]],
    ["aes-cbc", aes, [0, 3, 95, 112]],
    ["rsa-oaep-sha1", rsa, [215, 256]],
  ];
  const data = new Uint8Array(100).fill(1);
  for (const [scheme, { ref }, lengths] of schemes) {
    const sealed = await one(device.cipher?.encrypt(ref, scheme, [{ data }]));
    assert.ok(!isCasemateError(sealed));
    for (const length of lengths) {
      module.say("decrypt", "l", length);
      const answer: unknown = await one(device.cipher?.decrypt(ref, scheme, [{ data: sealed }]));
      assert.ok(isCasemateError(answer) && answer.code === "DEVICE_FAILED", `${scheme} ${length}: ${String(answer)}`);
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
    for (const rv of [0x05, 0x06, 0x30, 0x20, 0x21, 0x41, 0xc0, 0x80001234])
      assert.equal(await decrypted(rv), damaged, `0x${rv.toString(16)}`);
    for (const [rv, code] of [
      [0x02, /^DEVICE_FAILED/],
      [0x31, /^DEVICE_FULL/],
      [0x150, /^DEVICE_FAILED/],
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

test("random bytes and data keys that the token did not make are none", { skip }, async (t) => {
  const module = liar(t);
  const device = await module.open();
  const { ref } = await make(device, "aes-256", "encrypt");
  const zeros = failsWith("DEVICE_FAILED", /zeros as random bytes/);
  for (const length of [16, 2000]) {
    module.say("generateRandom", "r", 0, { skipped: length === 16 ? 0 : 1 });
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
