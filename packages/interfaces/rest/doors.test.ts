import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { Agent, request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as tlsConnect } from "node:tls";
import { systemClock } from "@casemate/foundation/effects";
import { serverCertificate } from "@casemate/interfaces/rest";
import { exchange, restBench } from "@casemate/testkit/rest";

function temporary(t: { after(action: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), "casemate-door-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

interface Got {
  readonly status: number;
  readonly text: string;
}

function get(options: object, secure = false): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = (secure ? tlsRequest : plainRequest)({ path: "/v1/health", agent: false, ...options }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.on("error", reject).end();
  });
}

test("TLS 1.3 answers with the self-made certificate, and older versions are refused", async (t) => {
  await using server = await restBench();
  const made = serverCertificate({ directory: temporary(t), hosts: ["localhost"], clock: systemClock });
  const { port, url } = await server.rest.listen({ kind: "tcp", host: "0.0.0.0", port: 0, tls: made });
  assert.equal(url, `https://localhost:${port}`, "no client can name 0.0.0.0");
  // Any name in Host will do here: the certificate is what protects.
  const headers = { host: "hsm.example" };
  const options = { host: "localhost", servername: "localhost", port, ca: made.certificate, headers };
  assert.deepEqual(await get(options, true), { status: 200, text: '{"status":"ok"}' });
  const metrics = await get({ ...options, path: "/metrics" }, true);
  assert.equal(metrics.status, 401, "metrics ask for a token beyond loopback");
  await assert.rejects(get({ ...options, ca: undefined }, true), {
    code: "DEPTH_ZERO_SELF_SIGNED_CERT",
  });
  await assert.rejects(get({ ...options, maxVersion: "TLSv1.2" }, true), /alert protocol version|EPROTO/i);
  const socket = tlsConnect({ host: "localhost", port, ca: made.certificate });
  await new Promise((resolve) => socket.once("secureConnect", resolve));
  assert.equal(socket.getProtocol(), "TLSv1.3");
  assert.equal(new X509Certificate(socket.getPeerCertificate().raw).fingerprint256, made.fingerprint);
  socket.destroy();
});

test("plain HTTP beyond loopback is refused, and so are a bad key and a taken port", async () => {
  await using server = await restBench();
  const listen = (options: object) => server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0, ...options });
  for (const host of ["0.0.0.0", "::", "192.0.2.1", "hsm.example", "127.0.0.1.example"]) {
    await assert.rejects(listen({ host }), { code: "CONFIG_INVALID" }, host);
  }
  await assert.rejects(listen({ tls: { certificate: "x", key: "y" } }), { code: "CONFIG_INVALID" });
  const { port } = await listen({});
  await assert.rejects(listen({ port }), { code: "CONFIG_INVALID" });
});

test("localhost is served on both loopback addresses, or not at all", async (t) => {
  await using server = await restBench();
  const { port = 0, url } = await server.rest.listen({ kind: "tcp", host: "localhost", port: 0 });
  assert.equal(url, `http://localhost:${port}`);
  assert.equal((await get({ port, host: "127.0.0.1" })).status, 200);
  const other = createServer();
  t.after(() => other.close());
  const ipv6 = await new Promise<boolean>((resolve) => {
    other.once("error", () => resolve(false)).listen(0, "::1", () => resolve(true));
  });
  if (!ipv6) return t.diagnostic("this machine has no IPv6 loopback");
  assert.equal((await get({ port, host: "::1" })).status, 200);
  const taken = (other.address() as AddressInfo).port;
  await assert.rejects(server.rest.listen({ kind: "tcp", host: "localhost", port: taken }), { code: "CONFIG_INVALID" });
});

