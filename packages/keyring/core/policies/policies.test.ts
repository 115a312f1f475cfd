import assert from "node:assert/strict";
import { test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import { createPolicyEngine, type Caller, type NewObject } from "@casemate/keyring/core";
import { temporaryKeyring, type TemporaryKeyring } from "@casemate/testkit/fakes";

function failing(code: string) {
  return (error: unknown): boolean => {
    assert.ok(isCasemateError(error), String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}

async function as(t: TemporaryKeyring, role: "operator" | "user" | "auditor"): Promise<Caller> {
  const { token } = await t.keyring.createToken(t.admin, { principal: role, roles: [role] });
  return t.keyring.authenticate(token, "test");
}

const request = { kind: "message", inputs: [toUtf8("x")] } as const;

test("a policy holds from the moment it is set, for keys already in use, and over a restart", async () => {
  await using t = await temporaryKeyring({ policy: await createPolicyEngine() });
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", labels: { level: "secret" } });
  const user = await as(t, "user");
  await t.keyring.sign(user, "a", request);
  const text = `forbid (principal, action == Action::"key.sign", resource) when { resource.hasTag("level") && resource.getTag("level") == "secret" };`;
  await t.keyring.setPolicy(t.admin, "no-secrets", text);
  await assert.rejects(t.keyring.sign(user, "a", request), failing("FORBIDDEN"));
  assert.equal(t.audit.entries.at(-1)?.outcome, "FORBIDDEN");
  await t.reopen();
  await assert.rejects(t.keyring.sign(user, "a", request), failing("FORBIDDEN"));
  const said = await t.keyring.explain(t.admin, { principal: "user", action: "key.sign", key: "a" });
  assert.equal(said.allowed, false);
  assert.match(said.reasons.join(), /no-secrets/);
  await t.keyring.setPolicy(t.admin, "no-secrets", "");
  await t.keyring.sign(user, "a", request);
});

test("a policy that does not fit the schema is refused and nothing changes", async () => {
  await using t = await temporaryKeyring({ policy: await createPolicyEngine() });
  const before = await t.keyring.listPolicies(t.admin);
  await assert.rejects(
    t.keyring.setPolicy(t.admin, "typo", `forbid (principal, action == Action::"key.sgin", resource);`),
    failing("CONFIG_INVALID"),
  );
  assert.deepEqual(await t.keyring.listPolicies(t.admin), before);
  await assert.rejects(t.keyring.setPolicy(t.admin, "none", ""), failing("NOT_FOUND"));
});

test("nobody locks himself out of the policies", async () => {
  await using t = await temporaryKeyring({ policy: await createPolicyEngine() });
  const forbid = "forbid (principal, action, resource)";
  await assert.rejects(t.keyring.setPolicy(t.admin, "all", `${forbid};`), failing("CONFIG_INVALID"));
  await t.keyring.setPolicy(t.admin, "all", `${forbid} unless { principal in Role::"admin" };`);
  const user = await as(t, "user");
  await assert.rejects(t.keyring.listKeys(user, {}), failing("FORBIDDEN"));
  await t.keyring.setPolicy(t.admin, "all", "");
  await t.keyring.listKeys(user, {});
});

test("a policy is tried out without being kept", async () => {
  await using t = await temporaryKeyring({ policy: await createPolicyEngine() });
  const check = { principal: "user", roles: ["user"], action: "key.sign", key: "a" } as const;
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  const text = `forbid (principal, action == Action::"key.sign", resource);`;
  const [tried] = await t.keyring.testPolicy(t.admin, text, [check]);
  assert.equal(tried?.allowed, false);
  assert.equal((await t.keyring.explain(t.admin, check)).allowed, true);
  await assert.rejects(t.keyring.explain(t.admin, { ...check, action: "key.fly" }), failing("BAD_REQUEST"));
});

test("keys that policy hides from a caller are not in the list", async () => {
  await using t = await temporaryKeyring({ policy: await createPolicyEngine() });
  await t.keyring.createKey(t.admin, { name: "open", algorithm: "ed25519" });
  await t.keyring.createKey(t.admin, { name: "hidden", algorithm: "ed25519", labels: { level: "secret" } });
  const user = await as(t, "user");
  assert.equal((await t.keyring.listKeys(user, {})).items.length, 2);
  const text = `forbid (principal in Role::"user", action == Action::"key.read", resource) when { resource.hasTag("level") };`;
  await t.keyring.setPolicy(t.admin, "hide", text);
  assert.deepEqual(
    (await t.keyring.listKeys(user, {})).items.map((key) => key.name),
    ["open"],
  );
  assert.equal((await t.keyring.listKeys(t.admin, {})).items.length, 2);
});

test("roles bound what a caller may do, and every refusal is on record", async () => {
  await using t = await temporaryKeyring({ policy: await createPolicyEngine() });
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  const [user, auditor] = [await as(t, "user"), await as(t, "auditor")];
  const from = t.audit.entries.length;
  const refusals = [
    () => t.keyring.createKey(user, { name: "b", algorithm: "ed25519" }),
    () => t.keyring.destroyKey(user, "a", { now: true }),
    () => t.keyring.createToken(user, { principal: "x", roles: ["admin"] }),
    () => t.keyring.setPolicy(user, "x", "permit (principal, action, resource);"),
    () => t.keyring.sign(auditor, "a", request),
  ];
  for (const refusal of refusals) await assert.rejects(refusal, failing("FORBIDDEN"));
  assert.deepEqual(
    t.audit.entries.slice(from).map((entry) => entry.outcome),
    refusals.map(() => "FORBIDDEN"),
  );
  await t.keyring.auditRecords(auditor, { limit: 10 });
});

test("objects are kept, found by label and id, and changed only at the revision known", async () => {
  await using t = await temporaryKeyring();
  const { objects } = t.keyring;
  const object = (label: string, ckaId: string): NewObject => ({
    tokenLabel: "hsm-1",
    class: 1,
    label,
    ckaId,
    attributes: toUtf8(`attributes of ${label}`),
  });
  const made = await objects.create(t.admin, object("cert", "0a"));
  await objects.create(t.admin, object("other", "0b"));
  await t.reopen();
  const kept = t.keyring.objects;
  assert.deepEqual(await kept.get(t.admin, made.id), made);
  assert.deepEqual((await kept.find(t.admin, { tokenLabel: "hsm-1", label: "cert" })).items, [made]);
  assert.equal((await kept.find(t.admin, { tokenLabel: "hsm-1", ckaId: "0b" })).items[0]?.label, "other");
  const changed = await kept.update(t.admin, made.id, { label: "renamed", revision: 1 });
  assert.equal(changed.revision, 2);
  await assert.rejects(kept.update(t.admin, made.id, { label: "late", revision: 1 }), failing("CONFLICT"));
  await assert.rejects(kept.create(t.admin, object("bad", "xyz")), failing("BAD_REQUEST"));
  await kept.remove(t.admin, made.id);
  await assert.rejects(kept.get(t.admin, made.id), failing("NOT_FOUND"));
});
