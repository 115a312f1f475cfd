import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { isCasemateError } from "@casemate/foundation/errors";
import type { Change, Row, Store } from "@casemate/keyring/core";
import { openSqliteStore } from "@casemate/keyring/storage";

const KEY = new Uint8Array(32).fill(7);
const HEAD = { size: 0, hash: "0".repeat(64) };

class Directory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "casemate-store-"));
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
  /** Changes the closed database as somebody with the file could. */
  edit(sql: string): void {
    const db = new DatabaseSync(join(this.path, "casemate.db"));
    db.exec(sql);
    db.close();
  }
}

function refused(code: string, pattern = /./) {
  return (error: unknown): boolean => {
    assert.ok(isCasemateError(error), String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  };
}

function row(id: string, revision = 1, body = "{}"): Row {
  return { id, revision, body, index: { principal: "p" } };
}

function put(id: string, revision = 1, body = "{}"): Change {
  return { kind: "put", collection: "token", row: row(id, revision, body) };
}

async function keyed(directory: Directory): Promise<Store> {
  const store = await openSqliteStore(directory.path);
  await store.useKey(KEY);
  return store;
}

test("a commit is all or nothing, and a stale revision is a conflict", async () => {
  using directory = new Directory();
  const store = await keyed(directory);
  await store.commit([put("a"), put("b")], HEAD);
  await assert.rejects(store.commit([put("c"), put("a")], HEAD), refused("CONFLICT"));
  assert.equal(await store.get("token", "id", "c"), undefined);
  await store.commit([put("a", 2, '{"n":2}')], HEAD);
  assert.equal((await store.get("token", "id", "a"))?.body, '{"n":2}');
  await store.commit([{ kind: "delete", collection: "token", id: "b", revision: 1 }], HEAD);
  assert.equal((await store.head()).rows, 1);
  await store.check();
  await store.close();
});

test("rows written before the storage key are sealed by it, and verified ever after", async () => {
  using directory = new Directory();
  const store = await openSqliteStore(directory.path);
  assert.equal(store.state, "new");
  await store.commit([put("a")], HEAD);
  await store.useKey(KEY);
  await store.check();
  await store.close();
  const again = await openSqliteStore(directory.path);
  assert.equal(again.state, "sealed");
  await assert.rejects(again.commit([put("b")], HEAD), refused("DEVICE_LOCKED"));
  await assert.rejects(again.useKey(new Uint8Array(32)), refused("TAMPER_DETECTED"));
  await again.useKey(KEY);
  await again.commit([put("b")], HEAD);
  await again.check();
  await again.close();
});

const EDITS: readonly (readonly [string, string, RegExp])[] = [
  ["body", `UPDATE token SET body = '{"roles":["admin"]}' WHERE id = 'b'`, /token b/],
  ["indexed column", "UPDATE token SET principal = 'root' WHERE id = 'b'", /token b/],
  ["revision", "UPDATE token SET revision = 9 WHERE id = 'b'", /token b/],
  ["MAC removed", "UPDATE token SET mac = NULL WHERE id = 'b'", /token b/],
  [
    "row copied under another id",
    "INSERT INTO token SELECT 'd', revision, body, mac, principal FROM token WHERE id = 'b'",
    /token d/,
  ],
  ["row removed", "DELETE FROM token WHERE id = 'b'", /2 rows.*counts 3/],
];
for (const [what, sql, named] of EDITS) {
  test(`a changed database is detected and the first bad row named: ${what}`, async () => {
    using directory = new Directory();
    const store = await keyed(directory);
    await store.commit([put("a"), put("b"), put("c")], HEAD);
    await store.close();
    directory.edit(sql);
    const again = await keyed(directory);
    await assert.rejects(again.check(), refused("TAMPER_DETECTED", named));
    await again.close();
  });
}

test("a single row put back to its older, once valid state is detected", async () => {
  using directory = new Directory();
  const store = await keyed(directory);
  await store.commit([put("a", 1, '{"old":1}'), put("b")], HEAD);
  await store.close();
  const aside = `ATTACH '${join(directory.path, "aside.db")}' AS aside`;
  directory.edit(`${aside}; CREATE TABLE aside.kept AS SELECT * FROM token WHERE id = 'a'`);
  const next = await keyed(directory);
  await next.commit([put("a", 2, '{"new":1}')], HEAD);
  await next.close();
  directory.edit(`${aside}; DELETE FROM token WHERE id = 'a'; INSERT INTO token SELECT * FROM aside.kept`);
  const again = await keyed(directory);
  assert.equal((await again.get("token", "id", "a"))?.body, '{"old":1}');
  await assert.rejects(again.check(), refused("TAMPER_DETECTED", /older state/));
  await again.close();
});

test("a check sees one moment while commits go on beside it", async () => {
  using directory = new Directory();
  const store = await keyed(directory);
  for (let n = 0; n < 3; n++)
    await store.commit(
      Array.from({ length: 500 }, (_, i) => put(`t${n}-${i}`)),
      HEAD,
    );
  const checked = store.check();
  for (let n = 0; n < 20; n++) {
    await store.commit([put(`later${n}`), put(`t0-${n}`, 2, '{"n":2}')], HEAD);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await checked;
  await store.check();
  await store.close();
});

test("a changed head is detected when the storage key comes", async () => {
  using directory = new Directory();
  const store = await keyed(directory);
  await store.commit([put("a")], HEAD);
  await store.close();
  directory.edit("UPDATE head SET generation = generation + 1");
  const again = await openSqliteStore(directory.path);
  await assert.rejects(again.useKey(KEY), refused("TAMPER_DETECTED", /head/));
  await again.close();
});

test("a second opener is refused and told the owner's process id", async () => {
  using directory = new Directory();
  const store = await openSqliteStore(directory.path);
  await assert.rejects(
    openSqliteStore(directory.path),
    refused("STORAGE_IN_USE", new RegExp(`by process ${process.pid}`)),
  );
  await store.close();
  await (await openSqliteStore(directory.path)).close();
});

test("the lock of a process that was killed needs no hand", async () => {
  using directory = new Directory();
  const script = `
    const { openSqliteStore } = await import("@casemate/keyring/storage");
    const store = await openSqliteStore(${JSON.stringify(directory.path)});
    await store.useKey(new Uint8Array(32).fill(7));
    await store.commit([${JSON.stringify(put("a"))}], ${JSON.stringify(HEAD)});
    process.stdout.write("ready");
    setInterval(() => {}, 1000);`;
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", script],
    {
      cwd: import.meta.dirname,
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  try {
    await once(child.stdout, "data");
    await assert.rejects(
      openSqliteStore(directory.path),
      refused("STORAGE_IN_USE", new RegExp(`process ${child.pid}`)),
    );
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  const store = await keyed(directory);
  assert.ok(await store.get("token", "id", "a"));
  await store.check();
  await store.close();
});

test("a database of a newer program is refused", async () => {
  using directory = new Directory();
  await (await openSqliteStore(directory.path)).close();
  directory.edit("PRAGMA user_version = 4711");
  await assert.rejects(openSqliteStore(directory.path), refused("STORAGE_NEWER", /4711/));
});

test("a full disk refuses writes, loses nothing, and reads go on", async () => {
  using directory = new Directory();
  const store = await openSqliteStore(directory.path, { maxPages: 60 });
  await store.useKey(KEY);
  const big = JSON.stringify({ text: "x".repeat(8000) });
  let written = 0;
  await assert.rejects(
    async () => {
      for (; written < 1000; written++) await store.commit([put(`t${written}`, 1, big)], HEAD);
    },
    refused("STORAGE_FULL", /^the disk is full: .*casemate\.db cannot grow$/),
  );
  assert.ok(written > 0);
  assert.equal((await store.get("token", "id", "t0"))?.body, big);
  assert.equal(await store.count("token"), written);
  await store.check();
  await assert.rejects(store.commit([put("again", 1, big)], HEAD), refused("STORAGE_FULL"));
  await store.commit([{ kind: "delete", collection: "token", id: "t0", revision: 1 }], HEAD);
  await store.commit([put("fits", 1, big)], HEAD);
  await store.check();
  await store.close();
});

test("a damaged file is an error that names it, never wrong data", async () => {
  using directory = new Directory();
  const store = await keyed(directory);
  for (let n = 0; n < 50; n++) await store.commit([put(`t${n}`, 1, JSON.stringify({ text: "x".repeat(2000) }))], HEAD);
  await store.close();
  const file = join(directory.path, "casemate.db");
  const bytes = readFileSync(file);
  writeFileSync(file, bytes.fill(0x5a, 4096, bytes.length));
  await assert.rejects(
    async () => {
      const again = await openSqliteStore(directory.path);
      try {
        await again.useKey(KEY);
        await again.check();
      } finally {
        await again.close();
      }
    },
    (error) =>
      isCasemateError(error) && /STORAGE_FAILED|TAMPER_DETECTED/.test(error.code) && /casemate\.db/.test(error.message),
  );
  writeFileSync(file, "not a database at all, but text of some length ".repeat(100));
  await assert.rejects(openSqliteStore(directory.path), refused("STORAGE_FAILED", /casemate\.db/));
});

test("cursors walk a collection in order, filters and prefixes hold", async () => {
  using directory = new Directory();
  const store = await keyed(directory);
  const key = (name: string, device: string): Change => ({
    kind: "put",
    collection: "key",
    row: {
      id: `id-${name}`,
      revision: 1,
      body: "{}",
      index: { name, device, state: "active", algorithm: "x", due: null, ref: null },
    },
  });
  await store.commit(
    ["a1", "a2", "b1", "b2"].map((name) => key(name, name.startsWith("a") ? "x" : "y")),
    HEAD,
  );
  const names = async (query: object): Promise<unknown[]> =>
    (await store.find("key", { order: "name", limit: 10, ...query })).map((found) => found.index["name"]);
  assert.deepEqual(await names({}), ["a1", "a2", "b1", "b2"]);
  assert.deepEqual(await names({ after: "a2", limit: 1 }), ["b1"]);
  assert.deepEqual(await names({ equals: { device: "y" } }), ["b1", "b2"]);
  assert.deepEqual(await names({ prefix: { column: "name", text: "a" } }), ["a1", "a2"]);
  await assert.rejects(
    store.commit(
      [
        {
          kind: "put",
          collection: "key",
          row: {
            id: "other",
            revision: 1,
            body: "{}",
            index: { name: "a1", device: "x", state: "active", algorithm: "x" },
          },
        },
      ],
      HEAD,
    ),
    refused("ALREADY_EXISTS"),
  );
  await store.close();
});
