import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import type { KeyringChange } from "@casemate/keyring/core";
import { temporaryKeyring } from "@casemate/testkit/fakes";

const message = toUtf8("the message");

test("a key is made, signs, and its public half verifies outside", async () => {
  await using t = await temporaryKeyring();
  const view = await t.keyring.createKey(t.admin, { name: "release", algorithm: "ec-p256" });
  assert.equal(view.state, "active");
  assert.deepEqual(view.usages, ["sign"]);
  const { publicKey } = await t.keyring.publicKey(t.admin, "release");
  const { results, scheme } = await t.keyring.sign(t.admin, "release", { kind: "message", inputs: [message] });
  assert.equal(scheme, "ecdsa-sha256");
  const [signature] = results;
  assert.ok(signature instanceof Uint8Array);
  const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
  assert.ok(verify("sha256", message, key, signature));
});

test("keys, tokens and state survive a restart", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", labels: { team: "x" } });
  const before = await t.keyring.getKey(t.admin, "a");
  const keyring = await t.reopen();
  const caller = await keyring.authenticate(t.adminToken, "test");
  assert.deepEqual(await keyring.getKey(caller, "a"), before);
  assert.equal((await keyring.sign(caller, "a", { kind: "message", inputs: [message] })).version, 1);
});

test("only uses of a relaxed source that succeed are answered before the disk has their record", async () => {
  await using t = await temporaryKeyring({ relaxedSources: ["fast"] });
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  const { token } = await t.keyring.createToken(t.admin, { principal: "reader", roles: ["auditor"] });
  const fast = await t.keyring.authenticate(t.adminToken, "fast");
  const reader = await t.keyring.authenticate(token, "fast");
  const request = { kind: "message", inputs: [message] } as const;
  const from = t.audit.entries.length;
  await t.keyring.sign(t.admin, "a", request);
  await t.keyring.sign(fast, "a", request);
  await t.keyring.getKey(fast, "a");
  await assert.rejects(t.keyring.sign(reader, "a", request));
  await t.keyring.rotateKey(fast, "a");
  await t.keyring.transition(fast, "a", "suspend");
  const written = t.audit.entries.slice(from);
  assert.deepEqual(
    written.map((entry) => [entry.action, entry.source, entry.outcome, t.audit.relaxed.has(entry)]),
    [
      ["key.sign", "test", "ok", false],
      ["key.sign", "fast", "ok", true],
      ["key.read", "fast", "ok", true],
      ["key.sign", "fast", "FORBIDDEN", false],
      ["key.rotate", "fast", "ok", false],
      ["key.suspend", "fast", "ok", false],
    ],
  );
});

test("work on session keys runs only where policy allows it, and is on record either way with what it was about", async () => {
  await using t = await temporaryKeyring({ relaxedSources: ["fast"] });
  const fast = await t.keyring.authenticate(t.adminToken, "fast");
  const { token } = await t.keyring.createToken(t.admin, { principal: "reader", roles: ["auditor"] });
  const reader = await t.keyring.authenticate(token, "fast");
  const about = { number: 7, details: { operation: "sign", mechanism: "ecdsa" } };
  const from = t.audit.entries.length;
  let ran = 0;
  const work = () => Promise.resolve(++ran);
  assert.equal(await t.keyring.sessionKey(fast, "session-key.create", about, work), 1);
  assert.equal(await t.keyring.sessionKey(fast, "session-key.use", about, work), 2);
  assert.equal(await t.keyring.sessionKey(fast, "session-key.read", about, work), 3);
  await assert.rejects(t.keyring.sessionKey(reader, "session-key.use", about, work), { code: "FORBIDDEN" });
  const broken = new CasemateError("NOT_FOUND", "gone");
  await assert.rejects(
    t.keyring.sessionKey(fast, "session-key.use", about, () => Promise.reject(broken)),
    { code: "NOT_FOUND" },
  );
  assert.equal(ran, 3);
  const written = t.audit.entries.slice(from);
  assert.deepEqual(
    written.map((entry) => [entry.action, entry.outcome, t.audit.relaxed.has(entry)]),
    [
      ["session-key.create", "ok", false],
      ["session-key.use", "ok", true],
      ["session-key.read", "ok", false],
      ["session-key.use", "FORBIDDEN", false],
      ["session-key.use", "NOT_FOUND", false],
    ],
  );
  for (const { resource, details } of written) assert.deepEqual([resource, details], ["session-key/7", about.details]);
});

test("changes of keys, objects and policies are told once they hold, and not after the subscription ended", async () => {
  await using t = await temporaryKeyring();
  const told: KeyringChange[] = [];
  const seen: string[] = [];
  const end = t.keyring.subscribe((change) => {
    told.push(change);
    if (change.what === "key") void t.keyring.getKey(t.admin, change.name).then(({ state }) => seen.push(state));
  });
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  await t.keyring.transition(t.admin, "a", "suspend");
  const object = { tokenLabel: "x", class: 0, label: "", ckaId: "", attributes: message };
  const { id } = await t.keyring.objects.create(t.admin, object);
  await t.keyring.objects.remove(t.admin, id);
  await assert.rejects(t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" }));
  await t.keyring.sign(t.admin, "a", { kind: "message", inputs: [message] }).catch(() => undefined);
  end();
  await t.keyring.transition(t.admin, "a", "resume");
  assert.deepEqual(told, [
    { what: "key", name: "a" },
    { what: "key", name: "a" },
    { what: "object", name: id },
    { what: "object", name: id },
  ]);
  assert.deepEqual(seen, ["active", "suspended"]);
});

test("every use case leaves one record, a batch one for all its items, refusals too", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  const from = t.audit.entries.length;
  await t.keyring.sign(t.admin, "a", { kind: "message", inputs: [message, message, message] });
  await assert.rejects(
    t.keyring.exportKey(t.admin, "a"),
    (error) => isCasemateError(error) && error.code === "NOT_EXPORTABLE",
  );
  const [signed, refused, ...rest] = t.audit.entries.slice(from);
  assert.deepEqual(rest, []);
  assert.equal(signed?.action, "key.sign");
  assert.equal(signed?.count, 3);
  assert.equal(signed?.resource, "key/a");
  assert.ok(!JSON.stringify(signed).includes("the message"));
  assert.equal(refused?.outcome, "NOT_EXPORTABLE");
});
