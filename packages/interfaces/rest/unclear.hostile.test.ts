/** Requests over raw sockets that are unclear, ask for what is not done, or are no requests: refused by a problem that says what to do, on record, without effect. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { METHODS } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { TSchema } from "typebox";
import { exchange, restBench } from "@casemate/testkit/rest";
import { OPERATIONS } from "./operations/all.ts";
import { FORM } from "./schemas.ts";

interface Row {
  readonly method?: string;
  readonly target?: string;
  readonly http?: string;
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly status: number;
  readonly says: RegExp;
}

const JSON_TYPE = "content-type: application/json";
const KEY = '{"name":"z","algorithm":"ed25519"}';
const create = { method: "POST", target: "/v1/keys" } as const;
const sign = { method: "POST", target: "/v1/keys/k/sign" } as const;

/** Both ways, where a request can take both. */
const both = (row: Omit<Row, "method" | "target">): readonly Row[] => [
  { ...create, ...row },
  { ...sign, ...row },
];

const ROWS: readonly Row[] = [
  // The query.
  { target: "/v1/keys?limit=1&limit=2", status: 400, says: /query: "limit" is given twice/ },
  { target: "/v1/keys?state=active&state=active", status: 400, says: /query: "state" is given twice/ },
  { target: "/v1/keys?x=1&x=2", status: 400, says: /query: "x" is given twice/ },
  { target: "/v1/keys?__proto__=1", status: 400, says: /query: there is no field "__proto__"/ },
  { target: "/v1/keys?limit=", status: 400, says: /limit must be a whole number/ },
  { target: "/v1/keys?limit=1e999", status: 400, says: /limit must be a whole number/ },
  { target: "/v1/keys?prefix=%ff", status: 400, says: /prefix must be 1 to 128 of A-Z/ },
  { target: "/v1/keys?cursor=%2e%2e%2f", status: 400, says: /cursor must be what `next` of the page before says/ },
  // The path.
  { target: "/v1/keys/%2e%2e%2ftokens", status: 400, says: /path: name must be 1 to 128/ },
  { target: "/v1/keys/a%00b", status: 400, says: /path: name must be 1 to 128/ },
  { target: "/v1/keys/../tokens", status: 404, says: /there is no route/ },
  { target: "/v1/keys/%ff", status: 400, says: /not a valid URL path/ },
  { target: `/v1/keys/${"a".repeat(400)}`, status: 414, says: /too long/ },
  { target: "/v1/keys/\u00e9", status: 400, says: /not an HTTP\/1.1 request/ },
  { target: "http://evil.example/v1/keys", status: 400, says: /another host than the header Host/ },
  { target: "http://u@localhost/v1/keys", status: 400, says: /another host than the header Host/ },
  { method: "OPTIONS", target: "*", status: 404, says: /there is no route/ },
  // The headers.
  { headers: ["Host: localhost"], status: 400, says: /the header Host is given twice/ },
  {
    ...create,
    headers: [JSON_TYPE, "idempotency-key: a", "idempotency-key: b"],
    body: KEY,
    status: 400,
    says: /the header Idempotency-Key is given twice/,
  },
  { ...create, headers: [JSON_TYPE, "idempotency-key: \u00e9"], body: KEY, status: 400, says: /visible ASCII/ },
  { http: "HTTP/2.0", status: 400, says: /another HTTP than 1.1/ },
  { http: "HTTP/0.9", status: 400, says: /another HTTP than 1.1/ },
  {
    ...sign,
    http: "HTTP/2.0",
    headers: [JSON_TYPE],
    body: '{"input":"AAAA"}',
    status: 400,
    says: /another HTTP than 1.1/,
  },
  {
    headers: Array.from({ length: 100 }, (_, at) => `x-${at}: 1`),
    status: 431,
    says: /more than 64, or with the request line larger than 16384 bytes/,
  },
  { headers: [`x: ${"a".repeat(17_000)}`], status: 431, says: /larger than 16384 bytes/ },
  // The longest line is a header's, however long the target is.
  { target: `/v1/keys?x=${"a".repeat(15_000)}`, headers: [`x: ${"a".repeat(2_000)}`], status: 431, says: /headers/ },
  { target: `/v1/keys/${"a".repeat(17_000)}`, status: 414, says: /the request target is too long/ },
  { method: "M-SEARCH", target: `/${"a".repeat(17_000)}`, status: 414, says: /the request target is too long/ },
  {
    method: "PATCH",
    target: "/v1/keys/k",
    headers: [JSON_TYPE, 'if-match: "1"'],
    body: '{"labels":{"a":"b"}}',
    status: 412,
    says: /If-Match and If-Unmodified-Since cannot be met/,
  },
  {
    method: "DELETE",
    target: "/v1/policies/p",
    headers: ["if-unmodified-since: Thu, 01 Jan 2026 00:00:00 GMT"],
    status: 412,
    says: /cannot be met/,
  },
  // The body.
  { headers: [JSON_TYPE], body: "{}", status: 400, says: /GET takes no body/ },
  { headers: ["transfer-encoding: chunked"], status: 400, says: /GET takes no body/ },
  ...both({
    headers: [JSON_TYPE],
    body: "{name:1}",
    status: 400,
    says: /the body is not JSON.*Send one JSON object in UTF-8/,
  }),
  ...both({ headers: [JSON_TYPE], body: '{"input":NaN}', status: 400, says: /the body is not JSON/ }),
  ...both({
    headers: [JSON_TYPE],
    body: '\u00ef\u00bb\u00bf{"input":"AAAA"}',
    status: 400,
    says: /the body is not JSON.*byte order mark/,
  }),
  ...both({ headers: [JSON_TYPE], body: '{"input":"\u00ff"}', status: 400, says: /not UTF-8.*Send one JSON object/ }),
  ...both({
    headers: [JSON_TYPE],
    body: "[".repeat(5000) + "]".repeat(5000),
    status: 400,
    says: /nested deeper than 32 levels/,
  }),
  ...both({ headers: [JSON_TYPE], body: "[]", status: 400, says: /body: must be an object/ }),
  ...both({
    headers: ["content-type: text/plain"],
    body: "{}",
    status: 415,
    says: /must be application\/json.*Send the header Content-Type/,
  }),
  ...both({ body: "{}", status: 415, says: /must be application\/json.*Send the header Content-Type/ }),
  ...both({
    headers: ["content-type: application/json; charset=utf-16"],
    body: "{}",
    status: 415,
    says: /JSON is UTF-8/,
  }),
  ...both({
    headers: ["content-type: application/json; charset=utf-8; charset=utf-16"],
    body: "{}",
    status: 415,
    says: /JSON is UTF-8/,
  }),
  ...both({ headers: [JSON_TYPE, "content-encoding: gzip"], body: "{}", status: 415, says: /do not compress/ }),
  ...both({
    headers: [JSON_TYPE, "transfer-encoding: gzip, chunked"],
    status: 501,
    says: /chunked is the only Transfer-Encoding/,
  }),
  {
    ...create,
    headers: [JSON_TYPE],
    body: '{"name":"z","algorithm":"ed25519","useLimit":1e999}',
    status: 400,
    says: /useLimit must be a whole number/,
  },
  {
    ...create,
    headers: [JSON_TYPE],
    body: '{"name":"z","algorithm":"ed25519","deactivateAt":"soon"}',
    status: 400,
    says: /deactivateAt must be a time with its zone, such as 2031/,
  },
  {
    ...create,
    headers: [JSON_TYPE],
    body: '{"name":"z\\u0000","algorithm":"ed25519"}',
    status: 400,
    says: /name must be 1 to 128/,
  },
  {
    ...create,
    headers: [JSON_TYPE],
    body: '{"__proto__":{"name":"z"},"algorithm":"ed25519"}',
    status: 400,
    says: /no field "__proto__"/,
  },
];

