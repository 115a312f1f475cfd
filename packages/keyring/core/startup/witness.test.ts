/** The device that signs checkpoints as a witness of the log: what is missed at a start, and what no crash may make of it. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { verifyAuditDirectory } from "@casemate/keyring/core";
import {
  audit,
  inUse,
  life,
  lived,
  Place,
  putBackBoth,
  sizes,
  tampered,
  twoDevices,
  until,
  witnessed,
} from "@casemate/testkit/fakes";

test("a clean end leaves no record that the device has not witnessed", async () => {
  using place = new Place();
  const { keyring, admin } = await place.open();
  await keyring.createKey(admin, { name: "a", algorithm: "ed25519" });
  await keyring.close();
  const { records, problem } = await verifyAuditDirectory(audit(place));
  assert.equal(problem, undefined);
  assert.equal((await witnessed(place.device)).size, records);
});

test("as many other records in place of those that were witnessed are missed", async () => {
  using place = new Place();
  await life(place, ["a"]);
  const copy = place.copy();
  await life(place, ["b"]);
  const { size } = await witnessed(place.device);
  // The older copy is made as long without the device's knowledge.
  putBackBoth(place, copy);
  const { witness: _, ...blind } = place.device;
  place.devices = new Map([["hsm-1", blind]]);
  const { keyring, admin } = await place.open();
  while (keyring.metrics()["casemate_audit_records"]! <= size) await keyring.listKeys(admin, {});
  await keyring.close();
  place.devices = new Map([["hsm-1", place.device]]);
  await assert.rejects(
    place.open(),
    tampered(new RegExp(`its first ${size} records are not those that the device hsm-1`)),
  );
});

test("a log that was given another name is missed as well", async () => {
  using place = new Place();
  const copy = await lived(place);
  putBackBoth(place, copy);
  for (const name of readdirSync(audit(place))) {
    const file = join(audit(place), name);
    if (name.startsWith("checkpoint")) rmSync(file);
    else if (name.startsWith("records-"))
      writeFileSync(file, readFileSync(file, "utf8").replace(/ log=[0-9a-f]{32} /, ` log=${"0".repeat(32)} `));
  }
  await assert.rejects(
    place.open(),
    tampered(/the audit log was replaced: the device hsm-1 has witnessed casemate-audit/),
  );
});

test("a database and a log that begin anew beside a device that has witnessed one are missed, and accepted on record", async () => {
  using place = new Place();
  await life(place, ["a"]);
  const { size } = await witnessed(place.device);
  for (const name of readdirSync(place.data)) rmSync(join(place.data, name), { recursive: true });
  place.token = "";
  await assert.rejects(place.open(), tampered(new RegExp(`hsm-1 has witnessed ${size} records .* knows of none`)));
  const { keyring, admin } = await place.open({ acceptOlderLog: true });
  const { items } = await keyring.auditRecords(admin, { principal: "owner", limit: 10 });
  assert.deepEqual(
    items.map(({ action }) => action),
    ["audit.accept"],
  );
  await keyring.close();
  await life(place);
});

test("what was accepted stays: the newer log that comes back, and the older one, are named as given up, with the numbers of both", async () => {
  using place = new Place();
  const older = await lived(place);
  const newer = place.copy("newer");
  putBackBoth(place, older);
  await (await place.open({ acceptOlderLog: true })).keyring.close();
  const accepted = place.copy("accepted");
  const { size } = await witnessed(place.device);
  for (const back of [newer, older]) {
    putBackBoth(place, back);
    const { records } = await verifyAuditDirectory(audit(place));
    const given = `put back to a state that was given up: the device hsm-1 destroyed the key that signs these ${records} records when another log was accepted, of which it has witnessed ${size} records`;
    await assert.rejects(place.open(), tampered(new RegExp(given)));
    // Found only at an unlocking, it is said with the same numbers, and again at the next start.
    place.device.setState("locked");
    const { keyring, admin } = await place.open();
    const unlocking = keyring.unlockDevice(admin, "hsm-1", new TextEncoder().encode("open"));
    await assert.rejects(unlocking, tampered(new RegExp(given)));
    await keyring.close();
    await assert.rejects(place.open(), tampered(new RegExp(given)));
  }
  putBackBoth(place, accepted);
  await life(place);
});

test("a zeroized device that held the checkpoint key alone is followed by another at once, or by the first that can sign", async () => {
  using place = new Place();
  const second = twoDevices(place);
  const { keyring, admin } = await place.open();
  assert.equal((await keyring.auditCheckpoint(admin)).signedBy, "hsm-2");
  await keyring.zeroizeDevice(admin, "hsm-2");
  assert.equal((await keyring.auditCheckpoint(admin)).signedBy, "hsm-2", "with a new key");
  // As a virtual HSM is: locked until its process starts anew.
  const zeroize = {
    async zeroize() {
      await second.zeroize?.zeroize();
      second.setState("locked");
    },
  };
  await keyring.close();
  place.devices = new Map([...place.devices, ["hsm-2", { ...second, zeroize }]]);
  const again = await place.open();
  await again.keyring.zeroizeDevice(again.admin, "hsm-2");
  assert.ok(place.said.some((line) => line.includes("are not signed")));
  second.setState("operational");
  const signed = (): Promise<string | undefined> =>
    again.keyring.auditCheckpoint(again.admin).then(
      ({ signedBy }) => signedBy,
      () => undefined,
    );
  let signer = await signed();
  for (let tries = 0; signer === undefined && tries < 200; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    signer = await signed();
  }
  assert.equal(signer, "hsm-2");
  place.devices = new Map([...place.devices, ["hsm-1", place.device]]);
  await again.keyring.close();
  const third = await place.open();
  await third.keyring.zeroizeDevice(third.admin, "hsm-2");
  assert.equal((await third.keyring.auditCheckpoint(third.admin)).signedBy, "hsm-1");
  assert.equal(third.keyring.alarm, undefined);
  await third.keyring.close();
  assert.equal((await verifyAuditDirectory(audit(place))).problem, undefined);
  await life(place);
});

test("a device that was emptied outside is not said to have witnessed anything", async () => {
  using place = new Place();
  const second = twoDevices(place);
  await life(place);
  await second.zeroize?.zeroize();
  second.setState("operational");
  await assert.rejects(
    place.open(),
    tampered(/do not belong to the device hsm-2: .* these \d+ records nor remembers any log, so it was zeroized/),
  );
  const { keyring, admin } = await place.open({ acceptOlderLog: true });
  await keyring.auditCheckpoint(admin);
  await keyring.close();
  await life(place);
});

test("accepting where there is nothing to accept changes and records nothing", async () => {
  using place = new Place();
  await lived(place);
  const before = await witnessed(place.device);
  const { keyring, admin } = await place.open({ acceptOlderLog: true });
  assert.deepEqual((await keyring.auditRecords(admin, { principal: "owner", limit: 10 })).items, []);
  await keyring.close();
  assert.equal((await witnessed(place.device)).before, before.size);
});

test("killed between the device's memory and the checkpoint's file, the next start is well and makes the checkpoint again", async () => {
  using place = new Place();
  await life(place, ["a"]);
  for (let kill = 0; kill < 3; kill++) {
    const kept = (await sizes(place)).at(-1);
    const { keyring, admin } = await place.open();
    assert.equal(keyring.alarm, undefined);
    place.device.failNext("witness.sign", new CasemateError("DEVICE_RESTARTED", "gone"), { after: true });
    await assert.rejects(keyring.auditCheckpoint(admin), /gone/);
    const lost = (await witnessed(place.device)).size;
    // What a killed process leaves: no last checkpoint is made.
    place.device.failNext("witness.logs", new CasemateError("DEVICE_RESTARTED", "gone"));
    await keyring.close();
    assert.equal((await sizes(place)).at(-1), kept);
    const again = await place.open();
    assert.equal(again.keyring.alarm, undefined);
    await again.keyring.auditCheckpoint(again.admin);
    assert.ok((await sizes(place)).includes(lost), `the checkpoint of ${lost} was made again`);
    await again.keyring.close();
  }
  const { problem, checkpoints } = await verifyAuditDirectory(audit(place));
  assert.equal(problem, undefined);
  assert.ok(checkpoints > 6);
});

test("a device that cannot save its state on a full disk signs no checkpoint, and all else goes on", async () => {
  using place = new Place();
  const { keyring, admin } = await place.open();
  await keyring.createKey(admin, { name: "a", algorithm: "ed25519" });
  place.device.failNext("witness.sign", new CasemateError("STORAGE_FULL", "the device's state was not saved"));
  await assert.rejects(
    keyring.auditCheckpoint(admin),
    (error) => isCasemateError(error) && error.code === "STORAGE_FULL",
  );
  assert.equal((await keyring.sign(admin, "a", { kind: "message", inputs: [new Uint8Array(3)] })).results.length, 1);
  assert.equal(keyring.alarm, undefined);
  assert.equal((await keyring.auditCheckpoint(admin)).size, (await witnessed(place.device)).size);
  await keyring.close();
});

test("verification that is told what the device has witnessed misses records, roots and checkpoints", async () => {
  using place = new Place();
  await life(place, ["a"]);
  await life(place);
  const [log] = (await place.device.witness?.logs()) ?? [];
  assert.ok(log !== undefined);
  const seen = { ...log, device: "hsm-1" };
  const verified = (over: Partial<typeof seen & { readonly kept: { newest: number; history: number } }>) =>
    verifyAuditDirectory(audit(place), { witness: { ...seen, ...over } });
  const problemOf = async (over: Partial<typeof seen>) => (await verified(over)).problem;
  const { before, size } = log;
  assert.ok(before > 0 && size > before);
  assert.equal(await problemOf({}), undefined);
  const rolled = await problemOf({ size: size + 1 });
  assert.match(rolled?.message ?? "", /rolled back/);
  assert.equal(rolled?.agreed, size, "the newest checkpoint that is kept");
  assert.match((await problemOf({ root: new Uint8Array(32) }))?.message ?? "", /are not those/);
  assert.match((await problemOf({ origin: "casemate-audit/other" }))?.message ?? "", /was replaced/);
  // What is beside the records says nothing against them.
  for (const [kept, left] of [
    [{ newest: before, history: before }, undefined],
    [{ newest: before - 1, history: before - 1 }, /and the newest kept is of \d+$/],
    [{ newest: 0, history: 0 }, /and none is kept$/],
    [{ newest: 0, history: size }, new RegExp(`and the file .* is gone, while the history .* up to ${size}$`)],
    [{ newest: 1, history: before }, new RegExp(`and the file .* is of 1, while the history .* up to ${before}$`)],
  ] as const) {
    const { problem: none, alarm } = await verified({ kept });
    assert.equal(none, undefined);
    if (left === undefined) assert.equal(alarm, undefined);
    else assert.match(alarm ?? "", left);
  }
  const { problem, witness } = await verifyAuditDirectory(audit(place), { witness: seen });
  assert.deepEqual([problem, witness], [undefined, { device: "hsm-1", records: log.size }]);
});

test("a directory from before there were witnesses starts, and is witnessed from its next checkpoint on", async () => {
  using place = new Place();
  const { witness: _, ...old } = place.device;
  place.devices = new Map([["hsm-1", old]]);
  await life(place, ["a"]);
  assert.equal((await witnessed(place.device)).size, 0);
  place.devices = new Map([["hsm-1", place.device]]);
  const { keyring, admin } = await place.open();
  assert.equal(keyring.alarm, undefined);
  assert.deepEqual((await keyring.getDevice(admin, "hsm-1")).witness, { supported: true });
  const { size } = await keyring.auditCheckpoint(admin);
  assert.equal((await keyring.getDevice(admin, "hsm-1")).witness.log?.records, size);
  await keyring.close();
  assert.ok((await witnessed(place.device)).size > size);
  await life(place);
});

test("a device that is no witness signs as before, and what is put back beside it is not missed", async () => {
  using place = new Place();
  const { witness: _, ...blind } = place.device;
  place.devices = new Map([["hsm-1", blind]]);
  const copy = await lived(place);
  putBackBoth(place, copy);
  const { keyring, admin } = await place.open();
  assert.deepEqual((await keyring.getDevice(admin, "hsm-1")).witness, { supported: false });
  assert.equal((await keyring.auditCheckpoint(admin)).signedBy, "hsm-1");
  await keyring.close();
});

test("a witness that is locked at the start is asked when it is unlocked, and signs then", async () => {
  using place = new Place();
  const second = twoDevices(place);
  await life(place);
  const { size } = await witnessed(second);
  assert.ok(size > 0);
  second.setState("locked");
  const { keyring, admin } = await place.open();
  await assert.rejects(
    keyring.auditCheckpoint(admin),
    (error) => isCasemateError(error) && error.code === "UNAVAILABLE",
  );
  assert.ok(place.said.some((line) => line.includes("hsm-2 has witnessed")));
  await keyring.unlockDevice(admin, "hsm-2", new TextEncoder().encode("open"));
  assert.ok((await keyring.auditCheckpoint(admin)).size > size);
  assert.equal(keyring.alarm, undefined);
  await keyring.close();
});

test("where the witness holds the storage key too and is locked at the start, the unlocking is refused, all stays sealed, and it is an alarm", async () => {
  using place = new Place();
  const copy = await lived(place);
  putBackBoth(place, copy);
  place.device.setState("locked");
  const { keyring, admin } = await place.open();
  assert.equal(keyring.alarm, undefined);
  const found = tampered(/was rolled back: the device hsm-1 has witnessed/);
  await assert.rejects(keyring.unlockDevice(admin, "hsm-1", new TextEncoder().encode("open")), found);
  assert.equal(keyring.sealed, true);
  assert.match(keyring.alarm ?? "", /was rolled back: the device hsm-1 has witnessed/);
  await assert.rejects(keyring.listKeys(admin, {}), found);
  await keyring.close();
});

test("what an unlocking found is repeated with the same words and numbers: by refusals, later starts, the verifier and the record of its acceptance", async () => {
  using place = new Place();
  const copy = await lived(place);
  putBackBoth(place, copy);
  const { records: held } = await verifyAuditDirectory(audit(place));
  const [log] = (await place.device.witness?.logs()) ?? [];
  assert.ok(log !== undefined && log.size > held);
  const sentence = `the audit log was rolled back: the device hsm-1 has witnessed ${log.size} records, it holds ${held}`;
  const found = (error: unknown): boolean => {
    assert.ok(isCasemateError(error), String(error));
    assert.deepEqual([error.code, error.message], ["TAMPER_DETECTED", sentence]);
    assert.match(error.hint ?? "", /Restore database, audit log and devices.*--accept-older-log/);
    return true;
  };
  const verified = async () =>
    (await verifyAuditDirectory(audit(place), { witness: { ...log, device: "hsm-1" } })).problem;
  const open = new TextEncoder().encode("open");
  for (let start = 0; start < 2; start++) {
    place.device.setState("locked");
    const { keyring, admin } = await place.open();
    await assert.rejects(keyring.unlockDevice(admin, "hsm-1", open), found);
    // More refusals than the log lacks: it is longer than what was witnessed by then.
    for (let n = 0; n < log.size; n++) await assert.rejects(keyring.listKeys(admin, {}), found);
    await assert.rejects(keyring.deviceChallenge(admin, "hsm-1"), found);
    place.device.setState("locked");
    place.device.setState("operational");
    await new Promise((resolve) => setTimeout(resolve, 20));
    await assert.rejects(keyring.listKeys(admin, {}), found);
    assert.equal(keyring.alarm, sentence);
    assert.equal((await keyring.auditRecords(admin, { outcome: "TAMPER_DETECTED", limit: 1 })).items.length, 1);
    assert.equal((await verified())?.message, sentence);
    await keyring.close();
  }
  place.device.setState("operational");
  await assert.rejects(place.open(), found);
  const { keyring, admin } = await place.open({ acceptOlderLog: true });
  const [record] = (await keyring.auditRecords(admin, { principal: "owner", limit: 10 })).items;
  assert.equal(record?.action, "audit.accept");
  const { details } = record;
  assert.deepEqual([details["found"], details["witnessed"], details["records"]], [sentence, log.size, held]);
  await keyring.close();
  await life(place);
});

test("a witness that is unlocked later and knows of more records is an alarm, and nothing is served any more", async () => {
  using place = new Place();
  const second = twoDevices(place);
  await life(place);
  const copy = place.copy();
  await life(place);
  putBackBoth(place, copy);
  second.setState("locked");
  const { keyring, admin } = await place.open();
  await keyring.listKeys(admin, {});
  await inUse(keyring, second);
  await until(() => keyring.alarm !== undefined);
  assert.match(
    keyring.alarm ?? "",
    /was rolled back: the device hsm-2 has witnessed|are not those that the device hsm-2/,
  );
  await assert.rejects(
    keyring.listKeys(admin, {}),
    (error) => isCasemateError(error) && error.code === "TAMPER_DETECTED",
  );
  await keyring.close();
});
