/** Indexes and layout that were changed behind Casemate's back: SQLite believes them, so rows that are untouched vanish or are met twice. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { isCasemateError } from "@casemate/foundation/errors";
import type { Change, Store } from "@casemate/keyring/core";
import { openSqliteStore } from "@casemate/keyring/storage";

const KEY = new Uint8Array(32).fill(7);
const HEAD = { size: 0, hash: "0".repeat(64) };
const PAGE = 4096;
const NAMES = ["alpha", "bravo", "charlie", "delta"];

class Directory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "casemate-index-"));
  readonly file = join(this.path, "casemate.db");

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  async open(): Promise<Store> {
    const store = await openSqliteStore(this.path);
    await store.useKey(KEY);
    return store;
  }

  async fill(changes: readonly Change[] = CHANGES): Promise<void> {
    const store = await this.open();
    await store.commit(changes, HEAD);
    await store.check();
    await store.close();
  }

  edit(...sql: string[]): void {
    for (const each of sql) {
      const db = new DatabaseSync(this.file, { defensive: false });
      db.exec(`PRAGMA writable_schema = ON; ${each}`);
      db.close();
    }
  }

  /** Changes rows while SQLite does not know of the index, which stays as it was. */
  without(index: string, sql: string): void {
    this.edit(
      `CREATE TABLE aside AS SELECT * FROM sqlite_schema WHERE name = '${index}';
       DELETE FROM sqlite_schema WHERE name = '${index}'`,
      sql,
      "INSERT INTO sqlite_schema SELECT * FROM aside; DROP TABLE aside",
    );
  }

  /** The one page of a small index. */
  page(index: string): number {
    const db = new DatabaseSync(this.file, { readOnly: true });
    const root = db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = ?").get(index)?.["rootpage"];
    db.close();
    return (Number(root) - 1) * PAGE;
  }

  change(index: string, from: string, to: string): void {
    const bytes = readFileSync(this.file);
    const start = this.page(index);
    const at = bytes.subarray(start, start + PAGE).indexOf(from);
    assert.ok(at > 0, `${from} is not in ${index}`);
    bytes.write(to, start + at);
    writeFileSync(this.file, bytes);
  }

  async check(): Promise<void> {
    const store = await this.open();
    try {
      await store.check();
    } finally {
      await store.close();
    }
  }

  async refuses(pattern: RegExp): Promise<void> {
    await assert.rejects(this.check(), tampered(pattern));
  }
}

function tampered(pattern: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(isCasemateError(error), String(error));
    assert.equal(error.code, "TAMPER_DETECTED", error.message);
    assert.match(error.message, pattern);
    assert.match(error.message, /casemate\.db/);
    assert.match(error.hint ?? "", /^Restore the data directory from a backup/);
    return true;
  };
}

const CHANGES: readonly Change[] = NAMES.flatMap((name, n): Change[] => [
  {
    kind: "put",
    collection: "key",
    row: {
      id: `id-${name}`,
      revision: 1,
      body: "{}",
      index: { name, device: "hsm-1", state: "active", algorithm: "ed25519", due: n + 1000, ref: `ref-${name}` },
    },
  },
  { kind: "put", collection: "token", row: { id: `t-${name}`, revision: 1, body: "{}", index: { principal: name } } },
  {
    kind: "put",
    collection: "object",
    row: { id: `o-${name}`, revision: 1, body: "{}", index: { token_label: "t", class: n, label: name, cka_id: name } },
  },
]);

for (const name of NAMES)
  test(`one letter of ${name} changed in the index of names: the index is named, and what it hides`, async () => {
    using directory = new Directory();
    await directory.fill();
    directory.change("sqlite_autoindex_key_2", name, `${name.slice(0, -1)}_`);
    const store = await directory.open();
    assert.equal(await store.get("key", "name", name), undefined, "which is what the check is for");
    await store.close();
    await directory.refuses(
      new RegExp(`: index sqlite_autoindex_key_2 of table key \\(name\\) was changed .*: it does not lead to ${name}$`),
    );
  });

for (const [index, from, to] of [
  ["key_device", "hsm-1charlie", "hsm-2charlie"],
  ["key_state", "activebravo", "actiVebravo"],
  ["key_algorithm", "ed25519delta", "ed25510delta"],
  ["key_ref", "ref-alpha", "ref-alphb"],
  ["token_principal", "bravo", "brave"],
  ["object_label", "tdelta", "udelta"],
  ["object_cka_id", "tdelta", "tdelto"],
] as const)
  test(`one letter changed in ${index} is detected and named`, async () => {
    using directory = new Directory();
    await directory.fill();
    directory.change(index, from, to);
    await directory.refuses(new RegExp(`: index ${index} of table \\w+ \\(.+\\) was changed .*: it does not lead to `));
  });

