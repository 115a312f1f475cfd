/** Dates of rotation and of the key's end, where the key was not active, or was rotated, in between. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { temporaryKeyring, type TemporaryKeyring } from "@casemate/testkit/fakes";

const DAY = 86_400_000;

const at = (t: TemporaryKeyring, days: number): string => new Date(t.clock.now() + days * DAY).toISOString();

async function versions(t: TemporaryKeyring): Promise<number> {
  return (await t.keyring.getKey(t.admin, "a")).versions.length;
}

async function later(t: TemporaryKeyring, days: number): Promise<void> {
  t.clock.advance(days * DAY);
  await t.keyring.runSchedule();
}

test("a rotation that fell due while the key was suspended is made up for, and those after it follow", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", rotateEveryDays: 10 });
  await t.keyring.transition(t.admin, "a", "suspend");
  await later(t, 15);
  assert.equal(await versions(t), 1);
  await t.keyring.transition(t.admin, "a", "resume");
  await later(t, 0);
  assert.equal(await versions(t), 2);
  await later(t, 9);
  assert.equal(await versions(t), 2);
  await later(t, 1);
  assert.equal(await versions(t), 3);
});

test("so is one that fell due while the key waited for a destruction that was called off", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", rotateEveryDays: 10 });
  await later(t, 8);
  await t.keyring.destroyKey(t.admin, "a", { waitDays: 7 });
  await later(t, 5);
  assert.equal(await versions(t), 1);
  await t.keyring.restoreKey(t.admin, "a");
  await later(t, 0);
  assert.equal(await versions(t), 2);
});

test("the days until the first rotation begin with the activation, by hand or by date", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", activateAt: at(t, 100) });
  await t.keyring.updateKey(t.admin, "a", { rotateEveryDays: 10 });
  assert.equal((await t.keyring.getKey(t.admin, "a")).nextRotationAt, at(t, 110));
  await t.keyring.updateKey(t.admin, "a", { activateAt: at(t, 50) });
  assert.equal((await t.keyring.getKey(t.admin, "a")).nextRotationAt, at(t, 60));
  await later(t, 20);
  await t.keyring.transition(t.admin, "a", "activate");
  assert.equal((await t.keyring.getKey(t.admin, "a")).nextRotationAt, at(t, 10));
  await later(t, 9);
  assert.equal(await versions(t), 1);
  await later(t, 1);
  assert.equal(await versions(t), 2);
});

test("the end that was set for a key holds for the version that a rotation makes", async () => {
  await using t = await temporaryKeyring();
  const end = at(t, 25);
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", rotateEveryDays: 10, deactivateAt: end });
  await t.keyring.rotateKey(t.admin, "a");
  await later(t, 10);
  const key = await t.keyring.getKey(t.admin, "a");
  assert.deepEqual(
    key.versions.map(({ state, deactivateAt }) => [state, deactivateAt]),
    [
      ["deactivated", undefined],
      ["deactivated", undefined],
      ["active", end],
    ],
  );
  await later(t, 15);
  await assert.rejects(t.keyring.sign(t.admin, "a", { kind: "message", inputs: [new Uint8Array(1)] }), {
    code: "KEY_STATE",
  });
  await t.keyring.rotateKey(t.admin, "a");
  assert.equal((await t.keyring.getKey(t.admin, "a")).versions.at(-1)?.deactivateAt, undefined);
});

test("a destroyed key is given no date of rotation", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  await t.keyring.destroyKey(t.admin, "a", { now: true });
  await later(t, 1);
  await assert.rejects(t.keyring.updateKey(t.admin, "a", { rotateEveryDays: 3 }), { code: "KEY_STATE" });
  assert.equal((await t.keyring.getKey(t.admin, "a")).rotateEveryDays, undefined);
  await t.keyring.updateKey(t.admin, "a", { labels: { was: "used" } });
});
