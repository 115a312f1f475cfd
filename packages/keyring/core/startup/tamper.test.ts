import assert from "node:assert/strict";
import { copyFileSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { isCasemateError } from "@casemate/foundation/errors";
import { openKeyring } from "@casemate/keyring/core";
import { openSqliteStore } from "@casemate/keyring/storage";
import { rolePolicy, softwareDevice, temporaryKeyring, type TemporaryKeyring } from "@casemate/testkit/fakes";

function named(pattern: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(isCasemateError(error), String(error));
    assert.equal(error.code, "TAMPER_DETECTED");
    assert.match(error.message, pattern);
    return true;
  };
}

function edit(t: TemporaryKeyring, sql: string): void {
  const db = new DatabaseSync(join(t.directory, "casemate.db"));
  db.exec(sql);
  db.close();
}

function copy(t: TemporaryKeyring, from: string, to: string): void {
  for (const suffix of ["", "-wal"]) {
    const source = join(t.directory, from + suffix);
    const target = join(t.directory, to + suffix);
    rmSync(target, { force: true });
    if (existsSync(source)) copyFileSync(source, target);
  }
}

async function populated(): Promise<TemporaryKeyring> {
  const t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  await t.keyring.createKey(t.admin, { name: "b", algorithm: "ed25519" });
  return t;
}

test("a changed key row is refused at start, by name", async () => {
  await using t = await populated();
  await t.keyring.close();
  edit(t, `UPDATE key SET body = replace(body, '"exportable":false', '"exportable":true') WHERE name = 'b'`);
  await assert.rejects(t.reopen(), named(/key b/));
});

test("a database put back to an older state is noticed by the audit log", async () => {
  await using t = await populated();
  await t.keyring.close();
  copy(t, "casemate.db", "old.db");
  const keyring = await t.reopen();
  const admin = await keyring.authenticate(t.adminToken, "test");
  await keyring.destroyKey(admin, "a", { now: true });
  await keyring.close();
  copy(t, "old.db", "casemate.db");
  await assert.rejects(t.reopen(), named(/rolled back.*generation/));
});

test("an audit log put back to an older state is noticed by the database", async () => {
  await using t = await populated();
  const size = t.audit.head.size;
  await t.keyring.createKey(t.admin, { name: "c", algorithm: "ed25519" });
  await t.keyring.createKey(t.admin, { name: "d", algorithm: "ed25519" });
  await t.keyring.close();
  t.audit.cut(size);
  await assert.rejects(t.reopen(), named(/audit log was cut/));
});

test("another audit log of the right length is noticed", async () => {
  await using t = await populated();
  await t.keyring.createKey(t.admin, { name: "c", algorithm: "ed25519" });
  await t.keyring.close();
  const { size } = t.audit.head;
  t.audit.cut(2);
  while (t.audit.head.size < size)
    await t.audit.append({ principal: "x", source: "x", action: "start", resource: "", outcome: "ok", count: 1 });
  await assert.rejects(t.reopen(), named(/not the one/));
});

test("a database stripped of its seals is not sealed anew", async () => {
  await using t = await populated();
  await t.keyring.close();
  edit(
    t,
    `UPDATE head SET keyed = 0, mac = NULL, digest = '0'; DELETE FROM internal;
     UPDATE head SET rows = rows - 2; UPDATE key SET mac = NULL; UPDATE token SET mac = NULL`,
  );
  await assert.rejects(t.reopen(), named(/lost its seals/));
});

test("a row changed while the keyring runs is refused when it is read, and named", async () => {
  await using t = await populated();
  const keyring = await t.reopen();
  const admin = await keyring.authenticate(t.adminToken, "test");
  edit(t, "UPDATE key SET device = 'elsewhere' WHERE name = 'b'");
  await keyring.getKey(admin, "a");
  await assert.rejects(keyring.getKey(admin, "b"), named(/key b/));
});