test("one letter changed in an index of ids is a changed row", async () => {
  using directory = new Directory();
  await directory.fill();
  directory.change("sqlite_autoindex_key_1", "id-bravo", "id-brave");
  await assert.rejects(directory.check(), /key bravo: its stored row was changed/);
});

for (const index of ["key_device", "key_state", "key_algorithm", "key_due", "key_ref"])
  test(`a row that ${index} misses, and an entry that no row has, are detected and named`, async () => {
    using missing = new Directory();
    await missing.fill();
    missing.without(index, "UPDATE key SET rowid = rowid + 1000 WHERE name = 'bravo'");
    await missing.refuses(new RegExp(`: index ${index} of table key .* it does not lead to bravo$`));
    using more = new Directory();
    await more.fill();
    more.edit(
      "INSERT INTO key SELECT 'zz', revision, body, mac, 'zz', device, state, algorithm, due, ref FROM key LIMIT 1",
    );
    more.without(index, "DELETE FROM key WHERE id = 'zz'");
    await more.refuses(new RegExp(`: index ${index} of table key .* it has 5 entries for 4 rows$`));
  });

test("entries in a wrong order, which a search cannot find, are detected and named", async () => {
  using directory = new Directory();
  await directory.fill();
  const bytes = readFileSync(directory.file);
  // After the header of 8 bytes a leaf has the places of its cells, two bytes each, in order.
  const [first, second] = [directory.page("sqlite_autoindex_key_2") + 8, directory.page("sqlite_autoindex_key_2") + 10];
  const place = bytes.readUInt16BE(first);
  bytes.writeUInt16BE(bytes.readUInt16BE(second), first);
  bytes.writeUInt16BE(place, second);
  writeFileSync(directory.file, bytes);
  await directory.refuses(/: index sqlite_autoindex_key_2 of table key .* it does not lead to (alpha|bravo)$/);
});

test("a row with an empty id, which no walk along the ids meets, is detected", async () => {
  using directory = new Directory();
  await directory.fill();
  directory.edit("INSERT INTO policy (id, revision, body) VALUES ('', 1, '{}')");
  await directory.refuses(/: index sqlite_autoindex_policy_1 of table policy \(id\) .* it has 1 entries for 0 rows$/);
});

test("rows of several slices agree with their indexes, and one beyond the first slice is checked as well", async () => {
  using directory = new Directory();
  const tokens = Array.from({ length: 700 }, (_, n): Change => {
    const id = `t${String(n).padStart(3, "0")}`;
    return { kind: "put", collection: "token", row: { id, revision: 1, body: "{}", index: { principal: "p" } } };
  });
  await directory.fill(tokens);
  directory.without("token_principal", "UPDATE token SET rowid = rowid + 1000 WHERE id = 't650'");
  await directory.refuses(/: index token_principal of table token \(principal, id\) .* it does not lead to t650$/);
});

test("a page of an index that is none any more is said as damage, as tampered", async () => {
  using directory = new Directory();
  await directory.fill();
  const bytes = readFileSync(directory.file);
  bytes.writeUInt8(0x5a, directory.page("key_state"));
  writeFileSync(directory.file, bytes);
  await directory.refuses(/is damaged \(database disk image is malformed\)/);
});

for (const [sql, named] of [
  ["DROP TABLE object", /: table object is missing$/],
  ["DROP TABLE head", /: table head is missing/],
  ["DROP INDEX key_state", /: index key_state is missing/],
  ["DROP INDEX key_due; CREATE INDEX key_due ON key (due) WHERE due > 9", /: index key_due was changed/],
  ["CREATE TRIGGER t AFTER INSERT ON key BEGIN DELETE FROM key; END", /: trigger t was added/],
  ["CREATE VIEW v AS SELECT * FROM key", /: view v was added/],
  ["PRAGMA user_version = 0", /is not laid out as Casemate left it \(table head already exists\)/],
] as const)
  test(`another layout is refused when the database is opened: ${sql}`, async () => {
    using directory = new Directory();
    await directory.fill();
    directory.edit(sql);
    await assert.rejects(openSqliteStore(directory.path), tampered(named));
  });

test("a table dropped while the store is open is named with what to do, and statistics are no change", async () => {
  using directory = new Directory();
  await directory.fill();
  directory.edit("ANALYZE");
  const store = await directory.open();
  await store.check();
  directory.edit("DROP TABLE object");
  await assert.rejects(store.get("object", "id", "o-alpha"), tampered(/\(no such table: object\)/));
  await assert.rejects(store.check(), tampered(/object/));
  await store.close();
});
