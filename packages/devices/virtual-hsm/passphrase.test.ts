import assert from "node:assert/strict";
import { test } from "node:test";
import { sealPassphrase } from "@casemate/devices/driver-hsm";
import { toUtf8 } from "@casemate/foundation/bytes";
import { isCasemateError, type ErrorCode } from "@casemate/foundation/errors";
import { MemoryFile, TestHost } from "./host.testkit.ts";
import { MAX_TRIES } from "./lifecycle.ts";

const cheap = { memoryKiB: 64, passes: 1, lanes: 1 };

const code = (expected: ErrorCode) => (error: unknown) => {
  assert.ok(isCasemateError(error), String(error));
  assert.equal(error.code, expected, error.message);
  return true;
};

async function unlock(host: TestHost, passphrase: string): Promise<void> {
  const { publicKey } = await host.call("challenge", {});
  await host.call("unlock", { sealed: sealPassphrase(publicKey, toUtf8(passphrase)) });
}

/** A device with the passphrase "correct horse" and a clock that the test moves. */
async function device(generations: Uint8Array[] = []) {
  const clock = { now: 0 };
  const host = await TestHost.start({
    root: "passphrase",
    generations,
    engine: { passphraseCost: cheap, now: () => clock.now },
  });
  return { host, clock };
}

test("the first passphrase becomes the device's own, and only it opens the device again", async () => {
  const { host } = await device();
  assert.equal((await host.call("status", {})).state, "locked");
  await unlock(host, "correct horse");
  const ref = await host.generate("ec-p256", "sign");
  const again = await device(host.generations);
  await assert.rejects(again.host.call("publicKey", { ref }), code("DEVICE_LOCKED"));
  await assert.rejects(unlock(again.host, "wrong horse"), code("PIN_WRONG"));
  await unlock(again.host, "correct horse");
  assert.equal((await again.host.call("publicKey", { ref })).bytes.length, 91);
});

test("a zeroized device has another unlock key, since it is another device", async () => {
  const { host } = await device();
  const before = await host.call("challenge", {});
  await unlock(host, "correct horse");
  assert.deepEqual((await host.call("challenge", {})).signer, before.signer);
  await host.call("zeroize", {});
  assert.notDeepEqual((await host.call("challenge", {})).signer, before.signer);
});

test("an unlock key file with something else in it is refused with its true size, not replaced", async () => {
  for (const content of [new Uint8Array(50).fill(1), new Uint8Array(50), new Uint8Array(5).fill(1)]) {
    const file = new MemoryFile();
    file.write(content);
    const host = await TestHost.start({ root: "passphrase", file });
    const { state, detail } = await host.call("status", {});
    assert.equal(state, "error");
    assert.ok(detail.includes(`the unlock key file has ${content.length} bytes, not 32`), detail);
    assert.deepEqual(file.content, content);
  }
});

test("a short passphrase is refused and the device stays new", async () => {
  const { host } = await device();
  await assert.rejects(unlock(host, "short"), code("BAD_REQUEST"));
  assert.equal(host.saves, 0);
  await unlock(host, "long enough");
});

test("locking forgets the keys until the passphrase comes again", async () => {
  const { host } = await device();
  await unlock(host, "correct horse");
  const ref = await host.generate("aes-256", "mac");
  await host.call("lock", {});
  await assert.rejects(host.call("mac", { ref, scheme: "aes-cmac", inputs: [ref] }), code("DEVICE_LOCKED"));
  await assert.rejects(unlock(host, "other horse"), code("PIN_WRONG"));
  await unlock(host, "correct horse");
  assert.equal((await host.call("mac", { ref, scheme: "aes-cmac", inputs: [ref] })).length, 1);
});

test("wrong passphrases are counted across restarts, slowed down, and at last refused for good", async () => {
  const first = await device();
  await unlock(first.host, "correct horse");
  let { generations } = first.host;
  let now = await device(generations);
  for (let tried = 1; tried <= MAX_TRIES; tried++) {
    if (tried > 3) {
      await assert.rejects(unlock(now.host, "correct horse"), code("PIN_LOCKED"), `no wait after ${tried - 1}`);
      now.clock.now += 1000 * 2 ** (tried - 1 - 3);
    }
    await assert.rejects(unlock(now.host, "wrong horse"), code("PIN_WRONG"), `try ${tried}`);
    // Killed at once: the try was counted before it was made, and the wait starts anew.
    generations = now.host.generations;
    now = await device(generations);
  }
  now.clock.now += 1e9;
  await assert.rejects(unlock(now.host, "correct horse"), code("PIN_LOCKED"));
  await now.host.call("zeroize", {});
  await unlock(now.host, "another device");
});

test("the right passphrase in time clears the count", async () => {
  const first = await device();
  await unlock(first.host, "correct horse");
  const second = await device(first.host.generations);
  for (let i = 0; i < 2; i++) await assert.rejects(unlock(second.host, "wrong horse"), code("PIN_WRONG"));
  await unlock(second.host, "correct horse");
  const third = await device(second.host.generations);
  for (let i = 0; i < 3; i++) await assert.rejects(unlock(third.host, "wrong horse"), code("PIN_WRONG"));
});

test("an unlock message works once, for its own challenge, and unchanged", async () => {
  const { host } = await device();
  const { publicKey } = await host.call("challenge", {});
  const sealed = sealPassphrase(publicKey, toUtf8("correct horse"));
  const changed = Uint8Array.from(sealed);
  changed[80] = (changed[80] ?? 0) ^ 1;
  await assert.rejects(host.call("unlock", { sealed: changed }), code("BAD_REQUEST"));
  await assert.rejects(host.call("unlock", { sealed }), code("BAD_REQUEST"), "its challenge is used up");
  const foreign = sealPassphrase(new Uint8Array(32).fill(9), toUtf8("correct horse"));
  await assert.rejects(host.call("unlock", { sealed: foreign }), code("BAD_REQUEST"));
  await unlock(host, "correct horse");
});

test("a device that wants a passphrase does not take the state of one with a key file", async () => {
  const other = await TestHost.start();
  const { host } = await device(other.generations);
  assert.equal((await host.call("status", {})).state, "error");
});

test("a key file device has nothing to unlock", async () => {
  const host = await TestHost.start();
  await assert.rejects(host.call("challenge", {}), code("NOT_SUPPORTED"));
  await assert.rejects(host.call("lock", {}), code("NOT_SUPPORTED"));
});