test("over plain HTTP only loopback names are taken as Host, against DNS rebinding", async () => {
  await using server = await restBench();
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  for (const host of ["localhost", `localhost:${port}`, "127.0.0.1", "[::1]:80", "LOCALHOST"]) {
    assert.equal((await get({ port, headers: { host } })).status, 200, host);
  }
  for (const host of [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "localhost@evil",
    "127.0.0.1:x",
  ]) {
    const answer = await get({ port, headers: { host } });
    assert.equal(answer.status, 403, host);
  }
  const body = JSON.stringify({ input: "AAAA" });
  const text = await exchange(
    port,
    `POST /v1/keys/a/sign HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\ncontent-type: application/json\r\nauthorization: Bearer ${server.temporary.adminToken}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  assert.match(text, /^HTTP\/1\.1 403 /, "the short way checks it too");
});

test("the Unix socket is for its owner alone; a left-over is replaced, a living one and a file are not", async (t) => {
  const path = join(temporary(t), "rest.sock");
  {
    await using server = await restBench();
    await server.rest.listen({ kind: "unix", path });
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal((await get({ socketPath: path, headers: { host: "anything" } })).status, 200);
    await get({ socketPath: path, path: "/v1/keys" });
    assert.equal(server.temporary.audit.entries.at(-1)?.source, "rest/unix");
    await using other = await restBench();
    await assert.rejects(other.rest.listen({ kind: "unix", path }), { code: "CONFIG_INVALID" });
  }
  const stale = createServer().listen(path);
  await new Promise((resolve) => stale.once("listening", resolve));
  // Closing through the handle leaves the file, as a crash does.
  await using server = await restBench();
  await new Promise((resolve) => stale.close(resolve));
  await server.rest.listen({ kind: "unix", path });
  assert.equal((await get({ socketPath: path })).status, 200);
  const file = `${path}.txt`;
  writeFileSync(file, "precious");
  await assert.rejects(server.rest.listen({ kind: "unix", path: file }), {
    code: "CONFIG_INVALID",
    hint: /Move it away/,
  });
  assert.ok(existsSync(file));
});

test("a request without Host, with Host or Authorization twice, or with an expectation is refused by a problem that says so", async () => {
  await using server = await restBench();
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const token = `authorization: Bearer ${server.temporary.adminToken}\r\n`;
  const end = "connection: close\r\n\r\n";
  const body = 'content-type: application/json\r\ncontent-length: 16\r\nconnection: close\r\n\r\n{"input":"AAAA"}';
  const rows: readonly (readonly [request: string, status: number, says: RegExp])[] = [
    [`GET /v1/keys HTTP/1.1\r\n${token}${end}`, 400, /the Host header is missing/],
    [
      `GET /v1/keys HTTP/1.1\r\nhost: localhost\r\nHOST: localhost\r\n${token}${end}`,
      400,
      /the header Host is given twice/,
    ],
    [
      `GET /v1/keys HTTP/1.1\r\nhost: localhost\r\n${token}Authorization: Bearer x\r\n${end}`,
      400,
      /the header Authorization is given twice/,
    ],
    [
      `POST /v1/keys/a/sign HTTP/1.1\r\nhost: localhost\r\n${token}${token}${body}`,
      400,
      /the header Authorization is given twice/,
    ],
    [`POST /v1/keys/a/sign HTTP/1.1\r\n${token}${body}`, 400, /the Host header is missing/],
    [`GET /v1/keys HTTP/1.1\r\nhost: localhost\r\nexpect: tea\r\n${token}${end}`, 417, /Expect header/],
    [`POST /v1/keys/a/sign HTTP/1.1\r\nhost: localhost\r\nexpect: tea\r\n${token}${body}`, 417, /100-continue/],
  ];
  for (const [request, status, says] of rows) {
    const { length } = server.temporary.audit.entries;
    const answer = await exchange(port, request);
    assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), `${request}\n${answer}`);
    assert.match(answer, /content-type: application\/problem\+json/i);
    assert.match(answer, /"code":"BAD_REQUEST"/);
    assert.match(answer, says);
    assert.equal(server.temporary.audit.entries.length, length + 1, "and it is audited");
  }
  const old = await exchange(port, `GET /v1/health HTTP/1.0\r\nhost: localhost\r\n\r\n`);
  assert.match(old, /^HTTP\/1\.1 200 /);
  const waited = await exchange(
    port,
    `POST /v1/keys/none/sign HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n${token}${body}`,
  );
  assert.match(waited, /^HTTP\/1\.1 100 [\s\S]*HTTP\/1\.1 404 /);
});

test("bytes that are not one clear HTTP request are refused, counted and audited, and the server goes on", async () => {
  await using server = await restBench();
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const head = "POST /v1/keys/a/sign HTTP/1.1\r\nhost: localhost\r\n";
  const refused = [
    "nonsense\r\n\r\n",
    "GET /v1/health HTTP/9.9\r\n\r\n",
    "GET /v1/health HTTP/1.1\r\nbad header\r\n\r\n",
    `${head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${head}content-length: 5\r\ncontent-length: 6\r\n\r\nhello`,
    `${head}content-length: -1\r\n\r\n`,
    `${head}content-length: 5x\r\n\r\nhello`,
    `${head}transfer-encoding: chunked, identity\r\n\r\n`,
    `${head}transfer-encoding : chunked\r\n\r\n`,
    "GET /v1/health HTTP/1.1\r\nhost: localhost\r\nx: a\rb\r\n\r\n",
    `GET /v1/health HTTP/1.1\r\nhost: localhost\r\nx: ${"a".repeat(20_000)}\r\n\r\n`,
    "CONNECT localhost:1 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  ];
  for (const bytes of refused) {
    const { length } = server.temporary.audit.entries;
    const text = await exchange(port, Buffer.from(bytes, "latin1"));
    assert.match(text, /^HTTP\/1\.1 4\d\d /, JSON.stringify(bytes.slice(0, 90)));
    assert.match(text, /"code":"(BAD_REQUEST|TOO_LARGE)"/);
    assert.equal(server.temporary.audit.entries.length, length + 1);
  }
  // A client that vanishes in the middle leaves nothing behind.
  const socket = connect(port, "127.0.0.1", () => {
    socket.write(
      `${head}content-type: application/json\r\nauthorization: Bearer ${server.temporary.adminToken}\r\ncontent-length: 50\r\n\r\n{"input`,
    );
    setTimeout(() => socket.destroy(), 50);
  });
  await new Promise((resolve) => socket.on("close", resolve));
  assert.ok(!server.logged.some(({ level }) => level === "error"), "and is no bug");
  assert.equal((await get({ port })).status, 200);
  const metrics = await get({ port, path: "/metrics" });
  const count = Number(/^casemate_rest_broken_requests_total (\d+)$/m.exec(metrics.text)?.[1]);
  assert.ok(count >= refused.length, String(count));
});

