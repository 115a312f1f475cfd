/** Destroying a key in whose place somebody put another: theirs is left, and the record says so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Device, KeyRef } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import { softwareDevice, temporaryKeyring } from "@casemate/testkit/fakes";

/** A device in which every key was replaced: references with a public key fit none, and those without would destroy. */
function replacedDevice(code: "TAMPER_DETECTED" | "DEVICE_ABSENT") {
  const device = softwareDevice();
  const destroyed: KeyRef[] = [];
  const keys: Device["keys"] = {
    generate: (spec) => device.keys.generate(spec),
    publicKey: (ref) => device.keys.publicKey(ref),
    expecting: (ref, publicKey) => Uint8Array.of(...ref, ...publicKey),
    destroy(ref) {
      if (ref.length > 80) return Promise.reject(new CasemateError(code, "not what is expected"));
      destroyed.push(ref);
      return device.keys.destroy(ref);
    },
  };
  const proxy = new Proxy(device, { get: (target, name) => (name === "keys" ? keys : Reflect.get(target, name)) });
  return { device: proxy as Device, destroyed };
}

test("what stands in its place is not destroyed, the version is, and says that it was replaced", async () => {
  const { device, destroyed } = replacedDevice("TAMPER_DETECTED");
  await using t = await temporaryKeyring({ devices: new Map([[device.identity.id, device]]) });
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ec-p256" });
  const view = await t.keyring.destroyKey(t.admin, "a", { now: true });
  assert.deepEqual(destroyed, []);
  assert.equal(view.state, "destroyed");
  assert.equal(view.versions[0]?.replaced, true);
  assert.match(view.warnings.join(), /another key in its place when it was destroyed, which was left/);
  assert.deepEqual((await t.keyring.getKey(t.admin, "a")).versions, view.versions);
  assert.equal(t.audit.entries.findLast(({ action }) => action === "key.destroy-now")?.details?.["replaced"], 1);
});

test("a device that says something else keeps the key for later", async () => {
  const { device } = replacedDevice("DEVICE_ABSENT");
  await using t = await temporaryKeyring({ devices: new Map([[device.identity.id, device]]) });
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ec-p256" });
  await assert.rejects(t.keyring.destroyKey(t.admin, "a", { now: true }), {
    code: "DEVICE_ABSENT",
    message: "not what is expected",
    hint: /begun and cannot be called off; it is tried again/,
  });
  const { state, warnings } = await t.keyring.getKey(t.admin, "a");
  assert.notEqual(state, "destroyed");
  assert.match(warnings.join(), /version 1: its destruction was begun, and is tried again/);
  const begun = { code: "KEY_STATE", hint: /destruction was begun/ };
  await assert.rejects(t.keyring.restoreKey(t.admin, "a"), begun);
  const request = { scheme: "ecdsa-sha256", kind: "message", inputs: [new Uint8Array(1)] } as const;
  await assert.rejects(t.keyring.sign(t.admin, "a", request), begun);
});

test("a device counts the keys of which it still holds something", async () => {
  await using t = await temporaryKeyring();
  const { id } = t.device.identity;
  const counted = async (): Promise<number> => (await t.keyring.getDevice(t.admin, id)).keys;
  const before = await counted();
  for (const name of ["a", "b"]) await t.keyring.createKey(t.admin, { name, algorithm: "ec-p256" });
  await t.keyring.rotateKey(t.admin, "b");
  assert.equal(await counted(), before + 2);
  await t.keyring.destroyKey(t.admin, "a", { now: true });
  await t.keyring.destroyKey(t.admin, "b", { now: true, version: 1 });
  assert.equal(await counted(), before + 1);
});

test("a secret key, of which nothing is known that could differ, is destroyed by its reference", async () => {
  const { device, destroyed } = replacedDevice("TAMPER_DETECTED");
  await using t = await temporaryKeyring({ devices: new Map([[device.identity.id, device]]) });
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "aes-256", usages: ["encrypt"] });
  const view = await t.keyring.destroyKey(t.admin, "a", { now: true });
  assert.equal(destroyed.length, 1);
  assert.equal(view.versions[0]?.replaced, undefined);
});
