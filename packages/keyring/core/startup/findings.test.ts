/** What a witness finds beside the records: an alarm that the next checkpoint does not cover up. */
import assert from "node:assert/strict";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { verifyAuditDirectory } from "@casemate/keyring/core";
import { audit, life, Place, sizes, witnessed } from "@casemate/testkit/fakes";

test("removed checkpoints are an alarm at the next start, also where no record says that one was signed", async () => {
  using place = new Place();
  await life(place, ["a"]);
  await life(place);
  const { size, before } = await witnessed(place.device);
  for (const name of ["checkpoint", "checkpoints"]) rmSync(join(audit(place), name));
  assert.equal((await verifyAuditDirectory(audit(place))).problem, undefined, "the log alone does not show it");
  const { keyring, admin } = await place.open();
  assert.match(
    keyring.alarm ?? "",
    new RegExp(
      `checkpoints were removed: the device hsm-1 signed those of ${before} and ${size} records, and none is kept`,
    ),
  );
  const { items } = await keyring.auditRecords(admin, { outcome: "TAMPER_DETECTED", limit: 10 });
  assert.deepEqual(
    items.map(({ action }) => action),
    ["audit.check"],
  );
  await keyring.sign(admin, "a", { kind: "message", inputs: [new Uint8Array(3)] });
  await keyring.close();
});

test("a history of checkpoints that was removed alone is an alarm at the next start", async () => {
  using place = new Place();
  await life(place, ["a"]);
  rmSync(join(audit(place), "checkpoints"));
  for (let start = 0; start < 2; start++) {
    const { keyring } = await place.open();
    assert.match(keyring.alarm ?? "", /checkpoints were removed: the history audit\/checkpoints is gone/);
    await keyring.close();
  }
});

test("a history of checkpoints that was damaged or emptied is an alarm like one that was removed, also under a running server", async () => {
  for (const [spoil, words] of [
    [
      (bytes: Buffer) => Buffer.alloc(bytes.length),
      /the history audit\/checkpoints is damaged, and kept as audit\/checkpoints\.damaged/,
    ],
    [() => Buffer.alloc(0), /the history audit\/checkpoints is empty/],
    [
      (bytes: Buffer) => bytes.subarray(0, bytes.indexOf(10) + 1),
      /the history audit\/checkpoints ends with the one of \d+ records, and the newest is of \d+/,
    ],
  ] as const) {
    for (const running of [false, true]) {
      using place = new Place();
      await life(place, ["a"]);
      await life(place);
      const file = join(audit(place), "checkpoints");
      const whole = readFileSync(file);
      const first = await place.open();
      if (running) {
        await first.keyring.auditCheckpoint(first.admin);
        writeFileSync(file, spoil(readFileSync(file)));
        await first.keyring.auditCheckpoint(first.admin);
        assert.match(first.keyring.alarm ?? "", /checkpoints were removed while the server ran: /);
        assert.match(first.keyring.alarm ?? "", words);
      }
      await first.keyring.close();
      const kept = readFileSync(file);
      if (!running) writeFileSync(file, spoil(whole));
      for (let start = 0; start < 2; start++) {
        const { keyring } = await place.open();
        assert.match(keyring.alarm ?? "", /checkpoints were removed/);
        assert.match(keyring.alarm ?? "", words);
        await keyring.close();
      }
      const { problem, alarm } = await verifyAuditDirectory(audit(place));
      assert.equal(problem, undefined);
      assert.match(alarm ?? "", words);
      if (running) continue;
      writeFileSync(file, kept);
      const { keyring } = await place.open();
      assert.equal(keyring.alarm, undefined, "it was put back");
      await keyring.close();
    }
  }
});

test("the alarm of removed checkpoints is there again at every start, until the owner accepts it, which is on record with the same words", async () => {
  using place = new Place();
  await life(place, ["a"]);
  await life(place);
  const { size, before } = await witnessed(place.device);
  for (const name of ["checkpoint", "checkpoints"]) rmSync(join(audit(place), name));
  const found = `audit log: checkpoints were removed: the device hsm-1 signed those of ${before} and ${size} records, and none is kept`;
  for (let start = 0; start < 3; start++) {
    const { keyring, admin } = await place.open();
    assert.ok(keyring.alarm?.startsWith(`${found}; `), String(keyring.alarm));
    assert.match(keyring.alarm ?? "", /--accept-older-log/);
    await keyring.auditCheckpoint(admin);
    await keyring.close();
  }
  const { keyring, admin } = await place.open({ acceptOlderLog: true });
  assert.equal(keyring.alarm, undefined);
  const { items } = await keyring.auditRecords(admin, { principal: "owner", limit: 10 });
  assert.deepEqual(
    items.map(({ action, resource, details }) => [action, resource, details["found"]]),
    [["audit.accept", "device/hsm-1", found]],
  );
  await keyring.close();
  const after = await place.open();
  assert.equal(after.keyring.alarm, undefined);
  await after.keyring.close();
});