test("what is unclear, or would be passed over in silence, is refused by what it is and with what to do", async () => {
  await using server = await restBench();
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const made = await server.call({ url: "/v1/keys", body: { name: "k", algorithm: "ed25519" } });
  for (const {
    method = "GET",
    target = "/v1/keys",
    http = "HTTP/1.1",
    headers = [],
    body = "",
    status,
    says,
  } of ROWS) {
    const { entries } = server.temporary.audit;
    const before = entries.length;
    const lines = [
      `${method} ${target} ${http}`,
      "host: localhost",
      `authorization: Bearer ${server.temporary.adminToken}`,
      "connection: close",
      ...(body === "" ? [] : [`content-length: ${body.length}`]),
      ...headers,
      "",
      headers.some((header) => header.startsWith("transfer-encoding")) ? "0\r\n\r\n" : body,
    ];
    const answer = await exchange(port, Buffer.from(lines.join("\r\n"), "latin1"));
    const what = `${method} ${target.slice(0, 60)} ${headers.join(" ").slice(0, 90)} ${body.slice(0, 60)}\n${answer}`;
    assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), what);
    assert.match(answer, /content-type: application\/problem\+json/, what);
    assert.match(answer, /"code":"[A-Z_]+","hint":"/, what);
    assert.match(answer.replaceAll("\n", " ").replaceAll('\\"', '"'), says, what);
    assert.equal(entries.length, before + 1, `on record: ${what}`);
    assert.notEqual(entries.at(-1)?.outcome, "ok");
  }
  assert.equal(server.logged.filter(({ level }) => level === "error").length, 0, "and is no bug");
  assert.deepEqual((await server.call({ url: "/v1/keys" })).json["items"], [made.json], "nothing was changed");
});

