import assert from "node:assert/strict";
import { test } from "node:test";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { temporaryKeyring, type TemporaryKeyring } from "@casemate/testkit/fakes";

const DAY = 86_400_000;

function at(t: TemporaryKeyring, days: number): string {
  return new Date(t.clock.now() + days * DAY).toISOString();
}

async function states(t: TemporaryKeyring, name: string): Promise<readonly string[]> {
  return (await t.keyring.getKey(t.admin, name)).versions.map((version) => version.state);
}

async function later(t: TemporaryKeyring, days: number): Promise<void> {
  t.clock.advance(days * DAY);
  await t.keyring.runSchedule();
}

test("a key becomes active and ends at its dates", async () => {
  await using t = await temporaryKeyring();
  const made = await t.keyring.createKey(t.admin, {
    name: "a",
    algorithm: "ed25519",
    activateAt: at(t, 2),
    deactivateAt: at(t, 5),
  });
  assert.equal(made.state, "pre-active");
  await later(t, 1);
  assert.deepEqual(await states(t, "a"), ["pre-active"]);
  await later(t, 1);
  assert.deepEqual(await states(t, "a"), ["active"]);
  await later(t, 3);
  assert.deepEqual(await states(t, "a"), ["deactivated"]);
});

test("dates count at the moment of use, before the schedule has written the new state down", async () => {
  await using t = await temporaryKeyring();
  const request = { kind: "message", inputs: [new Uint8Array(1)] } as const;
  const refused = (error: unknown): boolean => isCasemateError(error) && error.code === "KEY_STATE";
  await t.keyring.createKey(t.admin, {
    name: "a",
    algorithm: "ed25519",
    activateAt: at(t, 2),
    deactivateAt: at(t, 5),
  });
  t.clock.advance(2 * DAY - 1);
  await assert.rejects(t.keyring.sign(t.admin, "a", request), refused);
  t.clock.advance(1);
  const { results } = await t.keyring.sign(t.admin, "a", request);
  assert.deepEqual(await states(t, "a"), ["active"]);
  t.clock.advance(3 * DAY - 1);
  await t.keyring.sign(t.admin, "a", request);
  t.clock.advance(1);
  await assert.rejects(t.keyring.sign(t.admin, "a", request), refused);
  await assert.rejects(t.keyring.sign(t.admin, "a", { ...request, version: 1 }), refused);
  const [signature] = results;
  assert.ok(signature instanceof Uint8Array);
  const items = [{ input: new Uint8Array(1), signature }];
  assert.deepEqual((await t.keyring.verify(t.admin, "a", { kind: "message", items })).results, [true]);
  assert.deepEqual(
    (await t.keyring.listKeys(t.admin, {})).items.map(({ state }) => state),
    ["deactivated"],
  );
  assert.deepEqual((await t.keyring.listKeys(t.admin, { state: "pre-active" })).items, []);
  await t.keyring.runSchedule();
  const record = t.audit.entries.find((entry) => entry.action === "schedule");
  assert.equal(record?.details?.["done"], "deactivate");
  assert.equal((await t.keyring.listKeys(t.admin, { state: "deactivated" })).items.length, 1);
  await t.reopen();
  assert.deepEqual(await states(t, "a"), ["deactivated"]);
});

test("lists by state follow the dates at the moment of the request, page by page, before the schedule has run", async () => {
  await using t = await temporaryKeyring();
  const { keyring, admin } = t;
  const algorithm = "ed25519";
  for (const name of ["b", "d", "f"]) await keyring.createKey(admin, { name, algorithm });
  await keyring.createKey(admin, { name: "a", algorithm, activateAt: at(t, 1) });
  await keyring.createKey(admin, { name: "c", algorithm, activateAt: at(t, 1), labels: { late: "yes" } });
  await keyring.createKey(admin, { name: "e", algorithm, deactivateAt: at(t, 1) });
  await keyring.createKey(admin, { name: "g", algorithm, activateAt: at(t, 1) });
  const list = async (filter: Parameters<typeof keyring.listKeys>[1]): Promise<string> => {
    const names: string[] = [];
    for (let cursor: string | undefined; ;) {
      const page = await keyring.listKeys(admin, { ...filter, ...(cursor === undefined ? {} : { cursor }) });
      names.push(...page.items.map(({ name }) => name));
      if (page.next === undefined) return names.join("");
      cursor = page.next;
    }
  };
  assert.equal(await list({ state: "active" }), "bdef");
  t.clock.advance(DAY);
  for (const limit of [1, 2, 3, 100]) {
    assert.equal(await list({ state: "active", limit }), "abcdfg", `pages of ${limit}`);
    assert.equal(await list({ state: "deactivated", limit }), "e");
    assert.equal(await list({ state: "pre-active", limit }), "");
  }
  assert.equal(await list({ state: "active", prefix: "c" }), "c");
  assert.equal(await list({ state: "active", algorithm: "aes-256" }), "");
});

