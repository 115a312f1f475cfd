/** Casemate's own keys after the device that held them was zeroized: who takes over, when, and what is said until then. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Device } from "@casemate/devices/contract";
import { isCasemateError } from "@casemate/foundation/errors";
import { verifyAuditDirectory } from "@casemate/keyring/core";
import { audit, Place, softwareDevice, until, type SoftwareDevice } from "@casemate/testkit/fakes";

/** As a virtual HSM is: locked until its process starts anew. */
function staysLocked(device: SoftwareDevice): Device {
  const zeroize = {
    async zeroize() {
      await device.zeroize?.zeroize();
      device.setState("locked");
    },
  };
  return { ...device, zeroize };
}

function twoHsms(place: Place): SoftwareDevice {
  const second = softwareDevice("hsm-2");
  place.devices = new Map([
    ["hsm-1", staysLocked(place.device)],
    ["hsm-2", staysLocked(second)],
  ]);
  return second;
}

test("another device that is ready takes over both keys at once, on record and in the log", async () => {
  using place = new Place();
  twoHsms(place);
  const { keyring, admin } = await place.open();
  await keyring.createKey(admin, { name: "a", algorithm: "ed25519" });
  assert.equal((await keyring.auditCheckpoint(admin)).signedBy, "hsm-1");
  await keyring.zeroizeDevice(admin, "hsm-1");
  assert.equal(keyring.warning, undefined);
  assert.equal((await keyring.auditCheckpoint(admin)).signedBy, "hsm-2");
  await keyring.checkStorage();
  const { items } = await keyring.auditRecords(admin, { limit: 20 });
  const opened = items.find(({ action }) => action === "storage.open");
  assert.deepEqual([opened?.details["device"], opened?.details["keyed"]], ["hsm-2", true]);
  assert.ok(items.some(({ action, resource }) => action === "audit.key" && resource === "device/hsm-2"));
  assert.ok(place.said.some((line) => line.includes("a new storage key is made in hsm-2")));
  assert.ok(place.said.some((line) => line.includes("a new key in hsm-2 signs checkpoints")));
  await keyring.close();
  // The zeroized one is not needed any more.
  const again = await place.open();
  await again.keyring.checkStorage();
  assert.equal((await again.keyring.auditCheckpoint(again.admin)).signedBy, "hsm-2");
  await again.keyring.close();
  assert.equal((await verifyAuditDirectory(audit(place))).problem, undefined);
});

test("where none is ready it is a warning, and the first that is unlocked or added takes over", async () => {
  for (const comes of ["unlocked", "added"] as const) {
    using place = new Place();
    const second = twoHsms(place);
    const devices = new Map(place.devices);
    place.devices = devices;
    if (comes === "added") devices.delete("hsm-2");
    else second.setState("locked");
    const { keyring, admin } = await place.open();
    assert.equal(keyring.warning, undefined);
    assert.equal(keyring.metrics()["casemate_checkpoints_signed"], 1);
    await keyring.zeroizeDevice(admin, "hsm-1");
    assert.match(keyring.warning ?? "", /the database is not sealed.*checkpoints of the audit log are not signed/);
    assert.equal(keyring.metrics()["casemate_checkpoints_signed"], 0);
    assert.equal(keyring.alarm, undefined);
    assert.ok(place.said.some((line) => line.includes("checkpoints of the audit log are not signed")));
    await assert.rejects(
      keyring.auditCheckpoint(admin),
      (error) => isCasemateError(error) && error.code === "UNAVAILABLE" && /restarting/.test(error.hint ?? ""),
    );
    await keyring.createToken(admin, { principal: "x", roles: ["user"] });
    if (comes === "added") {
      devices.set("hsm-2", second);
      await keyring.devicesChanged();
    } else second.setState("operational");
    await until(() => keyring.warning === undefined);
    assert.equal((await keyring.auditCheckpoint(admin)).signedBy, "hsm-2");
    assert.equal(keyring.metrics()["casemate_checkpoints_signed"], 1);
    await keyring.checkStorage();
    await keyring.close();
    await (await place.open()).keyring.close();
  }
});

test("a start after a zeroization takes the first device that is ready, a first start waits for the first one", async () => {
  using fresh = new Place();
  twoHsms(fresh);
  fresh.device.setState("locked");
  const first = await fresh.open();
  assert.equal(first.keyring.sealed, true);
  assert.match(first.keyring.warning ?? "", /is locked or not attached\. Unlock it: casemate device unlock/);
  fresh.device.setState("operational");
  await until(() => first.keyring.warning === undefined);
  assert.equal(first.keyring.sealed, false);
  await first.keyring.close();

  using place = new Place();
  const second = twoHsms(place);
  second.setState("locked");
  const { keyring, admin } = await place.open();
  await keyring.zeroizeDevice(admin, "hsm-1");
  await keyring.close();
  second.setState("operational");
  const again = await place.open();
  assert.equal(again.keyring.sealed, false);
  assert.equal((await again.keyring.auditCheckpoint(again.admin)).signedBy, "hsm-2");
  await again.keyring.checkStorage();
  await again.keyring.close();
});

test("a device that cannot sign is a warning from the first checkpoint that fails until it is back", async () => {
  using place = new Place();
  const second = twoHsms(place);
  second.setState("locked");
  const { keyring, admin } = await place.open();
  await keyring.auditCheckpoint(admin);
  place.device.setState("locked");
  await assert.rejects(keyring.auditCheckpoint(admin), /hsm-1 is locked/);
  assert.match(keyring.warning ?? "", /are not signed at present: hsm-1 is locked/);
  const said = (): number => place.said.filter((line) => line.includes("not signed at present")).length;
  await assert.rejects(keyring.auditCheckpoint(admin), /hsm-1 is locked/);
  assert.equal(said(), 1, "what stays so is no news");
  place.device.setState("operational");
  await until(() => keyring.warning === undefined);
  assert.ok(place.said.includes("checkpoints of the audit log are signed again"));
  await keyring.close();
});