test("a locked device seals the keyring: only unlocking is answered, then all goes on", async () => {
  const device = softwareDevice();
  await using t = await temporaryKeyring({ devices: new Map([["hsm-1", device]]) });
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  await t.keyring.lockDevice(t.admin, "hsm-1");
  const keyring = await t.reopen();
  assert.equal(keyring.sealed, true);
  const admin = await keyring.authenticate(t.adminToken, "test");
  const locked = (error: unknown): boolean =>
    isCasemateError(error) &&
    error.code === "DEVICE_LOCKED" &&
    error.message.startsWith("hsm-1,") &&
    /device unlock hsm-1\./.test(error.hint ?? "");
  await assert.rejects(keyring.getKey(admin, "a"), locked);
  await assert.rejects(keyring.createToken(admin, { principal: "x", roles: ["admin"] }), locked);
  assert.equal((await keyring.listDevices(admin))[0]?.status.state, "locked");
  await keyring.deviceChallenge(admin, "hsm-1");
  await assert.rejects(
    keyring.unlockDevice(admin, "hsm-1", new TextEncoder().encode("guess")),
    (error) => isCasemateError(error) && error.code === "PIN_WRONG",
  );
  await keyring.unlockDevice(admin, "hsm-1", new TextEncoder().encode("open"));
  assert.equal(keyring.sealed, false);
  assert.equal((await keyring.getKey(admin, "a")).state, "active");
});

test("a tampered or absent device with the storage key is refused by that name, raises the alarm, and nobody is told to unlock it", async () => {
  for (const [state, code] of [
    ["tampered", "DEVICE_TAMPERED"],
    ["absent", "DEVICE_ABSENT"],
  ] as const) {
    const device = softwareDevice();
    await using t = await temporaryKeyring({ devices: new Map([["hsm-1", device]]) });
    await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
    assert.equal(t.keyring.alarm, undefined);
    await t.keyring.close();
    device.setState(state);
    const keyring = await t.reopen();
    const admin = await keyring.authenticate(t.adminToken, "test");
    await assert.rejects(keyring.getKey(admin, "a"), (error) => {
      assert.ok(isCasemateError(error));
      assert.equal(error.code, code);
      assert.match(error.message, /^hsm-1, the storage key's device, is .*/);
      assert.doesNotMatch(error.hint ?? "", /unlock/);
      return true;
    });
    assert.match(keyring.alarm ?? "", /^hsm-1, the storage key's device, is/);
    assert.equal(keyring.metrics()["casemate_alarm"], 1);
    device.setState("operational");
    while (keyring.sealed) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(keyring.alarm, undefined);
    assert.equal((await keyring.getKey(admin, "a")).state, "active");
  }
});

test("a first start on a locked device hands out the administrator token and seals its row after unlocking", async () => {
  const device = softwareDevice();
  device.setState("locked");
  await using t = await temporaryKeyring({ devices: new Map([["hsm-1", device]]) });
  assert.equal(t.keyring.sealed, true);
  await t.keyring.unlockDevice(t.admin, "hsm-1", new TextEncoder().encode("open"));
  await t.keyring.checkStorage();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  const keyring = await t.reopen();
  await keyring.checkStorage();
});

test("a new administrator token of a start on a locked device unlocks it, and only then replaces the one before, for good", async () => {
  const device = softwareDevice();
  await using t = await temporaryKeyring({ devices: new Map([["hsm-1", device]]) });
  await t.keyring.close();
  device.setState("locked");
  const keyring = await t.reopen();
  const { token, view } = await keyring.bootstrapAdmin();
  assert.equal(await keyring.tokenProblem(token), undefined);
  const admin = await keyring.authenticate(token, "test");
  await assert.rejects(keyring.unlockDevice(admin, "hsm-1", new TextEncoder().encode("guess")), { code: "PIN_WRONG" });
  assert.equal(await keyring.tokenProblem(t.adminToken), undefined);
  await keyring.unlockDevice(admin, "hsm-1", new TextEncoder().encode("open"));
  assert.match((await keyring.tokenProblem(t.adminToken)) ?? "", /was revoked/);
  assert.equal(
    (await keyring.listTokens(admin, {})).items.some(({ id }) => id === view.id),
    true,
  );
  const again = await t.reopen();
  await again.checkStorage();
  assert.equal((await again.authenticate(token, "test")).principal, "admin");
  assert.equal(await again.tokenProblem("no token"), "the token is not known");
});

test("devices that cannot hold a storage key are refused, absent ones are waited for", async () => {
  const device = softwareDevice();
  const signer = { ...device, algorithms: device.algorithms.filter((row) => row.algorithm === "ed25519") };
  await assert.rejects(
    temporaryKeyring({ devices: new Map([["hsm-1", signer]]) }),
    (error) => isCasemateError(error) && error.code === "NOT_SUPPORTED",
  );
  device.setState("absent");
  await using t = await temporaryKeyring({ devices: new Map([["hsm-1", device]]) });
  assert.equal(t.keyring.sealed, true);
});

test("without HMAC the storage key is an RSA key, whose signatures are always the same", async () => {
  const device = softwareDevice();
  const rsa = { ...device, algorithms: device.algorithms.filter((row) => row.algorithm === "rsa-2048") };
  await using t = await temporaryKeyring({ devices: new Map([["hsm-1", rsa]]) });
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "rsa-2048" });
  const keyring = await t.reopen();
  await keyring.checkStorage();
  assert.equal(keyring.sealed, false);
});

