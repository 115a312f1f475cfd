/**
 * `kill -9` of server and boundary under load: what was acknowledged is there afterwards, and so is the record of every
 * signature that a PKCS#11 application got. CASEMATE_CRASHES sets how often.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKF, CKM, CKO, CKU } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, TestClient } from "@casemate/testkit/pkcs11";
import { casemate, startServer, temporary, type RunningServer } from "./harness.ts";

const CRASHES = Number(process.env["CASEMATE_CRASHES"] ?? 2);
const IN_FLIGHT = 8;

/** Resolves with the status, or undefined when the connection broke. */
function post(socketPath: string, token: string, path: string, body: object): Promise<number | undefined> {
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const sent = request({ socketPath, path, method: "POST", headers, agent: false }, (response) => {
      response.on("error", () => resolve(undefined));
      response.on("end", () => resolve(response.statusCode));
      response.resume();
    });
    sent.on("error", () => resolve(undefined));
    sent.end(JSON.stringify(body));
  });
}

interface Acknowledged {
  readonly created: Set<string>;
  readonly destroyed: Set<string>;
  /** Digests whose signatures arrived, in hexadecimal. */
  readonly signed: Set<string>;
}

const SIGNING = "signing";

/** Signs through PKCS#11 until the server is gone; remembers every digest whose signature arrived. */
async function signer(socketPath: string, token: string, done: Acknowledged): Promise<void> {
  try {
    await using client = await TestClient.open(socketPath);
    const [session] = await client.call("C_OpenSession", 0, CKF.SERIAL_SESSION);
    await client.call("C_Login", session, CKU.USER, toUtf8(token));
    await client.call("C_FindObjectsInit", session, [
      attribute(CKA.LABEL, SIGNING),
      attribute(CKA.CLASS, CKO.PRIVATE_KEY),
    ]);
    const [found] = await client.call("C_FindObjects", session, 1);
    const key = typeof found === "number" ? undefined : found[0];
    if (key === undefined) return;
    for (;;) {
      const digest = randomBytes(32);
      await client.call("C_SignInit", session, mechanism(CKM.ECDSA), key);
      const [signature] = await client.call("C_Sign", session, digest, 64);
      if (typeof signature !== "number") done.signed.add(digest.toString("hex"));
    }
  } catch {
    // The server or its boundary process is gone: what was answered before counts.
  }
}

/** Everything that the log's segments hold. */
function auditText(data: string): string {
  const directory = join(data, "audit");
  const segments = readdirSync(directory).filter((name) => name.startsWith("records-"));
  return segments.map((name) => readFileSync(join(directory, name), "latin1")).join("");
}

/** Makes, uses and destroys keys until the server is gone; remembers what it was told was done. */
async function load(
  server: RunningServer,
  data: string,
  token: string,
  round: number,
  done: Acknowledged,
): Promise<void> {
  const socket = server.announced.socket ?? "";
  const worker = async (id: number): Promise<void> => {
    for (let i = 0; ; i++) {
      const name = `r${round}-${id}-${i}`;
      const made = await post(socket, token, "/v1/keys", { name, algorithm: i % 2 === 0 ? "ed25519" : "aes-256" });
      if (made === undefined) return;
      if (made === 201) done.created.add(name);
      if (i % 3 !== 0) continue;
      const gone = await post(socket, token, `/v1/keys/${name}/destroy`, { now: true });
      if (gone === undefined) return;
      if (gone === 200) done.destroyed.add(name);
    }
  };
  const signers = Array.from({ length: IN_FLIGHT / 2 }, () => signer(join(data, "pkcs11.sock"), token, done));
  await Promise.all([...Array.from({ length: IN_FLIGHT }, (_, id) => worker(id)), ...signers]);
}

/** Resolves when the load had its first key and its first signature, however slow the machine; or after a minute. */
async function underWay(done: Acknowledged): Promise<void> {
  for (let waited = 0; waited < 60_000 && (done.created.size === 0 || done.signed.size === 0); waited += 5) {
    await sleep(5);
  }
}

/** The boundary process first, in every other round; the server goes on with a new one until its own turn. */
function killSoon(server: RunningServer, round: number): void {
  const at = 50 + Math.random() * 400;
  if (round % 2 === 1) {
    const children = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, "utf8").trim().split(" ");
    setTimeout(() => children.forEach((pid) => process.kill(Number(pid), "SIGKILL")), at * Math.random());
  }
  setTimeout(() => process.kill(server.pid, "SIGKILL"), at);
}

test(`after ${CRASHES} kills under load every acknowledged key, destruction and signature's record is there and the log verifies`, async (t: TestContext) => {
  using directory = temporary();
  const data = join(directory.path, "data");
  const done: Acknowledged = { created: new Set(), destroyed: new Set(), signed: new Set() };
  for (let round = 0; round < CRASHES; round++) {
    const server = await startServer(data);
    const token = readFileSync(join(data, "admin.token"), "utf8").trim();
    if (round === 0) {
      const made = await post(server.announced.socket ?? "", token, "/v1/keys", {
        name: SIGNING,
        algorithm: "ec-p256",
      });
      assert.equal(made, 201);
    }
    const loading = load(server, data, token, round, done);
    await underWay(done);
    killSoon(server, round);
    await loading;
    await server.stop("SIGKILL");
    const records = auditText(data);
    assert.deepEqual(
      [...done.signed].filter((digest) => !records.includes(`"digest":"${digest}"`)),
      [],
      "acknowledged signatures have no record",
    );
  }
  const offline = await casemate(data, ["audit", "verify", "--json"]);
  assert.equal(offline.status, 0, `${offline.stdout}${offline.stderr}`);
  const server = await startServer(data);
  try {
    const { stdout, stderr, status } = await casemate(data, ["key", "list", "--json"]);
    assert.equal(status, 0, stderr);
    const found = new Map(
      (JSON.parse(stdout) as readonly { readonly name: string; readonly state: string }[]).map((key) => [
        key.name,
        key.state,
      ]),
    );
    assert.ok(done.created.size > 0, "the load made no keys");
    assert.ok(done.signed.size > 0, "the load signed nothing");
    t.diagnostic(
      `${done.created.size} keys made, ${done.signed.size} signatures through PKCS#11 and ${done.destroyed.size} destroyed before ${CRASHES} kills`,
    );
    assert.deepEqual(
      [...done.created].filter((name) => !found.has(name)),
      [],
      "acknowledged keys are missing",
    );
    assert.deepEqual(
      [...done.destroyed].filter((name) => found.get(name) !== "destroyed"),
      [],
      "destroyed keys are back",
    );
    const usable = [...done.created].find((name) => name.endsWith("-2") && found.get(name) === "active");
    if (usable !== undefined) assert.equal((await casemate(data, ["sign", usable], { input: "m" })).status, 0);
  } finally {
    assert.equal(await server.stop(), 0);
  }
  const verified = await casemate(data, ["audit", "verify"]);
  assert.match(verified.stdout, /chain ok, \d+ records, checkpoint signed by hsm-1/);
});
