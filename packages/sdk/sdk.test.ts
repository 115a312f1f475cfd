import assert from "node:assert/strict";
import { createPublicKey, randomBytes, verify } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { CasemateApiError, createClient, fetchTransport, type Client, type Transport } from "@casemate/sdk";
import { unixTransport } from "@casemate/sdk/node";
import { restBench, type RestBench } from "@casemate/testkit/rest";

let server: RestBench;
let baseUrl: string;
let client: Client;
before(async () => {
  server = await restBench();
  ({ url: baseUrl } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 }));
  client = createClient({ baseUrl, token: server.temporary.adminToken });
  await client.createKey({ name: "signer", algorithm: "ec-p256", usages: ["sign"] });
  await client.createKey({ name: "cipher", algorithm: "aes-256" });
});
after(() => server[Symbol.asyncDispose]());

test("bytes go in and come out as Uint8Array", async () => {
  const input = randomBytes(100);
  const { signature, version } = await client.sign("signer", { input });
  assert.ok(signature instanceof Uint8Array);
  assert.equal(version, 1);
  const { publicKey, pem } = await client.getPublicKey("signer");
  assert.deepEqual(createPublicKey(pem).export({ type: "spki", format: "der" }), Buffer.from(publicKey));
  assert.ok(verify("sha256", input, createPublicKey(pem), signature));
  assert.equal((await client.verify("signer", { input, signature })).valid, true);
  const { ciphertext } = await client.encrypt("cipher", { data: input, context: randomBytes(3) });
  await assert.rejects(client.decrypt("cipher", { data: ciphertext }), { code: "DECRYPT_FAILED" });
  const key = await client.getKey("signer");
  assert.ok(key.versions[0]?.publicKey instanceof Uint8Array);
});

test("a refusal is an error with code, status, hint and request id", async () => {
  const wanted = { name: "CasemateApiError", code: "NOT_FOUND", status: 404, retryable: false, requestId: "mine" };
  await assert.rejects(client.getKey("nobody", { requestId: "mine" }), wanted);
  const stranger = createClient({ baseUrl });
  await assert.rejects(stranger.listKeys(), { code: "UNAUTHENTICATED", status: 401 });
  assert.deepEqual(await stranger.health(), { status: "ok" });
  const nobody = createClient({ baseUrl: "http://127.0.0.1:1", retry: { attempts: 1 } });
  await assert.rejects(nobody.health(), { code: "UNAVAILABLE", status: 0 });
  const web = createClient({
    transport: async () => ({ status: 502, header: () => undefined, body: "<html>" }),
    retry: { attempts: 1 },
  });
  await assert.rejects(web.health(), { code: "UNAVAILABLE", status: 502 });
});

test("iterators follow the pages to the end", async () => {
  for (let i = 0; i < 12; i++) await client.createKey({ name: `p-${i}`, algorithm: "ed25519" });
  const names: string[] = [];
  for await (const key of client.keys({ prefix: "p-", limit: 5 })) names.push(key.name);
  assert.equal(new Set(names).size, 12);
  assert.equal(names.length, 12);
});

/** A transport that loses or refuses the first answers, and remembers what was sent. */
function flaky(
  failures: number,
  how: "lost" | "refused",
): { readonly transport: Transport; readonly sent: Readonly<Record<string, string>>[] } {
  const real = fetchTransport(baseUrl);
  const sent: Readonly<Record<string, string>>[] = [];
  let left = failures;
  return {
    sent,
    transport: async (request) => {
      sent.push(request.headers);
      const failing = left-- > 0;
      if (failing && how === "refused") {
        const problem = { code: "RATE_LIMITED", status: 429, detail: "slow down", retryable: true };
        return { status: 429, header: () => undefined, body: JSON.stringify(problem) };
      }
      const answer = await real(request);
      if (failing) throw new TypeError("the connection broke");
      return answer;
    },
  };
}

const retry = { attempts: 4, baseMs: 1, maxMs: 2 };

test("a creating call whose answer was lost is retried under one key, and done once", async () => {
  const { transport, sent } = flaky(2, "lost");
  const lossy = createClient({ transport, token: server.temporary.adminToken, retry });
  const made = await lossy.createKey({ name: "lossy", algorithm: "ed25519" });
  assert.equal(made.name, "lossy");
  assert.equal(sent.length, 3);
  assert.equal(new Set(sent.map((headers) => headers["idempotency-key"])).size, 1);
  const rotated = await createClient({
    transport: flaky(1, "lost").transport,
    token: server.temporary.adminToken,
    retry,
  }).rotateKey("lossy");
  assert.equal(rotated.primaryVersion, 2);
});