test("checkpoints that are removed under a running server are an alarm before the next one covers that up, and the history goes on", async () => {
  for (const names of [["checkpoint"], ["checkpoints"], ["checkpoint", "checkpoints"]]) {
    using place = new Place();
    await life(place, ["a"]);
    const { keyring, admin } = await place.open();
    await keyring.auditCheckpoint(admin);
    assert.equal(keyring.alarm, undefined);
    for (const name of names) rmSync(join(audit(place), name));
    const { size } = await keyring.auditCheckpoint(admin);
    assert.match(keyring.alarm ?? "", /checkpoints were removed while the server ran: the (newest was|history)/);
    assert.ok((await sizes(place)).includes(size));
    await keyring.close();
    const again = await place.open();
    assert.match(again.keyring.alarm ?? "", /checkpoints were removed while the server ran/);
    await again.keyring.close();
    assert.equal((await verifyAuditDirectory(audit(place))).problem, undefined);
  }
});

test("a device that has forgotten what it signed is an alarm: its state was put back", async () => {
  using place = new Place();
  await life(place, ["a"]);
  const { witness } = place.device;
  assert.ok(witness !== undefined);
  const older = await witness.logs();
  await life(place);
  const { size, before } = await witnessed(place.device);
  place.devices = new Map([["hsm-1", { ...place.device, witness: { ...witness, logs: async () => older } }]]);
  const { keyring } = await place.open();
  assert.match(
    keyring.alarm ?? "",
    new RegExp(`hsm-1 was put back to an older state: .* checkpoint of ${size} records and knows of ${before};`),
  );
  await keyring.close();
});

test("a device that remembers another log and not the one that it signed is an alarm", async () => {
  using place = new Place();
  await life(place, ["a"]);
  const { witness } = place.device;
  assert.ok(witness !== undefined);
  const { size } = await witnessed(place.device);
  const other = (await witness.logs()).map((log) => ({ ...log, publicKey: new Uint8Array(32).fill(7) }));
  place.devices = new Map([["hsm-1", { ...place.device, witness: { ...witness, logs: async () => other } }]]);
  const { keyring } = await place.open();
  assert.match(
    keyring.alarm ?? "",
    new RegExp(`hsm-1 was put back to an older state: .* checkpoint of ${size} records and knows of 0;`),
  );
  await keyring.close();
});

test("removed checkpoints that are put back end the alarm at the next start, on record; as long as they are not, it stays", async () => {
  for (const removed of [["checkpoint", "checkpoints"], ["checkpoints"]]) {
    using place = new Place();
    await life(place, ["a"]);
    await life(place);
    const backup = place.copy();
    for (const name of removed) rmSync(join(audit(place), name));
    for (let start = 0; start < 2; start++) {
      const { keyring } = await place.open();
      assert.match(keyring.alarm ?? "", /checkpoints were removed/);
      await keyring.close();
    }
    assert.match((await verifyAuditDirectory(audit(place))).alarm ?? "", /checkpoints were removed/);
    // Another log's, or some of them only, are not the missing ones.
    const history = join(audit(place), "checkpoints");
    const whole = readFileSync(join(backup, "audit", "checkpoints"), "utf8");
    assert.ok(!readFileSync(history, "utf8").includes(whole.split("\n")[0]!), "it is not made again");
    for (const wrong of [whole.split("\n").slice(0, 1).join("\n") + "\n", whole.replaceAll("hsm-1 ", "hsm-1 A")]) {
      writeFileSync(history, wrong);
      const { keyring } = await place.open();
      assert.match(keyring.alarm ?? "", /checkpoints were removed/);
      await keyring.close();
    }
    // As whoever restores a backup does: what was signed since goes with that, whether the newest is put back too or not.
    for (const name of removed) cpSync(join(backup, "audit", name), join(audit(place), name));
    const { keyring, admin } = await place.open();
    assert.equal(keyring.alarm, undefined);
    const { items } = await keyring.auditRecords(admin, { resource: "device/hsm-1", limit: 10 });
    const settled = items.find(({ action }) => action === "audit.settle");
    assert.match(String(settled?.details["found"]), /checkpoints were removed/);
    assert.ok(place.said.some((line) => line.startsWith("settled, since they were put back")));
    await keyring.close();
    const again = await place.open();
    assert.equal(again.keyring.alarm, undefined);
    await again.keyring.close();
    const { problem, alarm } = await verifyAuditDirectory(audit(place));
    assert.deepEqual([problem, alarm], [undefined, undefined]);
  }
});

test("a history that is removed under a running server and put back ends the alarm; the file of the newest alone, which is made again, does not", async () => {
  for (const [name, ends] of [
    ["checkpoints", true],
    ["checkpoint", false],
  ] as const) {
    using place = new Place();
    await life(place, ["a"]);
    const { keyring, admin } = await place.open();
    await keyring.auditCheckpoint(admin);
    const kept = readFileSync(join(audit(place), name));
    rmSync(join(audit(place), name));
    await keyring.auditCheckpoint(admin);
    assert.match(keyring.alarm ?? "", /checkpoints were removed while the server ran/);
    await keyring.close();
    if (ends) writeFileSync(join(audit(place), name), kept);
    const again = await place.open();
    if (ends) assert.equal(again.keyring.alarm, undefined);
    else assert.match(again.keyring.alarm ?? "", /while the history audit\/checkpoints has those up to/);
    await again.keyring.close();
  }
});
