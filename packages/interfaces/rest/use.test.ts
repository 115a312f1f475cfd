import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { after, before, test } from "node:test";
import { restBench, type RestBench } from "@casemate/testkit/rest";

let server: RestBench;
before(async () => {
  server = await restBench();
  for (const [name, algorithm, usages] of [
    ["signer", "ec-p256", ["sign", "agree"]],
    ["cipher", "aes-256", ["encrypt"]],
    ["coder", "hmac-sha256", ["mac"]],
  ] as const) {
    const made = await server.call({ url: "/v1/keys", body: { name, algorithm, usages } });
    assert.equal(made.status, 201, made.text);
  }
});
after(() => server[Symbol.asyncDispose]());

const base64 = (text: string): string => Buffer.from(text).toString("base64");

for (const via of ["http", "inject"] as const) {
  test(`a signature made over REST (${via}) verifies outside, and over REST`, async () => {
    const input = base64("message");
    const made = await server.call({ url: "/v1/keys/signer/sign", body: { input }, via });
    assert.equal(made.status, 200, made.text);
    const pem = await server.call({ url: "/v1/keys/signer/public?format=pem" });
    assert.match(String(pem.headers["content-type"]), /^application\/x-pem-file/);
    const signature = Buffer.from(String(made.json["signature"]), "base64");
    assert.ok(verify("sha256", Buffer.from("message"), createPublicKey(pem.text), signature));
    const body = { input, signature: made.json["signature"] };
    const checked = await server.call({ url: "/v1/keys/signer/verify", body, via });
    assert.equal(checked.json["valid"], true);
    const other = await server.call({ url: "/v1/keys/signer/verify", body: { ...body, input: base64("other") }, via });
    assert.equal(other.status, 200);
    assert.equal(other.json["valid"], false);
  });

  test(`an item of a batch (${via}) that is no base64 fails alone and is counted; a batch of nothing else fails as a whole`, async () => {
    const url = "/v1/keys/signer/sign-batch";
    const items = ["!", base64("a"), "QQ", base64("b"), "=="].map((input) => ({ input }));
    const made = await server.call({ url, body: { items }, via });
    assert.equal(made.status, 200, made.text);
    const results = made.json["results"] as readonly {
      readonly signature?: string;
      readonly error?: { readonly code: string; readonly status: number; readonly detail: string };
    }[];
    assert.deepEqual(
      results.map(({ signature, error }) => (signature === undefined ? `${error?.status} ${error?.code}` : "signed")),
      ["400 BAD_REQUEST", "signed", "400 BAD_REQUEST", "signed", "400 BAD_REQUEST"],
    );
    assert.match(results[2]?.error?.detail ?? "", /^items\/2\/input is not padded base64/);
    const record = server.temporary.audit.entries.at(-1);
    assert.equal(record?.count, 5);
    assert.equal(record?.details?.["failed"], 3);
    const none = await server.call({ url, body: { items: [{ input: "!" }] }, via });
    assert.equal(none.status, 400);
    assert.equal(server.temporary.audit.entries.at(-1)?.outcome, "BAD_REQUEST");
  });

  test(`a batch (${via}) answers each item in order, and a failed item fails alone`, async () => {
    const items = ["a", "b"].map((data) => ({ data: base64(data), context: base64("c") }));
    const made = await server.call({ url: "/v1/keys/cipher/encrypt-batch", body: { items }, via });
    assert.equal(made.status, 200, made.text);
    const [first, second] = made.json["results"] as readonly { readonly ciphertext: string }[];
    const back = await server.call({
      url: "/v1/keys/cipher/decrypt-batch",
      body: {
        items: [
          { data: second?.ciphertext, context: base64("c") },
          { data: first?.ciphertext, context: base64("wrong") },
          { data: first?.ciphertext, context: base64("c") },
        ],
      },
      via,
    });
    const results = back.json["results"] as readonly {
      readonly plaintext?: string;
      readonly error?: { readonly code: string; readonly status: number };
    }[];
    assert.equal(results[0]?.plaintext, base64("b"));
    assert.equal(results[1]?.error?.code, "DECRYPT_FAILED");
    assert.equal(results[1]?.error?.status, 422);
    assert.equal(results[2]?.plaintext, base64("a"));
  });

  test(`a batch of one item that fails (${via}) answers with its error, and the record counts it`, async () => {
    const wrong = base64("x".repeat(60));
    for (const [path, item] of [
      ["cipher/decrypt-batch", { data: wrong }],
      ["cipher/decrypt-batch", { data: "AAAA" }],
    ] as const) {
      const made = await server.call({ url: `/v1/keys/${path}`, body: { items: [item] }, via });
      assert.equal(made.status, 200, made.text);
      const results = made.json["results"] as readonly { readonly error?: { readonly code: string } }[];
      assert.equal(results.length, 1);
      assert.match(results[0]?.error?.code ?? "", /^[A-Z_]+$/);
    }
  });

  test(`a single item that fails (${via}) is a problem of the whole request`, async () => {
    const made = await server.call({ url: "/v1/keys/cipher/decrypt", body: { data: base64("x".repeat(60)) }, via });
    assert.ok(made.status >= 400 && made.status < 500, made.text);
    assert.match(String(made.headers["content-type"]), /^application\/problem\+json/);
  });
}