test("requests that came whole are answered before the refusal of what follows them, and when the sender says that no more will come", async () => {
  await using server = await restBench();
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const head = `host: localhost\r\nauthorization: Bearer ${server.temporary.adminToken}\r\n`;
  const list = `GET /v1/keys HTTP/1.1\r\n${head}\r\n`;
  const post = (path: string, body: string, length = body.length): string =>
    `POST ${path} HTTP/1.1\r\n${head}${JSON_TYPE}\r\ncontent-length: ${length}\r\n\r\n${body}`;
  const statuses = async (bytes: string, how: "keep" | "end"): Promise<string> =>
    [...(await exchange(port, bytes, how)).matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status).join(" ");
  assert.equal(await statuses(post("/v1/keys", KEY) + list + "garbage\r\n\r\n", "keep"), "201 200 400");
  assert.equal(
    await statuses(post("/v1/keys/z/sign", '{"input":"AAAA"}') + list.repeat(20), "end"),
    Array.from({ length: 21 }, () => "200").join(" "),
  );
  for (const cut of [
    post("/v1/keys", '{"name":"y"', 50),
    post("/v1/keys/z/sign", '{"in', 50),
    "GET /v1/keys HTTP/1.1\r\nhost",
  ]) {
    const answer = await exchange(port, cut, "end");
    assert.match(answer, /^HTTP\/1\.1 400 [^]*the connection ended before the request did/);
  }
  assert.equal(server.logged.filter(({ level }) => level === "error").length, 0);
});

test("a target that is too long is called that behind another request, and when it comes in pieces", async () => {
  await using server = await restBench();
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const long = "a".repeat(9_000);
  const health = "GET /v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n";
  const answer = await exchange(port, `${health}GET /${long}${long} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  assert.match(answer, /^HTTP\/1\.1 200 [^]*HTTP\/1\.1 414 [^]*the request target is too long/);
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.setEncoding("latin1").on("data", (part: string) => (text += part));
  socket.write(`GET /${long}`);
  await sleep(30);
  socket.write(`${long} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  await once(socket, "close");
  // Whether the pieces came apart is for the machine to say; it is told either way.
  assert.match(text, /^HTTP\/1\.1 414 [^]*the request target is too long/);
});

test("a refusal is told also when its record takes longer than the sender stays", async (t) => {
  await using server = await restBench();
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  t.mock.method(server.temporary.keyring, "refused", () => sleep(30));
  const answer = await exchange(port, "PO=/v1/keys HTTP/1.1\r\nhost: localhost\r\n\r\n", "end");
  assert.match(answer, /^HTTP\/1\.1 400 /);
});

test("no method that Node's parser knows is a bug on any route", async () => {
  await using server = await restBench();
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const paths = ["/v1/health", "/metrics", "/v1/keys", "/v1/keys/none", "/v1/keys/none/sign", "/nowhere"];
  for (const method of METHODS.filter((name) => name !== "CONNECT")) {
    for (const path of paths) {
      for (const body of ["\r\n", "content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"]) {
        const head = `${method} ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${server.temporary.adminToken}\r\n`;
        const answer = await exchange(port, `${head}connection: close\r\n${body}`);
        assert.match(answer, /^HTTP\/1\.1 [24]\d\d /, `${method} ${path} ${body}\n${answer}`);
      }
    }
  }
});

test("every pattern that a request must fit is told in words", () => {
  const bare: string[] = [];
  const look = (part: object, path: string): void => {
    if ("pattern" in part && !(FORM in part)) bare.push(path);
    for (const [name, inner] of Object.entries(part))
      if (typeof inner === "object" && inner !== null) look(inner as object, `${path}/${name}`);
  };
  for (const { id, params, query, body } of OPERATIONS)
    for (const schema of [params, query, body] as readonly (TSchema | undefined)[])
      if (schema !== undefined) look(schema, id);
  assert.deepEqual(bare, []);
});
