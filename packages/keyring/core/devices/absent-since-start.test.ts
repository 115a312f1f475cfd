import assert from "node:assert/strict";
import { test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import { softwareDevice, temporaryKeyring } from "@casemate/testkit/fakes";

const absent = (error: unknown): boolean => {
  assert.ok(isCasemateError(error), String(error));
  assert.deepEqual([error.code, error.message], ["DEVICE_ABSENT", "p11-1 is absent"]);
  return true;
};

test("a device of which nothing is known, since it was absent from the start, says so itself instead of having nothing", async () => {
  const device = softwareDevice("p11-1");
  const devices = new Map([
    ["hsm-1", softwareDevice()],
    ["p11-1", device],
  ]);
  await using t = await temporaryKeyring({ devices });
  const { keyring, admin } = t;
  for (const [name, algorithm] of [
    ["s", "ec-p256"],
    ["e", "aes-256"],
    ["m", "hmac-sha256"],
  ] as const)
    await keyring.createKey(admin, { name, algorithm, device: "p11-1" });

  device.setState("absent");
  devices.set("p11-1", { ...device, algorithms: [] });
  const data = toUtf8("data");
  const calls: readonly (() => Promise<unknown>)[] = [
    () => keyring.createKey(admin, { name: "new", algorithm: "ec-p256", device: "p11-1" }),
    () => keyring.adoptKey(admin, { name: "new", device: "p11-1", label: "theirs" }),
    () => keyring.listDeviceObjects(admin, "p11-1"),
    () => keyring.rotateKey(admin, "s"),
    () => keyring.sign(admin, "s", { kind: "message", inputs: [data] }),
    () => keyring.sign(admin, "s", { kind: "message", inputs: [data], scheme: "ecdsa-sha256" }),
    () => keyring.verify(admin, "s", { kind: "message", items: [{ input: data, signature: data }] }),
    () => keyring.encrypt(admin, "e", { items: [{ data }] }),
    () => keyring.mac(admin, "m", { inputs: [data] }),
  ];
  for (const call of calls) await assert.rejects(call(), absent, String(call));
  assert.equal(t.audit.entries.at(-1)?.outcome, "DEVICE_ABSENT");

  // What no device of any kind could do is refused as ever.
  const never = keyring.createKey(admin, { name: "new", algorithm: "ec-p256", usages: ["encrypt"], device: "p11-1" });
  await assert.rejects(never, (error) => isCasemateError(error) && error.code === "BAD_REQUEST");
  // Without a device's name those that are there decide; the refusal names the others.
  const anywhere = keyring.createKey(admin, { name: "new", algorithm: "ml-kem-768" });
  await assert.rejects(
    anywhere,
    (error) => isCasemateError(error) && error.code === "NOT_SUPPORTED" && error.hint?.includes("p11-1") === true,
  );
});
