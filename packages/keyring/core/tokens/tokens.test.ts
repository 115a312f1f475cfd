import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isCasemateError } from "@casemate/foundation/errors";
import { temporaryKeyring } from "@casemate/testkit/fakes";

function failing(code: string) {
  return (error: unknown): boolean => isCasemateError(error) && error.code === code;
}

test("a token is shown once and kept only as a hash", async () => {
  await using t = await temporaryKeyring();
  const { token, view } = await t.keyring.createToken(t.admin, { principal: "ci", roles: ["user"], note: "builds" });
  assert.match(token, /^cmt_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/);
  assert.ok(!JSON.stringify(view).includes(token.slice(21)));
  await t.keyring.close();
  for (const file of readdirSync(t.directory))
    assert.ok(!readFileSync(join(t.directory, file)).includes(token.slice(21)), file);
  assert.ok(!JSON.stringify(t.audit.entries).includes(token.slice(21)));
});

test("a token carries its principal and roles, and nothing else opens", async () => {
  await using t = await temporaryKeyring();
  const { token } = await t.keyring.createToken(t.admin, { principal: "ci", roles: ["user", "user"] });
  const caller = await t.keyring.authenticate(token, "rest", "request-1");
  assert.deepEqual(caller, {
    principal: "ci",
    kind: "user",
    roles: ["user"],
    source: "rest",
    token: token.slice(4, 20),
    requestId: "request-1",
  });
  const flipped = token.slice(0, -1) + (token.endsWith("A") ? "B" : "A");
  for (const wrong of [flipped, `${token} `, token.slice(0, -1), "", "cmt_", `cmt_${"0".repeat(16)}_${"A".repeat(43)}`])
    await assert.rejects(t.keyring.authenticate(wrong, "rest"), failing("UNAUTHENTICATED"));
  const refusals = t.audit.entries.filter((entry) => entry.action === "authenticate" && entry.outcome !== "ok");
  assert.equal(refusals.length, 6);
  await assert.rejects(t.keyring.createToken(caller, { principal: "x", roles: ["admin"] }), failing("FORBIDDEN"));
});

test("revocation holds at once, also for a token in the cache, and after a restart", async () => {
  await using t = await temporaryKeyring();
  const { token, view } = await t.keyring.createToken(t.admin, { principal: "ci", roles: ["user"] });
  await t.keyring.authenticate(token, "rest");
  const revoked = await t.keyring.revokeToken(t.admin, view.id);
  assert.ok(revoked.revokedAt);
  await assert.rejects(t.keyring.authenticate(token, "rest"), failing("UNAUTHENTICATED"));
  const keyring = await t.reopen();
  await assert.rejects(keyring.authenticate(token, "rest"), failing("UNAUTHENTICATED"));
  await assert.rejects(t.keyring.revokeToken(t.admin, "no-such-token"), failing("NOT_FOUND"));
});

test("a token ends at its second, not before", async () => {
  await using t = await temporaryKeyring();
  const { token } = await t.keyring.createToken(t.admin, { principal: "ci", roles: ["user"], expiresInSeconds: 60 });
  t.clock.advance(59_999);
  await t.keyring.authenticate(token, "rest");
  t.clock.advance(1);
  await assert.rejects(t.keyring.authenticate(token, "rest"), failing("TOKEN_EXPIRED"));
});

test("a caller that was authenticated long ago falls with its token", async () => {
  await using t = await temporaryKeyring();
  const made = await t.keyring.createToken(t.admin, { principal: "ci", roles: ["user"], expiresInSeconds: 60 });
  const other = await t.keyring.createToken(t.admin, { principal: "ci", roles: ["user"] });
  const [expiring, revoked] = [
    await t.keyring.authenticate(made.token, "pkcs11"),
    await t.keyring.authenticate(other.token, "pkcs11"),
  ];
  await t.keyring.listKeys(expiring, {});
  await t.keyring.revokeToken(t.admin, other.view.id);
  await assert.rejects(t.keyring.listKeys(revoked, {}), failing("UNAUTHENTICATED"));
  assert.equal(t.audit.entries.at(-1)?.outcome, "UNAUTHENTICATED");
  t.clock.advance(60_000);
  await assert.rejects(t.keyring.listKeys(expiring, {}), failing("TOKEN_EXPIRED"));
  await t.reopen();
  await assert.rejects(t.keyring.listKeys(revoked, {}), failing("UNAUTHENTICATED"));
});

