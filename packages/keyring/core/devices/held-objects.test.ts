/** What of a device's objects is in the catalogue: every version, and only what is the same key still. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Device, DeviceObject } from "@casemate/devices/contract";
import { softwareDevice, temporaryKeyring } from "@casemate/testkit/fakes";

/** A device that lists the keys that it makes, as tokens do. */
function listing() {
  const device = softwareDevice();
  const made: DeviceObject[] = [];
  const keys: Device["keys"] = {
    ...device.keys,
    async generate(spec) {
      const key = await device.keys.generate(spec);
      const { algorithm, usages, label = "" } = spec;
      made.push({ ...key, id: `0${made.length}`, label, algorithm, usages });
      return key;
    },
  };
  const overrides: Partial<Device> = { keys, objects: { list: () => Promise.resolve([...made]) } };
  const proxy = new Proxy(device, {
    get: (target, name) => (Object.hasOwn(overrides, name) ? overrides[name as "keys"] : Reflect.get(target, name)),
  });
  return { devices: new Map<string, Device>([[device.identity.id, proxy]]), id: device.identity.id, made };
}

test("every version of a key is known in its device, and none is adopted as another key", async () => {
  const { devices, id, made } = listing();
  await using t = await temporaryKeyring({ devices });
  const others = made.length;
  await t.keyring.createKey(t.admin, { name: "k", algorithm: "ec-p256" });
  await t.keyring.rotateKey(t.admin, "k");
  const own = (await t.keyring.listDeviceObjects(t.admin, id)).slice(others);
  assert.deepEqual(
    own.map(({ adoptedAs, version, replaced }) => [adoptedAs, version, replaced]),
    [
      ["k", 1, undefined],
      ["k", 2, undefined],
    ],
  );
  for (const object of own)
    await assert.rejects(t.keyring.adoptKey(t.admin, { name: "again", device: id, id: object.id }), {
      code: "ALREADY_EXISTS",
      message: `that key is in the catalogue as k, version ${object.version}`,
    });
});

test("a key that stands in the place of another is listed as that", async () => {
  const { devices, id, made } = listing();
  await using t = await temporaryKeyring({ devices });
  await t.keyring.createKey(t.admin, { name: "k", algorithm: "ec-p256" });
  const last = made.pop() as DeviceObject;
  const other = await t.device.keys.generate({ algorithm: "ec-p256", usages: ["sign"], exportable: false });
  made.push({ ...last, publicKey: other.publicKey as Uint8Array });
  const listed = (await t.keyring.listDeviceObjects(t.admin, id)).at(-1);
  assert.deepEqual([listed?.adoptedAs, listed?.version, listed?.replaced], ["k", 1, true]);
});

test("one object is adopted once, under however many names at the same moment", async () => {
  const { devices, id } = listing();
  await using t = await temporaryKeyring({ devices });
  await devices.get(id)?.keys.generate({ algorithm: "ec-p256", usages: ["sign"], exportable: false, label: "theirs" });
  const adopted = await Promise.allSettled(
    ["a", "b", "c"].map((name) => t.keyring.adoptKey(t.admin, { name, device: id, label: "theirs" })),
  );
  assert.deepEqual(
    adopted.map((outcome) => (outcome.status === "fulfilled" ? outcome.value.name : outcome.reason.code)),
    ["a", "ALREADY_EXISTS", "ALREADY_EXISTS"],
  );
});