test("bytes that are not TLS are refused, counted, audited and logged; plain HTTP is told where TLS is; an unfinished handshake does not hold up closing", async (t) => {
  const server = await restBench({ limits: { closeGraceMs: 100 } });
  t.after(() => server[Symbol.asyncDispose]());
  const made = serverCertificate({ directory: temporary(t), hosts: ["localhost"], clock: systemClock });
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0, tls: made });
  const { length } = server.temporary.audit.entries;
  for (const method of ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE"]) {
    const text = await exchange(port, `${method} / HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    assert.match(text, /^HTTP\/1\.1 400 [\s\S]*"code":"BAD_REQUEST","hint":"This port speaks TLS: use [^"]*https:/);
  }
  for (const bytes of ["\0".repeat(300), "\u0016\u0003\u0001\u0000\u0005hello"]) {
    const text = await exchange(port, Buffer.from(bytes, "latin1"));
    assert.doesNotMatch(text, /HTTP/);
  }
  await sleep(20);
  const written = server.temporary.audit.entries.slice(length);
  assert.equal(written.length, 8);
  assert.ok(written.every(({ outcome, source }) => outcome === "BAD_REQUEST" && source.startsWith("rest/tls")));
  const lines = server.logged.map(({ level, message }) => `${level} ${message}`);
  assert.deepEqual(
    [lines.length, ...new Set(lines)],
    [8, "warn refused: plain HTTP was sent to a port that speaks TLS", "warn refused: no TLS connection came about"],
  );
  const hanging = connect(port, "127.0.0.1");
  await new Promise((resolve) => hanging.once("connect", resolve));
  hanging.on("error", () => undefined);
  await server.rest.close();
});

test("TLS that is spoken to the port of plain HTTP is answered by what clients take for no TLS, with a record and a line in the log, up to a rate", async () => {
  await using server = await restBench();
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const { length } = server.temporary.audit.entries;
  await assert.rejects(get({ host: "localhost", port, rejectUnauthorized: false }, true), { code: "EPROTO" });
  assert.deepEqual(
    server.logged.map(({ level, message, fields }) => [level, message, fields]),
    [
      [
        "warn",
        "refused: TLS was spoken to a port of plain HTTP",
        {
          source: "rest/loopback/127.0.0.1",
          hint: "Use an address that begins with http://, or let the server listen with TLS.",
        },
      ],
    ],
  );
  assert.equal(server.temporary.audit.entries.length, length + 1);
  const hello = Buffer.from("1603010200010001fc0303", "hex");
  for (let round = 0; round < 150; round++) {
    assert.match(await exchange(port, hello), /^HTTP\/1\.1 400 .*TLS was spoken to a port of plain HTTP/s);
  }
  assert.equal(server.logged.length, 100, "as many lines as records");
  const metrics = await get({ port, path: "/metrics" });
  assert.match(metrics.text, /^casemate_rest_broken_requests_total 151$/m);
});

test("guesses at tokens are slowed down, but not the neighbour with a good one", async () => {
  await using server = await restBench();
  const good = () => server.call({ url: "/v1/keys", headers: { connection: "close" } });
  assert.equal((await good()).status, 200);
  const statuses: number[] = [];
  for (let i = 0; i < 60; i++) statuses.push((await server.call({ url: "/v1/keys", token: `cmt_guess${i}` })).status);
  assert.deepEqual([...new Set(statuses.slice(0, 50))], [401]);
  assert.deepEqual([...new Set(statuses.slice(50))], [429]);
  assert.equal((await good()).status, 200);
  server.temporary.clock.advance(1000);
  assert.equal((await server.call({ url: "/v1/keys", token: "cmt_guess" })).status, 401);
});

test("a request smuggled behind another is a request of its own, without its token", async () => {
  await using server = await restBench();
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const first = `GET /v1/keys HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${server.temporary.adminToken}\r\n\r\n`;
  const second = "GET /v1/keys HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
  const text = await exchange(port, first + second);
  assert.deepEqual(
    [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status),
    ["200", "401"],
  );
});

test("senders that dawdle over headers or body are cut off", async () => {
  await using server = await restBench({
    limits: { headersTimeoutMs: 150, requestTimeoutMs: 300, checkEveryMs: 50 },
  });
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const headers = await exchange(port, "GET /v1/health HTTP/1.1\r\nhost: local");
  assert.match(headers, /^HTTP\/1\.1 408 /);
  const { adminToken } = server.temporary;
  const body = await exchange(
    port,
    `POST /v1/keys/a/sign HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${adminToken}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{`,
  );
  assert.match(body, /^HTTP\/1\.1 408 |^$/);
});

test("connections beyond the limit are turned away, and the others go on", async () => {
  await using server = await restBench({ limits: { connections: 3 } });
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const agent = new Agent({ keepAlive: true });
  assert.equal((await get({ port, agent })).status, 200);
  const idle = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")];
  await sleep(50);
  await assert.rejects(get({ port }));
  assert.equal((await get({ port, agent })).status, 200);
  for (const socket of idle) socket.destroy();
  agent.destroy();
});

test("garbage without a token is audited up to a rate, and beyond it as a sum", async () => {
  await using server = await restBench();
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const { length } = server.temporary.audit.entries;
  const answers = await Promise.all(Array.from({ length: 300 }, () => get({ port, agent, path: "/v1/keys" })));
  assert.ok(answers.every(({ status }) => status === 401));
  const written = server.temporary.audit.entries.slice(length);
  assert.equal(written.length, 100);
  agent.destroy();
  await server.rest.close();
  const sum = server.temporary.audit.entries.at(-1);
  assert.deepEqual([sum?.outcome, sum?.details?.["request"]], ["RATE_LIMITED", "sum of 200 requests"]);
});

test("closing lets a request in flight end and takes no new one", async (t) => {
  const server = await restBench();
  t.after(() => server[Symbol.asyncDispose]());
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  let release: (() => void) | undefined;
  t.mock.method(server.temporary.keyring, "listDevices", async () => {
    await new Promise<void>((resolve) => (release = resolve));
    return [];
  });
  const headers = { authorization: `Bearer ${server.temporary.adminToken}` };
  const pending = get({ port, path: "/v1/devices", headers });
  while (release === undefined) await sleep(5);
  const closed = server.rest.close();
  await assert.rejects(get({ port }), { code: "ECONNREFUSED" });
  release();
  assert.deepEqual(await pending, { status: 200, text: '{"items":[]}' });
  await closed;
});