test("a zeroized device takes its keys with it, and a new storage key is made when it is ready again", async () => {
  const device = softwareDevice();
  await using t = await temporaryKeyring({ devices: new Map([["hsm-1", device]]) });
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  const before = t.audit.signer?.publicKey;
  await t.keyring.zeroizeDevice(t.admin, "hsm-1");
  assert.equal((await t.keyring.getKey(t.admin, "a")).state, "destroyed");
  assert.notDeepEqual(t.audit.signer?.publicKey, before);
  await t.keyring.createKey(t.admin, { name: "b", algorithm: "ed25519" });
  const keyring = await t.reopen();
  await keyring.checkStorage();
  assert.equal((await keyring.getKey(await keyring.authenticate(t.adminToken, "test"), "b")).state, "active");
});

test("a device that lost the storage key is named at start, and only its owner's word seals the rows anew", async () => {
  const device = softwareDevice();
  const devices = new Map([["hsm-1", device]]);
  await using t = await temporaryKeyring({ devices });
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  await t.keyring.close();
  await device.zeroize?.zeroize();
  await assert.rejects(
    t.reopen(),
    (error) => isCasemateError(error) && error.code === "DEVICE_FAILED" && /hsm-1.*storage key/.test(error.message),
  );
  const resealed = await openKeyring({
    store: await openSqliteStore(t.directory),
    audit: t.audit,
    policy: rolePolicy(),
    devices,
    clock: t.clock,
    reseal: true,
  });
  await resealed.checkStorage();
  await resealed.close();
  const keyring = await t.reopen();
  await keyring.checkStorage();
});

test("a zeroized device that stays locked leaves the rest at work, and the rows are sealed when it is ready", async () => {
  const device = softwareDevice();
  const zeroize = {
    async zeroize() {
      await device.zeroize?.zeroize();
      device.setState("locked");
    },
  };
  await using t = await temporaryKeyring({ devices: new Map([["hsm-1", { ...device, zeroize }]]) });
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  await t.keyring.zeroizeDevice(t.admin, "hsm-1");
  assert.equal((await t.keyring.getKey(t.admin, "a")).state, "destroyed");
  await t.keyring.createToken(t.admin, { principal: "x", roles: ["user"] });
  device.setState("operational");
  while (t.audit.entries.at(-1)?.action !== "storage.open") await new Promise((resolve) => setImmediate(resolve));
  await t.keyring.checkStorage();
  await t.keyring.createKey(t.admin, { name: "b", algorithm: "ed25519" });
});

test("what a device reports is on record", async () => {
  await using t = await temporaryKeyring();
  t.device.emit({ kind: "tamper", detail: "lid opened" });
  await new Promise((resolve) => setImmediate(resolve));
  const record = t.audit.entries.at(-1);
  assert.equal(record?.action, "device.tamper");
  assert.equal(record?.outcome, "DEVICE_TAMPERED");
});

test("checkpoints are signed by a key inside the first device, the same after a restart", async () => {
  await using t = await temporaryKeyring();
  const first = t.audit.signer;
  assert.equal(first?.name, "hsm-1");
  assert.equal(first?.publicKey.length, 32);
  await t.reopen();
  assert.deepEqual(t.audit.signer?.publicKey, first?.publicKey);
  const checkpoint = { origin: "log", size: 3, root: new Uint8Array(32), since: async () => [] };
  assert.equal((await t.audit.signer?.sign(new Uint8Array(3), checkpoint))?.length, 64);
});