test("last use is written lazily and survives", async () => {
  await using t = await temporaryKeyring();
  const { token, view } = await t.keyring.createToken(t.admin, { principal: "ci", roles: ["user"] });
  t.clock.advance(3_600_000);
  await t.keyring.authenticate(token, "rest");
  const used = new Date(t.clock.now()).toISOString();
  const lastUse = async (): Promise<string | undefined> =>
    (await t.keyring.listTokens(t.admin, {})).items.find((item) => item.id === view.id)?.lastUsedAt;
  assert.equal(await lastUse(), used);
  await t.reopen();
  assert.equal(await lastUse(), used);
});

test("the owner's next administrator token replaces the one before", async () => {
  await using t = await temporaryKeyring();
  const { token } = await t.keyring.bootstrapAdmin();
  await assert.rejects(t.keyring.authenticate(t.adminToken, "rest"), failing("UNAUTHENTICATED"));
  assert.deepEqual((await t.keyring.authenticate(token, "rest")).roles, ["admin"]);
});

test("tokens are listed in pages, and bad requests for tokens are refused", async () => {
  await using t = await temporaryKeyring();
  for (let n = 0; n < 4; n++) await t.keyring.createToken(t.admin, { principal: `p${n}`, roles: ["user"] });
  const first = await t.keyring.listTokens(t.admin, { limit: 3 });
  assert.equal(first.items.length, 3);
  assert.ok(first.next);
  const second = await t.keyring.listTokens(t.admin, { limit: 3, cursor: first.next });
  assert.equal(second.items.length, 2);
  assert.equal(second.next, undefined);
  const bad = failing("BAD_REQUEST");
  await assert.rejects(t.keyring.listTokens(t.admin, { cursor: "€" }), bad);
  await assert.rejects(t.keyring.listTokens(t.admin, { limit: 0 }), bad);
  await assert.rejects(t.keyring.createToken(t.admin, { principal: "", roles: ["user"] }), bad);
  await assert.rejects(t.keyring.createToken(t.admin, { principal: "x", roles: [] }), bad);
  await assert.rejects(t.keyring.createToken(t.admin, { principal: "x", roles: ["root" as never] }), bad);
  await assert.rejects(t.keyring.createToken(t.admin, { principal: "x", roles: ["user"], expiresInSeconds: 0 }), bad);
});

test("a part of the server acts within its roles and leaves no token behind, however often it starts", async () => {
  await using t = await temporaryKeyring();
  const before = (await t.keyring.listTokens(t.admin, {})).items.length;
  for (let start = 0; start < 3; start++) {
    const own = await t.keyring.serviceCaller("pkcs11", ["user"]);
    await t.keyring.listKeys(own, {});
    await assert.rejects(t.keyring.listTokens(own, {}), /pkcs11 may not do token\.list/);
    await t.reopen();
  }
  assert.equal((await t.keyring.listTokens(t.admin, {})).items.length, before);
  assert.ok(t.audit.entries.some(({ principal, action }) => principal === "pkcs11" && action === "authenticate"));
});

test("tokens that earlier versions left behind at each start are removed, and no others", async () => {
  await using t = await temporaryKeyring();
  for (let start = 0; start < 3; start++) {
    const helper = await t.keyring.bootstrapAdmin("pkcs11-start");
    const admin = await t.keyring.authenticate(helper.token, "start");
    const { view } = await t.keyring.createToken(admin, { principal: "pkcs11", roles: ["operator"] });
    if (start < 2) await t.keyring.revokeToken(admin, view.id);
  }
  const theirs = await t.keyring.createToken(t.admin, { principal: "pkcs11", roles: ["user"] });
  const { items: before } = await t.keyring.listTokens(t.admin, {});
  await t.keyring.serviceCaller("pkcs11", ["operator"]);
  const { items: after } = await t.keyring.listTokens(t.admin, {});
  assert.equal(before.length - after.length, 6);
  assert.deepEqual(
    after.filter(({ principal }) => principal.startsWith("pkcs11")).map(({ id }) => id),
    [theirs.view.id],
  );
  await t.keyring.authenticate(theirs.token, "test");
  await t.reopen();
  await t.keyring.checkStorage();
});
