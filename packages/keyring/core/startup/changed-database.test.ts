/** What starts say of a database whose indexes, tables or own keys were changed while it was closed. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { isCasemateError } from "@casemate/foundation/errors";
import type { Change, Store } from "@casemate/keyring/core";
import { softwareDevice, temporaryKeyring, until, type TemporaryKeyring } from "@casemate/testkit/fakes";

const PAGE = 4096;
const LEAF_OF_INDEX = 0x0a;

function named(message: RegExp, hint = /^Restore the data directory from a backup/) {
  return (error: unknown): boolean => {
    assert.ok(isCasemateError(error), String(error));
    assert.equal(error.code, "TAMPER_DETECTED", error.message);
    assert.match(error.message, message);
    assert.match(error.hint ?? "", hint);
    return true;
  };
}

function edit(t: TemporaryKeyring, sql: string): void {
  const db = new DatabaseSync(join(t.directory, "casemate.db"));
  db.exec(sql);
  db.close();
}

/** One letter of a name, wherever indexes have it and nowhere else. */
function changeInIndexes(t: TemporaryKeyring, name: string): void {
  const file = join(t.directory, "casemate.db");
  const bytes = readFileSync(file);
  let changed = 0;
  for (let page = PAGE; page < bytes.length; page += PAGE) {
    if (bytes[page] !== LEAF_OF_INDEX) continue;
    const at = bytes.subarray(page, page + PAGE).indexOf(name);
    if (at < 0) continue;
    bytes.write("#", page + at);
    changed++;
  }
  assert.ok(changed > 0);
  writeFileSync(file, bytes);
}

test("a name changed in the indexes alone is refused at the start, so that nobody takes the name", async () => {
  await using t = await temporaryKeyring();
  for (const name of ["release", "signing"]) await t.keyring.createKey(t.admin, { name, algorithm: "ed25519" });
  await t.keyring.close();
  changeInIndexes(t, "signing");
  await assert.rejects(
    t.reopen(),
    named(/casemate\.db: index \w+ of table key \(.*name\) .* does not lead to signing$/),
  );
});

test("in a database that is checked beside the work it is an alarm, and everything is refused from then on", async () => {
  let store: Store | undefined;
  await using t = await temporaryKeyring({ wrapStore: (inner) => (store = inner) });
  await t.keyring.createKey(t.admin, { name: "release", algorithm: "ed25519" });
  const tokens = Array.from({ length: 3000 }, (_, n): Change => {
    const row = { id: `t${n}`, revision: 1, body: "{}", index: { principal: "p" } };
    return { kind: "put", collection: "token", row };
  });
  await store?.commit(tokens, t.audit.head);
  await t.keyring.close();
  changeInIndexes(t, "release");
  const keyring = await t.reopen();
  await until(() => keyring.alarm !== undefined);
  assert.match(keyring.alarm ?? "", /index \w+ of table key .* does not lead to release$/);
  await assert.rejects(keyring.createKey(t.admin, { name: "release", algorithm: "ed25519" }), named(/release/));
  await until(() => t.audit.entries.some(({ action }) => action === "storage.check"));
  assert.equal(t.audit.entries.find(({ action }) => action === "storage.check")?.outcome, "TAMPER_DETECTED");
});

test("a table that was dropped is named, with what to do", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.close();
  edit(t, "DROP TABLE object");
  await assert.rejects(t.reopen(), named(/casemate\.db: table object is missing$/));
});

for (const [sql, why] of [
  ["DELETE FROM internal WHERE id = 'casemate-storage'", /internal casemate-storage is missing/],
  ["DELETE FROM internal", /internal casemate-storage is missing/],
  ["UPDATE internal SET body = '{' WHERE id = 'casemate-storage'", /internal casemate-storage cannot be read$/],
  ["UPDATE internal SET body = '{}' WHERE id = 'casemate-storage'", /internal casemate-storage cannot be read$/],
  ["UPDATE internal SET body = replace(body, 'hmac', 'none')", /internal casemate-storage names no way to ask/],
] as const)
  test(`sealed rows without the row that names their key are refused, and no other key is made: ${sql}`, async () => {
    const device = softwareDevice();
    let made = 0;
    const generate: typeof device.keys.generate = (spec) => {
      made++;
      return device.keys.generate(spec);
    };
    const devices = new Map([["hsm-1", { ...device, keys: { ...device.keys, generate } }]]);
    await using t = await temporaryKeyring({ devices });
    await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
    await t.keyring.close();
    edit(t, sql);
    made = 0;
    for (const state of ["operational", "locked"] as const) {
      device.setState(state);
      await assert.rejects(t.reopen(), named(why, /^Put the database back that belongs to this audit log/));
    }
    assert.equal(made, 0);
  });