test("raw bytes go in and come out, with the key version in a header", async () => {
  const octets = { "content-type": "application/octet-stream", accept: "application/octet-stream" };
  const sealed = await server.call({
    url: "/v1/keys/cipher/encrypt",
    raw: "plain text",
    headers: { ...octets, accept: "application/json" },
  });
  assert.equal(sealed.status, 200, sealed.text);
  const ciphertext = Buffer.from(String(sealed.json["ciphertext"]), "base64");
  const opened = await server.call({ url: "/v1/keys/cipher/decrypt", raw: ciphertext, headers: octets });
  assert.equal(opened.text, "plain text");
  assert.equal(opened.headers["casemate-key-version"], "1");
  assert.equal(opened.headers["casemate-scheme"], "aes-gcm");
  const signed = await server.call({ url: "/v1/keys/signer/sign?scheme=ecdsa-sha384", raw: "m", headers: octets });
  assert.equal(signed.headers["casemate-scheme"], "ecdsa-sha384");
});

test("a message authentication code is checked inside the device", async () => {
  const input = base64("m");
  const made = await server.call({ url: "/v1/keys/coder/mac", body: { input } });
  const good = await server.call({ url: "/v1/keys/coder/mac-verify", body: { input, mac: made.json["mac"] } });
  assert.equal(good.json["valid"], true);
  const bad = await server.call({
    url: "/v1/keys/coder/mac-verify",
    body: { input: base64("n"), mac: made.json["mac"] },
  });
  assert.equal(bad.json["valid"], false);
});

test("plaintext export is refused with the lawful ways, and audited", async () => {
  const answer = await server.call({ url: "/v1/keys/signer/export", method: "POST" });
  assert.equal(answer.status, 403);
  assert.equal(answer.json["code"], "NOT_EXPORTABLE");
  assert.equal(typeof answer.json["hint"], "string");
  const last = server.temporary.audit.entries.at(-1);
  assert.deepEqual([last?.action, last?.outcome, last?.resource], ["key.export", "NOT_EXPORTABLE", "key/signer"]);
});

test("a suspended key does not sign, and works again when resumed", async () => {
  await server.call({ url: "/v1/keys", body: { name: "paused", algorithm: "ed25519" } });
  const sign = () => server.call({ url: "/v1/keys/paused/sign", body: { input: base64("m") } });
  assert.equal((await sign()).status, 200);
  const suspended = await server.call({ url: "/v1/keys/paused/suspend", body: { reason: "holiday" } });
  assert.equal(suspended.json["state"], "suspended");
  const refused = await sign();
  assert.deepEqual([refused.status, refused.json["code"]], [409, "KEY_STATE"]);
  await server.call({ url: "/v1/keys/paused/resume", method: "POST" });
  assert.equal((await sign()).status, 200);
});

test("keys are listed page by page, each once", async () => {
  for (let i = 0; i < 25; i++)
    await server.call({ url: "/v1/keys", body: { name: `page-${i}`, algorithm: "ed25519" } });
  const names: string[] = [];
  let cursor: string | undefined;
  let pages = 0;
  do {
    const page = await server.call({
      url: `/v1/keys?prefix=page-&limit=10${cursor === undefined ? "" : `&cursor=${cursor}`}`,
    });
    names.push(...(page.json["items"] as readonly { readonly name: string }[]).map(({ name }) => name));
    cursor = page.json["next"] as string | undefined;
    pages++;
  } while (cursor !== undefined);
  assert.equal(pages, 3);
  assert.equal(new Set(names).size, 25);
  assert.equal(names.length, 25);
});

test("a revoked token is refused at once, on the connection where it was just good", async () => {
  const token = await server.tokenFor("user");
  assert.equal((await server.call({ url: "/v1/keys", token })).status, 200);
  const [, id = ""] = token.split("_");
  assert.equal((await server.call({ method: "DELETE", url: `/v1/tokens/${id}` })).status, 200);
  const refused = await server.call({ url: "/v1/keys", token });
  assert.deepEqual([refused.status, refused.json["code"]], [401, "UNAUTHENTICATED"]);
});

test("the audit log names the request and the door of each use", async () => {
  await server.call({
    url: "/v1/keys/signer/sign",
    body: { input: base64("m") },
    headers: { "x-request-id": "my-id-1" },
  });
  const last = server.temporary.audit.entries.at(-1);
  assert.equal(last?.requestId, "my-id-1");
  assert.equal(last?.source, "rest/loopback/127.0.0.1");
  const forged = await server.call({ url: "/v1/keys", headers: { "x-request-id": 'a b"c' } });
  assert.notEqual(forged.headers["x-request-id"], 'a b"c');
});

test("every answer carries the security headers and no banner", async () => {
  for (const url of ["/v1/health", "/v1/keys", "/nothing", "/metrics"]) {
    const { headers } = await server.call({ url });
    assert.equal(headers["cache-control"], "no-store");
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.match(String(headers["content-security-policy"]), /default-src 'none'/);
    assert.equal(headers["server"], undefined);
    assert.equal(headers["x-powered-by"], undefined);
  }
});

test("a bug answers INTERNAL without its words, and the log has them", async (t) => {
  t.mock.method(server.temporary.keyring, "listDevices", async () => {
    throw new TypeError("secret detail");
  });
  const answer = await server.call({ url: "/v1/devices" });
  assert.deepEqual([answer.status, answer.json["code"]], [500, "INTERNAL"]);
  assert.ok(!answer.text.includes("secret detail"));
  assert.ok(server.logged.some(({ fields }) => ((fields as { err?: Error }).err?.message ?? "") === "secret detail"));
});

test("metrics count requests by operation and status, and name no key", async () => {
  const { text, headers } = await server.call({ url: "/metrics", token: null });
  assert.match(String(headers["content-type"]), /^text\/plain; version=0\.0\.4/);
  assert.match(text, /^casemate_rest_requests_total\{operation="sign",status="200"\} [1-9]/m);
  assert.ok(!text.includes("signer"));
  for (const line of text.trim().split("\n")) {
    assert.match(line, /^(# (HELP|TYPE) \S+ .+|[a-z_][a-z0-9_]*(\{[^}]*\})? -?[0-9.e+-]+)$/);
  }
});
