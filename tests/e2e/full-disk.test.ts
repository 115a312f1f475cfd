/** A whole server whose data directory fills up: what is refused, what goes on, and that nothing acknowledged is lost. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKF, CKM, CKO, CKR, CKU } from "@casemate/protocols/p11-rpc";
import { attribute, CkrError, mechanism, TestClient } from "@casemate/testkit/pkcs11";
import { casemate, startServer, type Ran, type RunningServer } from "./harness.ts";
import { SmallDisk } from "./small-disk.ts";

/** Uses that fit into pages which already are the log's own. */
const MOST_USES = 500;
const HINT = /STORAGE_FULL[\s\S]*?hint"?: .*(?:room|space)/i;
/** What is full, what is refused, what to do, what goes on: no file, no code of the system, nothing of how it is kept. */
const IN_WORDS =
  /^casemate: the disk is full: (?:nothing can be made or changed|what needs an audit record, such as changes and uses of keys, is refused) \(STORAGE_FULL\)\nHint: Free space on the disk of the data directory, then try again\. Listing, .* meanwhile\.\n$/;

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

interface World {
  readonly disk: SmallDisk;
  readonly server: RunningServer;
  readonly token: string;
  readonly message: string;
  readonly signature: string;
  readonly cli: (args: string) => Promise<Ran>;
  readonly rest: (method: "GET" | "POST", path: string, body?: object) => Promise<Answer>;
}

