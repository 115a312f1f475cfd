import assert from "node:assert/strict";
import { test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { fragileStore, temporaryKeyring, type FragileStore, type TemporaryKeyring } from "@casemate/testkit/fakes";

const input = toUtf8("x");

interface Fragile extends AsyncDisposable {
  readonly t: TemporaryKeyring;
  readonly store: FragileStore;
}

async function fragile(): Promise<Fragile> {
  let store: FragileStore | undefined;
  const t = await temporaryKeyring({ wrapStore: (inner) => (store = fragileStore(inner)) });
  return {
    t,
    get store() {
      assert.ok(store);
      return store;
    },
    [Symbol.asyncDispose]: () => t[Symbol.asyncDispose](),
  };
}

function failing(code: string) {
  return (error: unknown): boolean => isCasemateError(error) && error.code === code;
}

async function exists(t: TemporaryKeyring, name: string): Promise<boolean> {
  return t.keyring.getKey(t.admin, name).then(
    () => true,
    (error: unknown) => {
      assert.ok(failing("NOT_FOUND")(error));
      return false;
    },
  );
}

test("a crash before a new key is committed leaves no row, and the name is free", async () => {
  await using f = await fragile();
  f.store.failAt(1, "before");
  await assert.rejects(
    f.t.keyring.createKey(f.t.admin, { name: "a", algorithm: "ed25519" }),
    failing("STORAGE_FAILED"),
  );
  await f.t.reopen();
  assert.equal(await exists(f.t, "a"), false);
  await f.t.keyring.createKey(f.t.admin, { name: "a", algorithm: "ed25519" });
});

test("a key whose commit is refused is taken out of the device again", async () => {
  await using f = await fragile();
  const held = f.t.device.held;
  f.store.failAt(1, "refused");
  await assert.rejects(f.t.keyring.createKey(f.t.admin, { name: "a", algorithm: "ed25519" }), failing("STORAGE_FULL"));
  assert.equal(f.t.device.held, held);
});

test("a key whose commit happened unheard keeps its material", async () => {
  await using f = await fragile();
  f.store.failAt(1, "unheard");
  await assert.rejects(f.t.keyring.createKey(f.t.admin, { name: "a", algorithm: "ed25519" }));
  await f.t.keyring.sign(f.t.admin, "a", { kind: "message", inputs: [input] });
});

test("a crash between rotation's new material and its commit keeps the old version in use", async () => {
  await using f = await fragile();
  await f.t.keyring.createKey(f.t.admin, { name: "a", algorithm: "ed25519" });
  f.store.failAt(1, "before");
  await assert.rejects(f.t.keyring.rotateKey(f.t.admin, "a"), failing("STORAGE_FAILED"));
  await f.t.reopen();
  const view = await f.t.keyring.getKey(f.t.admin, "a");
  assert.deepEqual(
    view.versions.map((version) => version.state),
    ["active"],
  );
  assert.equal((await f.t.keyring.sign(f.t.admin, "a", { kind: "message", inputs: [input] })).version, 1);
});

const CUTS = [
  ["before the intent", 1, "before", "active"],
  ["after the intent, before the device", 1, "after", "destroyed"],
  ["after the device, before the outcome", 2, "before", "destroyed"],
  ["after the outcome", 2, "after", "destroyed"],
] as const;
for (const [where, commit, when, state] of CUTS) {
  test(`a destruction cut off ${where} ends ${state}, with device and row agreeing`, async () => {
    await using f = await fragile();
    const held = f.t.device.held;
    await f.t.keyring.createKey(f.t.admin, { name: "a", algorithm: "ed25519" });
    f.store.failAt(commit, when);
    await assert.rejects(f.t.keyring.destroyKey(f.t.admin, "a", { now: true }), failing("STORAGE_FAILED"));
    await f.t.reopen();
    const view = await f.t.keyring.getKey(f.t.admin, "a");
    assert.equal(view.state, state);
    assert.equal(f.t.device.held, state === "destroyed" ? held : held + 1);
  });
}

test("a destruction whose device fails is finished by the schedule, and until then the key does nothing", async () => {
  await using f = await fragile();
  await f.t.keyring.createKey(f.t.admin, { name: "a", algorithm: "ed25519" });
  f.t.device.failNext("keys.destroy", new CasemateError("TIMEOUT", "no answer"), { after: true });
  await assert.rejects(f.t.keyring.destroyKey(f.t.admin, "a", { now: true }), failing("TIMEOUT"));
  await assert.rejects(
    f.t.keyring.verify(f.t.admin, "a", { kind: "message", items: [{ input, signature: new Uint8Array(64) }] }),
    failing("KEY_STATE"),
  );
  await f.t.keyring.runSchedule();
  const view = await f.t.keyring.getKey(f.t.admin, "a");
  assert.equal(view.state, "destroyed");
  assert.ok(view.versions[0]?.destroyedAt);
});

test("after destruction the row keeps no reference to the material", async () => {
  await using f = await fragile();
  await f.t.keyring.createKey(f.t.admin, { name: "a", algorithm: "ed25519" });
  assert.match((await f.store.get("key", "name", "a"))?.body ?? "", /"ref":/);
  await f.t.keyring.destroyKey(f.t.admin, "a", { now: true });
  const row = await f.store.get("key", "name", "a");
  assert.doesNotMatch(row?.body ?? "", /"ref":/);
  assert.equal(row?.index["ref"], null);
});

test("what audit cannot record is not acknowledged", async () => {
  await using f = await fragile();
  await f.t.keyring.createKey(f.t.admin, { name: "a", algorithm: "ed25519" });
  f.t.audit.failWith(new CasemateError("STORAGE_FULL", "the disk is full"));
  const full = failing("STORAGE_FULL");
  const { keyring, admin } = f.t;
  await assert.rejects(keyring.sign(admin, "a", { kind: "message", inputs: [input] }), full);
  await assert.rejects(keyring.createKey(admin, { name: "b", algorithm: "ed25519" }), full);
  await assert.rejects(keyring.exportKey(admin, "a"), full);
  await assert.rejects(keyring.authenticate("cmt_wrong", "test"), full);
});

test("while records are missing nothing is changed, and what happened unrecorded is named afterwards", async () => {
  await using f = await fragile();
  const { keyring, admin } = f.t;
  await keyring.createKey(admin, { name: "a", algorithm: "ed25519" });
  f.t.audit.failWith(new CasemateError("STORAGE_FULL", "the disk is full"));
  await assert.rejects(keyring.rotateKey(admin, "a"), failing("STORAGE_FULL"));
  const commits = f.store.commits;
  const calls = f.t.device.calls.length;
  await assert.rejects(keyring.rotateKey(admin, "a"), failing("STORAGE_FULL"));
  await assert.rejects(keyring.sign(admin, "a", { kind: "message", inputs: [input] }), failing("STORAGE_FULL"));
  assert.deepEqual([f.store.commits, f.t.device.calls.length], [commits, calls]);
  f.t.audit.failWith(undefined);
  await keyring.sign(admin, "a", { kind: "message", inputs: [input] });
  const gap = f.t.audit.entries.find((entry) => entry.action === "audit.gap");
  assert.match(String(gap?.details?.["unrecorded0"]), /^key\.rotate key\/a ok/);
});

test("a change without room for its record is refused before it is made, of objects as of keys; uses and reads go on", async () => {
  await using f = await fragile();
  const { keyring, admin } = f.t;
  const { objects } = keyring;
  await keyring.createKey(admin, { name: "a", algorithm: "ed25519" });
  const object = { tokenLabel: "t", class: 0, label: "before", ckaId: "", attributes: new Uint8Array(3) };
  const { id } = await objects.create(admin, object);
  f.t.audit.refuseRoom(new CasemateError("STORAGE_FULL", "the disk is full"));
  const commits = f.store.commits;
  const calls = f.t.device.calls.length;
  const full = failing("STORAGE_FULL");
  await assert.rejects(objects.create(admin, object), full);
  await assert.rejects(objects.update(admin, id, { label: "after" }), full);
  await assert.rejects(objects.remove(admin, id), full);
  await assert.rejects(keyring.createKey(admin, { name: "b", algorithm: "ed25519" }), full);
  await assert.rejects(keyring.rotateKey(admin, "a"), full);
  await assert.rejects(keyring.createToken(admin, { principal: "someone", roles: ["user"] }), full);
  assert.deepEqual([f.store.commits, f.t.device.calls.length], [commits, calls]);
  await keyring.sign(admin, "a", { kind: "message", inputs: [input] });
  f.t.audit.refuseRoom(undefined);
  await f.t.reopen();
  const { items } = await f.t.keyring.objects.find(f.t.admin, {});
  assert.deepEqual(
    items.map(({ label }) => label),
    ["before"],
  );
});

test("the record of a change that was made may take the room that was made sure of, a refusal's may not", async () => {
  await using f = await fragile();
  const { keyring, admin } = f.t;
  const before = f.t.audit.entries.length;
  await keyring.createKey(admin, { name: "a", algorithm: "ed25519" });
  await assert.rejects(keyring.createKey(admin, { name: "a", algorithm: "ed25519" }), failing("ALREADY_EXISTS"));
  await keyring.sign(admin, "a", { kind: "message", inputs: [input] });
  f.t.device.failNext("keys.destroy", new CasemateError("TIMEOUT", "no answer"));
  await assert.rejects(keyring.destroyKey(admin, "a", { now: true }), failing("TIMEOUT"));
  // What a device did, or may have done, is on record, too.
  f.t.device.failNext("zeroize.zeroize", new CasemateError("TIMEOUT", "no answer"));
  await assert.rejects(keyring.zeroizeDevice(admin, f.t.device.identity.id), failing("TIMEOUT"));
  assert.deepEqual(
    f.t.audit.entries.slice(before).map((entry) => [entry.action, entry.outcome, f.t.audit.reserved.has(entry)]),
    [
      ["key.create", "ok", true],
      ["key.create", "ALREADY_EXISTS", false],
      ["key.sign", "ok", false],
      ["key.destroy-now", "TIMEOUT", true],
      ["device.zeroize", "TIMEOUT", true],
    ],
  );
});

test("a start on a full disk lets readers in", async () => {
  await using f = await fragile();
  await f.t.keyring.createKey(f.t.admin, { name: "a", algorithm: "ed25519" });
  f.t.audit.failWith(new CasemateError("STORAGE_FULL", "the disk is full"));
  const keyring = await f.t.reopen();
  const admin = await keyring.authenticate(f.t.adminToken, "test");
  assert.equal((await keyring.getKey(admin, "a")).state, "active");
  await assert.rejects(keyring.createKey(admin, { name: "b", algorithm: "ed25519" }), failing("STORAGE_FULL"));
});

test("reads and verification go on over a full disk, and the gap is recorded afterwards", async () => {
  await using f = await fragile();
  const { keyring, admin } = f.t;
  await keyring.createKey(admin, { name: "a", algorithm: "ed25519" });
  const { results } = await keyring.sign(admin, "a", { kind: "message", inputs: [input] });
  const [signature] = results;
  assert.ok(signature instanceof Uint8Array);
  f.t.audit.failWith(new CasemateError("STORAGE_FULL", "the disk is full"));
  await keyring.getKey(admin, "a");
  await keyring.listKeys(admin, {});
  const verified = await keyring.verify(admin, "a", { kind: "message", items: [{ input, signature }] });
  assert.deepEqual(verified.results, [true]);
  f.t.audit.failWith(undefined);
  await keyring.getKey(admin, "a");
  const gap = f.t.audit.entries.at(-1);
  assert.equal(gap?.action, "audit.gap");
  assert.equal(gap?.count, 3);
  assert.equal(gap?.details?.["unrecorded0"], "key.read key/a ok 1");
});

test("a broken audit log stops reads too: only a full disk is forgiven", async () => {
  await using f = await fragile();
  f.t.audit.failWith(new CasemateError("STORAGE_FAILED", "input/output error"));
  await assert.rejects(f.t.keyring.listKeys(f.t.admin, {}), failing("STORAGE_FAILED"));
});
