import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ACTIONS, type Action } from "@casemate/keyring/core";
import { renderMatrix, roleMatrix } from "./role-matrix.ts";

const matrix = await roleMatrix();
const [NONE, USER, OPERATOR, AUDITOR, ADMIN, USER_AND_AUDITOR] = [0, 1, 2, 3, 4, 5] as const;

function permitted(column: number): readonly Action[] {
  return ACTIONS.filter((action) => matrix.get(action)?.[column]);
}

test("docs/role-matrix.md is what the policy engine says (else run: node tools/role-matrix.ts)", () => {
  const committed = readFileSync(new URL("../docs/role-matrix.md", import.meta.url), "utf8");
  assert.equal(committed, renderMatrix(matrix));
});

test("no role, no operation; admin, every operation", () => {
  assert.deepEqual(permitted(NONE), []);
  assert.deepEqual(permitted(ADMIN), ACTIONS);
});

const USES = [
  "key.sign",
  "key.encrypt",
  "key.decrypt",
  "key.mac",
  "key.agree",
  "key.encapsulate",
  "key.decapsulate",
  "key.data-keys",
] as const;
const ACCESS = ["token.create", "token.list", "token.revoke", "policy.set", "policy.list"] as const;

test("operators run keys through their lifecycle but neither use them nor hand out access", () => {
  const operator = new Set<Action>(permitted(OPERATOR));
  for (const action of [...USES, ...ACCESS, "key.destroy-now", "device.zeroize", "audit.read"] as const) {
    assert.ok(!operator.has(action), action);
  }
  for (const action of [
    "key.create",
    "key.import",
    "key.rotate",
    "key.suspend",
    "key.destroy",
    "key.restore",
  ] as const) {
    assert.ok(operator.has(action), action);
  }
});

test("users use keys and change nothing", () => {
  assert.deepEqual(
    permitted(USER).filter((action) => !(USES as readonly string[]).includes(action)),
    [
      "key.read",
      "key.list",
      "key.public",
      "key.verify",
      "key.mac-verify",
      "session-key.create",
      "session-key.use",
      "session-key.read",
      "random",
      "device.list",
      "device.read",
      "object.read",
    ],
  );
  for (const action of USES) assert.ok(permitted(USER).includes(action), action);
});

test("auditors see and prove, and nothing else", () => {
  assert.deepEqual(permitted(AUDITOR), [
    "key.read",
    "key.list",
    "key.public",
    "device.list",
    "device.read",
    "token.list",
    "policy.list",
    "policy.explain",
    "audit.read",
    "audit.checkpoint",
    "audit.prove",
  ]);
});

test("who audits uses no key, even with a user's role as well", () => {
  assert.deepEqual(permitted(USER_AND_AUDITOR), permitted(AUDITOR));
});