async function settle(disk: SmallDisk): Promise<World> {
  const server = await startServer(disk.data);
  const token = readFileSync(join(disk.data, "admin.token"), "utf8").trim();
  const message = join(disk.beside, "message");
  const signature = join(disk.beside, "signature");
  writeFileSync(message, "m");
  const cli = (args: string): Promise<Ran> => casemate(disk.data, args.split(" "));
  const rest = async (method: "GET" | "POST", path: string, body?: object): Promise<Answer> => {
    const response = await fetch(`${server.announced.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Answer["body"] };
  };
  const made = await cli("key create before --algorithm ed25519");
  assert.equal(made.status, 0, made.stderr);
  assert.equal((await cli(`sign before --in ${message} --out ${signature}`)).status, 0);
  return { disk, server, token, message, signature, cli, rest };
}

const input = Buffer.from("m").toString("base64");

/** Signs until the disk is full. The number of signatures that were handed out. */
async function signUntilRefused({ rest }: World): Promise<number> {
  for (let done = 0; done < MOST_USES; done++) {
    const { status, body } = await rest("POST", "/v1/keys/before/sign", { input });
    if (status === 200) continue;
    assert.equal(status, 507, JSON.stringify(body));
    assert.equal(body["code"], "STORAGE_FULL");
    assert.match(String(body["hint"]), /room|space/);
    return done;
  }
  return assert.fail(`${MOST_USES} signatures and no end`);
}

async function changesAreRefused({ cli, rest, message, disk }: World): Promise<void> {
  const created = await rest("POST", "/v1/keys", { name: "refused", algorithm: "ed25519" });
  assert.equal(created.status, 507);
  assert.equal(created.body["code"], "STORAGE_FULL");
  for (const args of [
    "key create refused --algorithm ed25519",
    `sign before --in ${message} --out ${join(disk.beside, "refused")}`,
    "key rotate before",
    "token create someone --role user",
  ]) {
    const { status, stderr } = await cli(args);
    assert.equal(status, 1, args);
    assert.match(stderr, IN_WORDS, args);
  }
  assert.ok(!existsSync(join(disk.beside, "refused")));
}

async function readsGoOn(world: World): Promise<void> {
  const { cli, message, signature, server } = world;
  for (const args of [
    "key list --json",
    "key show before",
    "key public before",
    `verify before --in ${message} --signature ${signature}`,
    "audit verify",
    "audit list",
    "device list",
    "status",
  ]) {
    const { status, stderr } = await cli(args);
    assert.equal(status, 0, `${args}: ${stderr}`);
  }
  const listed = JSON.parse((await cli("key list --json")).stdout) as readonly { readonly name: string }[];
  assert.deepEqual(
    listed.map(({ name }) => name),
    ["before"],
  );
  assert.deepEqual((await world.rest("GET", "/v1/health")).body, { status: "ok" });
  const metrics = await (await fetch(`${server.announced.url}/metrics`)).text();
  assert.match(metrics, /^casemate_audit_unrecorded_total [1-9]/m);
  assert.match(metrics, /outcome="STORAGE_FULL"/);
}

/** Logs in, finds the key and signs; the number of signatures until one is refused, or `most`. */
async function pkcs11Signatures({ disk, token }: World, most: number): Promise<number> {
  await using client = await TestClient.open(join(disk.data, "pkcs11.sock"));
  const [session] = await client.call("C_OpenSession", 0, CKF.SERIAL_SESSION);
  await client.call("C_Login", session, CKU.USER, toUtf8(token));
  const template = [attribute(CKA.LABEL, "before"), attribute(CKA.CLASS, CKO.PRIVATE_KEY)];
  await client.call("C_FindObjectsInit", session, template);
  const [found] = await client.call("C_FindObjects", session, 1);
  const [key] = typeof found === "number" ? [] : found;
  assert.ok(key !== undefined, "the key is found");
  for (let done = 0; done < most; done++) {
    try {
      await client.call("C_SignInit", session, mechanism(CKM.EDDSA), key);
      await client.call("C_Sign", session, toUtf8("m"), 64);
    } catch (error) {
      assert.ok(error instanceof CkrError && error.rv === CKR.DEVICE_MEMORY, String(error));
      return done;
    }
  }
  return most;
}

/** How many records the log has of this. */
async function recorded({ cli }: World, action: string, outcome: string): Promise<number> {
  const { stdout, status, stderr } = await cli(`audit list --outcome ${outcome} --limit 1000 --json`);
  assert.equal(status, 0, stderr);
  return (JSON.parse(stdout) as readonly { readonly action: string }[]).filter((row) => row.action === action).length;
}

test("a server on a full disk refuses what it could not record, reads on, and works again once there is room", async (t: TestContext) => {
  using disk = new SmallDisk();
  if (disk.missing !== undefined) return t.skip(disk.missing);
  const world = await settle(disk);
  const { server, cli } = world;
  try {
    disk.fill();
    const acknowledged = await signUntilRefused(world);
    t.diagnostic(`${acknowledged} signatures fitted into pages that were there`);
    await changesAreRefused(world);
    await readsGoOn(world);
    const overPkcs11 = await pkcs11Signatures(world, MOST_USES);
    assert.ok(overPkcs11 < MOST_USES, "PKCS#11 refuses too, with CKR_DEVICE_MEMORY");

    disk.free();
    const after = await cli("key create after --algorithm ed25519");
    assert.equal(after.status, 0, after.stderr);
    const again = await cli(`sign before --in ${world.message} --out ${world.signature}`);
    assert.equal(again.status, 0, again.stderr);
    assert.equal(await pkcs11Signatures(world, 1), 1);
    const verified = await cli("audit verify");
    assert.equal(verified.status, 0, verified.stderr);
    assert.equal(await recorded(world, "key.sign", "ok"), acknowledged + overPkcs11 + 3, "no signature unrecorded");
    assert.ok((await recorded(world, "audit.gap", "STORAGE_FULL")) > 0, "what was not recorded is named as missing");
    assert.equal(existsSync(`/proc/${server.pid}`), true);
    assert.equal(server.stderr(), "");
  } finally {
    assert.equal(await server.stop(), 0, server.stderr());
  }
});

test("a server that is stopped and started on a full disk reads on or says what to do; with room it has everything", async (t: TestContext) => {
  using disk = new SmallDisk();
  if (disk.missing !== undefined) return t.skip(disk.missing);
  const world = await settle(disk);
  disk.fill();
  const acknowledged = await signUntilRefused(world);
  assert.equal(await world.server.stop(), 0, "it ends in order on a full disk");

  // The index of the write-ahead log went with the server; without room for it nothing can be read.
  disk.fill();
  await assert.rejects(startServer(disk.data), (error: Error) => HINT.test(error.message));

  disk.free();
  disk.fill(LATER_START);
  const reading = await startServer(disk.data);
  disk.fill();
  try {
    const { cli, message, signature } = world;
    assert.equal((await cli("key show before")).status, 0);
    assert.equal((await cli(`verify before --in ${message} --signature ${signature}`)).status, 0);
  } finally {
    assert.equal(await reading.stop(), 0, reading.stderr());
  }

  disk.free();
  const whole = await startServer(disk.data);
  try {
    const { cli } = world;
    assert.equal((await cli("key create after --algorithm ed25519")).status, 0);
    assert.equal((await cli("audit verify")).status, 0);
    assert.equal(await recorded(world, "key.sign", "ok"), acknowledged + 1);
  } finally {
    assert.equal(await whole.stop(), 0, whole.stderr());
  }
});

/** What the guide says that a start needs, and a little more. */
const FIRST_START = 288 * 1024;
const LATER_START = 96 * 1024;

/** Room that is left at the first start: for nothing, for the lock, for the database, for the key file, for the device's state, for the records. */
const ROOM_AT_FIRST_START = [0, 20_480, 98_304, 147_456, 155_648, 172_032, 196_608, 212_992, 245_760] as const;

test("a first start on a full disk is refused as STORAGE_FULL wherever it stops, ends, and is no obstacle to the next", async (t: TestContext) => {
  using disk = new SmallDisk();
  if (disk.missing !== undefined) return t.skip(disk.missing);
  for (const room of ROOM_AT_FIRST_START) {
    disk.clear();
    disk.fill(room);
    const refused = await casemate(disk.data, ["up", "--listen", "127.0.0.1:0"]);
    assert.equal(refused.status, 1, `${room}: ${refused.stderr}`);
    assert.match(refused.stderr, HINT, `${room}`);
    assert.doesNotMatch(refused.stderr, /^ {4}at /m, `${room}`);
    const roots = join(disk.data, "roots");
    const empty = existsSync(roots) ? readdirSync(roots).filter((name) => statSync(join(roots, name)).size === 0) : [];
    assert.deepEqual(empty, [], `${room}: no empty key file`);
    assert.ok(!existsSync(join(disk.data, "admin.token")), `${room}: no half-made token`);

    disk.free();
    const server = await startServer(disk.data);
    try {
      const made = await casemate(disk.data, ["key", "create", "k", "--algorithm", "ed25519"]);
      assert.equal(made.status, 0, `${room}: ${made.stderr}`);
    } finally {
      assert.equal(await server.stop(), 0, server.stderr());
    }
    const verified = await casemate(disk.data, ["audit", "verify"]);
    assert.equal(verified.status, 0, `${room}: ${verified.stderr}`);
  }

  disk.clear();
  disk.fill(FIRST_START);
  const server = await startServer(disk.data);
  assert.equal(await server.stop(), 0, server.stderr());
});