test("a change between a date and the schedule hides no transition: that is saved and on record first, once", async () => {
  await using t = await temporaryKeyring();
  const changes: Readonly<Record<string, (name: string) => Promise<unknown>>> = {
    "key.update": (name) => t.keyring.updateKey(t.admin, name, { labels: { team: "a" } }),
    "key.rotate": (name) => t.keyring.rotateKey(t.admin, name),
    "key.compromise": (name) => t.keyring.transition(t.admin, name, "compromise"),
    "key.destroy": (name) => t.keyring.destroyKey(t.admin, name),
    "key.destroy-now": (name) => t.keyring.destroyKey(t.admin, name, { now: true }),
    // Refused after its date, and the date is on record all the same.
    "key.suspend": (name) => t.keyring.transition(t.admin, name, "suspend").catch(() => undefined),
  };
  const deactivateAt = at(t, 1);
  const nameOf = (action: string): string => action.replace("key.", "k-");
  for (const action of Object.keys(changes))
    await t.keyring.createKey(t.admin, { name: nameOf(action), algorithm: "ed25519", deactivateAt });
  t.clock.advance(DAY);
  for (const [action, change] of Object.entries(changes)) {
    const { length } = t.audit.entries;
    await change(nameOf(action));
    const [first, second, ...more] = t.audit.entries.slice(length);
    assert.deepEqual(
      [first?.action, first?.resource, first?.outcome, first?.details?.["done"], second?.action, more.length],
      ["schedule", `key/${nameOf(action)}`, "ok", "deactivate", action, 0],
    );
  }
  const { length } = t.audit.entries;
  await t.keyring.runSchedule();
  assert.equal(t.audit.entries.length, length, "the schedule has nothing left to say");
});

test("a server that was away catches up: both dates passed meanwhile", async () => {
  await using t = await temporaryKeyring();
  const dates = { activateAt: at(t, 1), deactivateAt: at(t, 2) };
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", ...dates });
  t.clock.advance(10 * DAY);
  await t.reopen();
  await t.keyring.runSchedule();
  assert.deepEqual(await states(t, "a"), ["deactivated"]);
});

test("a key rotates every so many days, and each rotation is on record", async () => {
  await using t = await temporaryKeyring();
  const made = await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", rotateEveryDays: 30 });
  assert.equal(made.nextRotationAt, at(t, 30));
  await later(t, 29);
  assert.deepEqual(await states(t, "a"), ["active"]);
  await later(t, 1);
  assert.deepEqual(await states(t, "a"), ["deactivated", "active"]);
  await later(t, 30);
  assert.deepEqual(await states(t, "a"), ["deactivated", "deactivated", "active"]);
  const records = t.audit.entries.filter((entry) => entry.action === "schedule");
  assert.deepEqual(
    records.map(({ resource, outcome, details }) => [resource, outcome, details?.["done"]]),
    [
      ["key/a", "ok", "rotate"],
      ["key/a", "ok", "rotate"],
    ],
  );
});

test("a rotation that the device refuses is recorded once, holds up nothing, and happens later", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", rotateEveryDays: 1 });
  await t.keyring.createKey(t.admin, { name: "b", algorithm: "ed25519", deactivateAt: at(t, 1) });
  t.clock.advance(DAY);
  for (let round = 0; round < 3; round++) {
    t.device.failNext("keys.generate", new CasemateError("DEVICE_FULL", "no room"));
    await t.keyring.runSchedule();
  }
  assert.deepEqual(await states(t, "b"), ["deactivated"]);
  assert.equal(t.audit.entries.filter((entry) => entry.outcome === "DEVICE_FULL").length, 1);
  assert.deepEqual(await states(t, "a"), ["active"]);
  await t.keyring.runSchedule();
  assert.deepEqual(await states(t, "a"), ["deactivated", "active"]);
});

test("a suspended key is not rotated behind its owner's back", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", rotateEveryDays: 1 });
  await t.keyring.transition(t.admin, "a", "suspend", { reason: "lost laptop" });
  await later(t, 2);
  assert.deepEqual(await states(t, "a"), ["suspended"]);
  assert.match((await t.keyring.getKey(t.admin, "a")).warnings.join(), /lost laptop/);
});

test("destruction waits its days, can be called off until then, and takes one version or all", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  await t.keyring.rotateKey(t.admin, "a");
  const waiting = await t.keyring.destroyKey(t.admin, "a", { version: 1, waitDays: 2 });
  assert.deepEqual(
    waiting.versions.map((version) => version.destroyAt),
    [at(t, 2), undefined],
  );
  await later(t, 1);
  await t.keyring.restoreKey(t.admin, "a");
  await later(t, 30);
  assert.deepEqual(await states(t, "a"), ["deactivated", "active"]);
  await t.keyring.destroyKey(t.admin, "a");
  assert.equal((await t.keyring.getKey(t.admin, "a")).state, "deactivated");
  await later(t, 6.9);
  assert.deepEqual(await states(t, "a"), ["deactivated", "deactivated"]);
  await later(t, 0.2);
  assert.deepEqual(await states(t, "a"), ["destroyed", "destroyed"]);
  await assert.rejects(
    t.keyring.restoreKey(t.admin, "a"),
    (error) => isCasemateError(error) && error.code === "KEY_STATE",
  );
});

test("a destruction called off leaves the key as it was: an active one signs again", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  await t.keyring.destroyKey(t.admin, "a");
  const request = { kind: "message", inputs: [new Uint8Array(1)] } as const;
  await assert.rejects(
    t.keyring.sign(t.admin, "a", request),
    (error) => isCasemateError(error) && error.code === "KEY_STATE",
  );
  assert.equal((await t.keyring.restoreKey(t.admin, "a")).state, "active");
  await t.keyring.sign(t.admin, "a", request);
});

test("a clock set back undoes nothing and repeats nothing", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", rotateEveryDays: 30 });
  await later(t, 31);
  t.clock.set(t.clock.now() - 400 * DAY);
  await t.keyring.runSchedule();
  assert.deepEqual(await states(t, "a"), ["deactivated", "active"]);
});