test("a call that must not be repeated is not retried after a lost answer, but after a refusal that says so", async () => {
  const lost = flaky(1, "lost");
  const first = createClient({ transport: lost.transport, token: server.temporary.adminToken, retry });
  await assert.rejects(first.suspendKey("lossy"), { code: "UNAVAILABLE", status: 0 });
  assert.equal(lost.sent.length, 1);
  assert.equal((await client.getKey("lossy")).state, "suspended", "it was done, and the caller must look");
  const refused = flaky(2, "refused");
  const second = createClient({ transport: refused.transport, token: server.temporary.adminToken, retry });
  assert.equal((await second.resumeKey("lossy")).state, "active");
  assert.equal(refused.sent.length, 3);
});

test("retrying ends after the attempts allowed, and when the caller gives up", async () => {
  const { transport, sent } = flaky(99, "refused");
  const busy = createClient({ transport, token: "t", retry });
  await assert.rejects(busy.listKeys(), { code: "RATE_LIMITED" });
  assert.equal(sent.length, 4);
  const patient = createClient({ transport, token: "t", retry: { attempts: 99, baseMs: 60_000, maxMs: 60_000 } });
  await assert.rejects(patient.listKeys({}, { signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
});

test("many concurrent calls travel in few batches, and each gets its own answer", async () => {
  let requests = 0;
  const real = fetchTransport(baseUrl);
  const counting = createClient({
    transport: (request) => {
      requests++;
      return real(request);
    },
    token: async () => server.temporary.adminToken,
  });
  const batcher = counting.batcher("signer", { maxItems: 50 });
  const inputs = Array.from({ length: 220 }, () => randomBytes(20));
  const signed = await Promise.all(inputs.map((input) => batcher.sign(input)));
  assert.ok(requests >= 5 && requests <= 7, String(requests));
  const publicKey = createPublicKey((await client.getPublicKey("signer")).pem);
  signed.forEach(({ signature }, at) =>
    assert.ok(verify("sha256", inputs[at] ?? Buffer.alloc(0), publicKey, signature)),
  );
});

test("an item that fails in a batch fails alone; a batch that fails, fails all its items", async () => {
  const batcher = client.batcher("cipher");
  const [a, b] = await Promise.all(["a", "b"].map((text) => batcher.encrypt(Buffer.from(text), Buffer.from("x"))));
  assert.ok(a !== undefined && b !== undefined);
  const results = await Promise.allSettled([
    batcher.decrypt(a.ciphertext, Buffer.from("x")),
    batcher.decrypt(b.ciphertext, Buffer.from("y")),
    batcher.decrypt(b.ciphertext, Buffer.from("x")),
  ]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  const [, failed] = results;
  assert.ok(failed?.status === "rejected" && failed.reason instanceof CasemateApiError);
  assert.equal(failed.reason.code, "DECRYPT_FAILED");
  const none = client.batcher("nobody");
  const all = await Promise.allSettled([none.sign(Buffer.from("a")), none.sign(Buffer.from("b"))]);
  for (const result of all) assert.ok(result.status === "rejected" && result.reason.code === "NOT_FOUND");
});

test("the Unix socket of the server is reached through a transport", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "casemate-sdk-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, "rest.sock");
  await server.rest.listen({ kind: "unix", path });
  const transport = unixTransport(path);
  t.after(() => transport.close());
  const local = createClient({ transport, token: server.temporary.adminToken });
  const { principal, roles } = await local.whoami();
  assert.deepEqual([principal, roles], ["admin", ["admin"]]);
  assert.equal((await local.random({ length: 33 })).bytes.length, 33);
});

test("the SDK outside its node folder imports nothing but itself, so that browsers can run it", () => {
  for (const name of readdirSync(import.meta.dirname).filter(
    (file) => file.endsWith(".ts") && !file.endsWith(".test.ts"),
  )) {
    const source = readFileSync(join(import.meta.dirname, name), "utf8");
    for (const [, from] of source.matchAll(/from "([^"]+)"/g)) assert.match(from ?? "", /^\.\/[a-z.-]+\.ts$/, name);
    assert.doesNotMatch(source, /\b(Buffer|process|require)[.(]/, name);
  }
});
