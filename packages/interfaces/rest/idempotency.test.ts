import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { CasemateError } from "@casemate/foundation/errors";
import { memoryIdempotency, openIdempotencyFile, type IdempotencyStore } from "@casemate/interfaces/rest";
import { restBench } from "@casemate/testkit/rest";

const DAY_MS = 86_400_000;

function temporary(t: { after(action: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), "casemate-idem-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const withKey = (key: string) => ({ headers: { "idempotency-key": key } });

for (const kind of ["memory", "file"] as const) {
  const open = (directory: string): IdempotencyStore =>
    kind === "memory" ? memoryIdempotency() : openIdempotencyFile(join(directory, "idempotency.db"));

  test(`a creating call repeated with its key is done once (${kind})`, async (t) => {
    await using server = await restBench({ idempotency: open(temporary(t)) });
    const body = { name: "once", algorithm: "ed25519", labels: { a: "1", b: "2" } };
    const first = await server.call({ url: "/v1/keys", body, ...withKey("k1") });
    // The same request with its fields in another order.
    const again = await server.call({
      url: "/v1/keys",
      body: { labels: { b: "2", a: "1" }, algorithm: "ed25519", name: "once" },
      ...withKey("k1"),
    });
    assert.deepEqual([first.status, again.status], [201, 201]);
    assert.deepEqual(again.json, first.json);
    const other = await server.call({ url: "/v1/keys", body: { ...body, name: "twice" }, ...withKey("k1") });
    assert.deepEqual([other.status, other.json["code"]], [422, "IDEMPOTENCY_MISMATCH"]);
    const rotated = await server.call({ url: "/v1/keys/once/rotate", method: "POST", ...withKey("k2") });
    const rotatedAgain = await server.call({ url: "/v1/keys/once/rotate", method: "POST", ...withKey("k2") });
    assert.equal(rotated.json["primaryVersion"], 2);
    assert.deepEqual(rotatedAgain.json, rotated.json);
  });

  test(`keys of one caller mean nothing to another, and are forgotten after a day (${kind})`, async (t) => {
    await using server = await restBench({ idempotency: open(temporary(t)) });
    const make = (name: string, token?: string) =>
      server.call({
        url: "/v1/tokens",
        body: { principal: name, roles: ["user"] },
        ...withKey("same"),
        ...(token === undefined ? {} : { token }),
      });
    const first = await make("p1");
    assert.equal(first.status, 201);
    const other = await server.tokenFor("admin");
    assert.equal((await make("p2", other)).status, 201);
    server.temporary.clock.advance(DAY_MS + 1000);
    assert.equal((await make("p3")).status, 201);
  });

  test(`a refused call may be repeated under its key (${kind})`, async (t) => {
    await using server = await restBench({ idempotency: open(temporary(t)) });
    const call = () => server.call({ url: "/v1/keys/late/rotate", method: "POST", ...withKey("k") });
    assert.equal((await call()).status, 404);
    await server.call({ url: "/v1/keys", body: { name: "late", algorithm: "ed25519" } });
    assert.equal((await call()).json["primaryVersion"], 2);
  });
}

test("a new token is answered again to the same caller, and its secret is not in the file", async (t) => {
  const directory = temporary(t);
  const path = join(directory, "idempotency.db");
  await using server = await restBench({ idempotency: openIdempotencyFile(path) });
  const call = () => server.call({ url: "/v1/tokens", body: { principal: "p", roles: ["user"] }, ...withKey("k") });
  const first = await call();
  const token = String(first.json["token"]);
  assert.ok(token.length > 20);
  assert.equal((await call()).json["token"], token);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  // Its last part, which may contain the "_" that separates the parts.
  const secret = token.slice(-20);
  const files = readdirSync(directory);
  assert.ok(files.length > 0);
  for (const file of files) assert.ok(!readFileSync(join(directory, file), "latin1").includes(secret), file);
});

test("answers survive a restart, and a call that was cut off is finished by its repetition", async (t) => {
  const directory = temporary(t);
  const path = join(directory, "idempotency.db");
  await using server = await restBench({ idempotency: openIdempotencyFile(path) });
  const body = { name: "kept", algorithm: "ed25519" };
  const first = await server.call({ url: "/v1/keys", body, ...withKey("k1") });

  // The device answers, then the server dies before the answer is kept.
  const { keyring } = server.temporary;
  const create = keyring.createKey.bind(keyring);
  t.mock.method(keyring, "createKey", async (...given: Parameters<typeof create>) => {
    await create(...given);
    throw new CasemateError("DEVICE_RESTARTED", "gone in the middle");
  });
  const rotate = keyring.rotateKey.bind(keyring);
  t.mock.method(keyring, "rotateKey", async (...given: Parameters<typeof rotate>) => {
    await rotate(...given);
    throw new CasemateError("DEVICE_RESTARTED", "gone in the middle");
  });
  const cut = await server.call({ url: "/v1/keys", body: { ...body, name: "cut" }, ...withKey("k2") });
  assert.equal(cut.status, 503);
  server.temporary.clock.advance(5);
  assert.equal((await server.call({ url: "/v1/keys/kept/rotate", method: "POST", ...withKey("k3") })).status, 503);
  assert.equal(cut.headers["retry-after"], "1");
  t.mock.restoreAll();

  const { createRestServer } = await import("@casemate/interfaces/rest");
  const log = { info() {}, warn() {}, error() {} };
  const second = await createRestServer({
    keyring,
    version: "0",
    clock: server.temporary.clock,
    log,
    idempotency: openIdempotencyFile(path),
  });
  t.after(() => second.close());
  const again = (payload: object, key: string, url = "/v1/keys") =>
    second.app.inject({
      method: "POST",
      url,
      headers: { authorization: `Bearer ${server.temporary.adminToken}`, "idempotency-key": key },
      payload,
    });
  const replayed = await again(body, "k1");
  assert.deepEqual(replayed.json(), first.json);
  const finished = await again({ ...body, name: "cut" }, "k2");
  assert.equal(finished.statusCode, 201);
  assert.equal(finished.json<{ name: string }>().name, "cut");
  // A repetition that is refused says nothing about the first try.
  const locked = t.mock.method(keyring, "getKey", () =>
    Promise.reject(new CasemateError("DEVICE_LOCKED", "not before it is unlocked")),
  );
  assert.equal((await again({}, "k3", "/v1/keys/kept/rotate")).statusCode, 423);
  locked.mock.restore();
  for (const [key, version] of [
    ["k3", 2],
    ["k3", 2],
    ["k4", 3],
  ] as const) {
    server.temporary.clock.advance(5);
    const rotated = await again({}, key, "/v1/keys/kept/rotate");
    assert.equal(rotated.json<{ primaryVersion: number }>().primaryVersion, version, key);
  }
});

test("what was done is answered, now and again, although its answer finds no room", async (t) => {
  const kept = memoryIdempotency();
  let full = false;
  const room = (): void => {
    if (full) throw new CasemateError("STORAGE_FULL", "no room");
  };
  await using server = await restBench({
    idempotency: {
      ...kept,
      put(id, entry) {
        if (entry.sealed !== undefined) room();
        kept.put(id, entry);
      },
      remove(id) {
        room();
        kept.remove(id);
      },
    },
  });
  const { keyring } = server.temporary;
  const make = (name: string, key: string) =>
    server.call({ url: "/v1/keys", body: { name, algorithm: "ed25519" }, ...withKey(key) });
  full = true;
  const first = await make("made", "k1");
  assert.equal(first.status, 201);
  assert.deepEqual((await make("made", "k1")).json, first.json);
  t.mock.method(keyring, "createKey", () => Promise.reject(new CasemateError("DEVICE_FULL", "no more keys")));
  assert.equal((await make("refused", "k2")).json["code"], "DEVICE_FULL", "not what its bookkeeping met");
  t.mock.restoreAll();
  full = false;
  assert.equal((await make("refused", "k2")).status, 201);
  assert.deepEqual((await make("made", "k1")).json, first.json);
});

test("an answer is given again only as policy allows it now, and that is on record", async () => {
  await using server = await restBench();
  const { keyring, adminToken } = server.temporary;
  const admin = await keyring.authenticate(adminToken, "test");
  const { token } = await keyring.createToken(admin, { principal: "op", roles: ["admin"] });
  const calls = [
    { url: "/v1/keys", body: { name: "mine", algorithm: "ed25519" }, token, ...withKey("k1") },
    { url: "/v1/keys/mine/rotate", method: "POST", token, ...withKey("k2") },
    { url: "/v1/tokens", body: { principal: "other", roles: ["user"] }, token: adminToken, ...withKey("k3") },
  ] as const;
  const of = (action: string) => server.temporary.audit.entries.filter((entry) => entry.action === action);
  for (const [index, action] of ["key.create", "key.rotate", "token.create"].entries()) {
    const call = calls[index]!;
    const first = await server.call(call);
    const before = of(action).length;
    assert.deepEqual((await server.call(call)).json, first.json);
    assert.equal(of(action).length, before + 1, action);
    const { outcome, details, resource } = of(action).at(-1)!;
    assert.deepEqual([outcome, details], ["ok", { repeated: true }]);
    assert.equal(resource, action === "token.create" ? "" : "key/mine");
  }
  for (const [index, action] of ["key.create", "key.rotate", "token.create"].entries()) {
    await keyring.setPolicy(admin, `no-${index}`, `forbid ${action}`);
    const refused = await server.call(calls[index]!);
    assert.deepEqual([refused.status, refused.json["code"]], [403, "FORBIDDEN"]);
    assert.equal(of(action).at(-1)?.outcome, "FORBIDDEN");
  }
});

test("a call is refused while the first one under its key is under way, and answered by it afterwards", async (t) => {
  await using server = await restBench();
  const { keyring } = server.temporary;
  const create = keyring.createKey.bind(keyring);
  const held = Promise.withResolvers<void>();
  t.mock.method(keyring, "createKey", async (...given: Parameters<typeof create>) => {
    await held.promise;
    return create(...given);
  });
  const make = () => server.call({ url: "/v1/keys", body: { name: "slow", algorithm: "ed25519" }, ...withKey("k") });
  const first = make();
  let second = await make();
  assert.deepEqual([second.status, second.json["code"]], [409, "CONFLICT"]);
  held.resolve();
  assert.equal((await first).status, 201);
  second = await make();
  assert.deepEqual(second.json, (await first).json);
});

test("a file of the version before is read on, and a damaged one is named with what to do", async (t) => {
  const path = join(temporary(t), "idempotency.db");
  const old = new DatabaseSync(path);
  old.exec(`CREATE TABLE call (id BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, run TEXT NOT NULL, at INTEGER NOT NULL, sealed BLOB) STRICT, WITHOUT ROWID;
    CREATE INDEX call_at ON call (at); PRAGMA user_version = 1`);
  old.prepare("INSERT INTO call VALUES (?, ?, 'r', 5, ?)").run(new Uint8Array(32), Uint8Array.of(1), Uint8Array.of(2));
  old.close();
  const store = openIdempotencyFile(path);
  assert.deepEqual(
    { ...store.get(new Uint8Array(32)) },
    { fingerprint: Uint8Array.of(1), at: 5, sealed: Uint8Array.of(2) },
  );
  store.close();
  openIdempotencyFile(path).close();
  for (const damaged of [Buffer.alloc(4096), Buffer.from("no database at all, but some text of enough length")]) {
    writeFileSync(path, damaged);
    assert.throws(
      () => openIdempotencyFile(path).close(),
      (error: CasemateError) => error.message.includes(path) && /move it away/.test(error.hint ?? ""),
    );
  }
});

test("a key that is no plain word is refused", async () => {
  await using server = await restBench();
  for (const key of ["", "a b", "x".repeat(129), "é"]) {
    const answer = await server.call({
      url: "/v1/keys",
      body: { name: "n", algorithm: "ed25519" },
      via: "inject",
      ...withKey(key),
    });
    assert.equal(answer.status, 400, key);
  }
});
