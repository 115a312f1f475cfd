/** Changes to the database that leave its rows as they are, or take Casemate's own away: the next start names them. */
import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { casemate, startServer, temporary } from "./harness.ts";

const PAGE = 4096;

describe("a database that was changed beside its rows", () => {
  const directory = temporary();
  const good = join(directory.path, "good");

  before(async () => {
    const server = await startServer(good);
    for (const name of ["alpha", "bravo"]) await casemate(good, ["key", "create", name, "--algorithm", "ed25519"]);
    await server.stop();
  });
  after(() => directory[Symbol.dispose]());

  const copy = (name: string): string => {
    const to = join(directory.path, name);
    cpSync(good, to, { recursive: true, filter: (path) => !path.endsWith(".sock") });
    return to;
  };

  const refused = async (data: string, why: RegExp, hint: RegExp): Promise<void> => {
    const { status, stdout, stderr } = await casemate(data, ["up", "--listen", "127.0.0.1:0"]);
    assert.equal(status, 1, stdout);
    assert.match(stderr, why);
    assert.match(stderr, /\(TAMPER_DETECTED\)/);
    assert.match(stderr, hint);
  };

  test("one letter of a name in the index of names: the start is refused, and names index and key", async () => {
    const data = copy("index");
    const file = join(data, "casemate.db");
    const db = new DatabaseSync(file);
    const indexes = db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_key_2'").all();
    db.close();
    const bytes = readFileSync(file);
    const start = (Number(indexes[0]?.["rootpage"]) - 1) * PAGE;
    const at = bytes.subarray(start, start + PAGE).indexOf("bravo");
    assert.ok(at > 0);
    bytes.write("brave", start + at);
    writeFileSync(file, bytes);
    await refused(
      data,
      /index sqlite_autoindex_key_2 of table key \(name\) was changed .* does not lead to bravo/,
      /Restore the data directory from a backup/,
    );
  });

  for (const [name, sql, why, hint] of [
    ["table", "DROP TABLE object", /: table object is missing/, /Restore the data directory from a backup/],
    [
      "storage-key",
      "DELETE FROM internal WHERE id = 'casemate-storage'",
      /internal casemate-storage is missing/,
      /Put the database back that belongs to this audit log/,
    ],
    ["internal", "DELETE FROM internal", /internal casemate-storage is missing/, /Put the database back/],
  ] as const)
    test(`the start is refused by name, and so is the next: ${sql}`, async () => {
      const data = copy(name);
      const db = new DatabaseSync(join(data, "casemate.db"));
      db.exec(sql);
      db.close();
      for (let start = 0; start < 2; start++) await refused(data, why, hint);
      // Nothing was made of it: the database of before is good again.
      cpSync(join(good, "casemate.db"), join(data, "casemate.db"));
      const server = await startServer(data);
      try {
        assert.equal((await casemate(data, ["status"])).status, 0);
      } finally {
        await server.stop();
      }
    });
});
