import assert from "node:assert/strict";
import { test } from "node:test";
import { isCasemateError } from "@casemate/foundation/errors";
import { lived, Place } from "@casemate/testkit/fakes";

const tampered = (error: unknown): boolean => isCasemateError(error) && error.code === "TAMPER_DETECTED";

test("a whole life with the real audit log: restarts, checkpoint by the device, proofs", async () => {
  using place = new Place();
  await lived(place);
  const { keyring, admin } = await place.open();
  const checkpoint = await keyring.auditCheckpoint(admin);
  assert.equal(checkpoint.signedBy, "hsm-1");
  const { path } = await keyring.auditInclusion(admin, 3, checkpoint.size);
  assert.ok(path.length > 0);
  const made = await keyring.auditRecords(admin, { resource: "key/a", limit: 100, from: 0 });
  assert.equal(made.items[0]?.action, "key.create");
  assert.equal(made.items.filter((record) => record.action === "key.sign").length, 50);
  await keyring.close();
});

test("database and audit log put back together are missed by the device, and accepted by their owner's word alone, on record", async () => {
  using place = new Place();
  const copy = await lived(place);
  place.putBack(copy, "audit");
  place.putBack(copy, "database");
  await assert.rejects(place.open(), (error) => {
    assert.ok(isCasemateError(error));
    assert.equal(error.code, "TAMPER_DETECTED");
    const { witnessed, records } = error.details;
    assert.ok(Number(witnessed) > Number(records));
    assert.equal(
      error.message,
      `the audit log was rolled back: the device hsm-1 has witnessed ${witnessed} records, it holds ${records}`,
    );
    assert.match(error.hint ?? "", /--accept-older-log/);
    return true;
  });
  const accepted = await place.open({ acceptOlderLog: true });
  const own = await accepted.keyring.auditRecords(accepted.admin, { principal: "owner", limit: 10 });
  assert.deepEqual(
    own.items.map(({ action, resource, outcome }) => [action, resource, outcome]),
    [["audit.accept", "device/hsm-1", "ok"]],
  );
  await accepted.keyring.auditCheckpoint(accepted.admin);
  await accepted.keyring.close();
  const { keyring, admin } = await place.open();
  assert.deepEqual(
    (await keyring.listKeys(admin, {})).items.map((key) => key.name),
    ["a"],
  );
  await keyring.close();
});

for (const part of ["audit", "database"] as const) {
  test(`an older ${part} put back alone is detected at start`, async () => {
    using place = new Place();
    const copy = await lived(place);
    place.putBack(copy, part);
    await assert.rejects(place.open(), tampered);
  });
}
