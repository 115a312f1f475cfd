import assert from "node:assert/strict";
import { test } from "node:test";
import type { Device } from "@casemate/devices/contract";
import { softwareDevice, temporaryKeyring } from "@casemate/testkit/fakes";

test("a device that comes while the server runs is watched like those of the start, and one that goes is not", async () => {
  const devices = new Map<string, Device>([["hsm-1", softwareDevice()]]);
  await using t = await temporaryKeyring({ devices });
  const states = (): unknown[] =>
    t.audit.entries
      .filter(({ action }) => action === "device.state")
      .map(({ resource, details }) => [resource, details?.["state"]]);
  const late = softwareDevice("p11-1");
  devices.set("p11-1", late);
  late.setState("locked");
  assert.deepEqual(states(), [], "nobody was told of it");
  await t.keyring.devicesChanged();
  await t.keyring.devicesChanged();
  const came = ["device/p11-1", "locked"];
  assert.deepEqual(states(), [came]);

  late.emit({ kind: "state", state: "locked", detail: "as before" });
  late.setState("operational");
  await t.keyring.getDevice(t.admin, "p11-1");
  assert.deepEqual(states(), [came, ["device/p11-1", "operational"]]);

  devices.delete("p11-1");
  await t.keyring.devicesChanged();
  late.setState("locked");
  await t.keyring.getDevice(t.admin, "hsm-1");
  assert.equal(states().length, 2);
});
