import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { setImmediate as tick, setTimeout as sleep } from "node:timers/promises";
import { restBench } from "@casemate/testkit/rest";
import type { PlainHead } from "./hot-path.ts";
import { InFlight, Repeats } from "./repeats.ts";

const row = {} as PlainHead["row"];

/** A server that says which way each request came and what it carried; `later` holds the answers of the short way back. */
async function open(
  t: TestContext,
  later: () => Promise<unknown> = () => Promise.resolve(),
  { padding = "", idleMs = 60_000, cut = () => {} } = {},
): Promise<number> {
  const repeats = new WeakMap<Socket, Repeats>();
  const inFlight = new InFlight();
  const server = createServer((request, response) => void handle(request).then((text) => response.end(text)));
  async function handle(request: IncomingMessage): Promise<string> {
    const length = Number(request.headers["content-length"] ?? 0);
    if (request.url === "/again")
      repeats.get(request.socket)?.remember({ row, name: "", length, authorization: "", requestId: "" });
    let body = "";
    for await (const part of request) body += String(part);
    return `node ${request.url} ${body};`;
  }
  server.prependListener("request", (request, response) => repeats.get(request.socket)?.head(request, response));
  Object.assign(server, { keepAliveTimeout: idleMs, keepAliveTimeoutBuffer: 0 });
  server.on("timeout", (socket: Socket) => {
    if (repeats.get(socket)?.busy === true) return;
    socket.destroy();
    cut();
  });
  server.on("connection", (socket: Socket) => {
    const options = { inFlight, closing: () => false, keepAliveSeconds: 5, date: () => "now" };
    const answer = async (_head: PlainHead, body: Buffer) => {
      await later();
      return { status: 200, headers: ["x-way", "again"], body: `again ${body.toString()};${padding}` };
    };
    repeats.set(socket, new Repeats(socket, { ...options, answer }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.closeAllConnections());
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A connection that hands on the bodies of what it is answered. */
async function dial(port: number) {
  let text = "";
  let wake = (): void => {};
  const socket = connect(port, "127.0.0.1").setNoDelay(true).setEncoding("latin1");
  socket.on("data", (part: string) => {
    text += part;
    wake();
  });
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  void closed.then(() => wake());
  await new Promise((resolve) => socket.once("connect", resolve));
  const bodies = (): string[] => [...text.matchAll(/(?:node|again) [^;]*;/g)].map(([body]) => body);
  return {
    socket,
    closed,
    /** Writes the pieces, each a packet of its own as far as the machine lets, and waits until there are so many answers in all. */
    send: async (count: number, ...pieces: string[]): Promise<string[]> => {
      for (const piece of pieces) {
        socket.write(piece);
        await tick();
      }
      while (bodies().length < count && !socket.closed) await new Promise<void>((resolve) => (wake = resolve));
      return bodies();
    },
  };
}

const post = (body: string, more = ""): string =>
  `POST /again HTTP/1.1\r\nhost: a\r\n${more}content-length: ${body.length}\r\n\r\n${body}`;

test("a request with the head of one before it is answered without Node's parser, whatever its body", async (t) => {
  const { send } = await dial(await open(t));
  assert.deepEqual(await send(1, post("one")), ["node /again one;"]);
  assert.deepEqual((await send(2, post("two"))).at(-1), "again two;");
  assert.deepEqual((await send(3, post("\r\n\r"))).at(-1), "again \r\n\r;");
  assert.deepEqual((await send(4, post("four"))).at(-1), "node /again four;", "another length is another head");
  assert.deepEqual((await send(5, post("five"))).at(-1), "again five;", "the last head counts");
  assert.deepEqual((await send(6, post("six!").replace("host", "Host"))).at(-1), "node /again six!;");
  assert.deepEqual((await send(7, "GET /else HTTP/1.1\r\nhost: a\r\n\r\n")).at(-1), "node /else ;");
  assert.deepEqual((await send(8, post("7777").replace("host", "Host"))).at(-1), "again 7777;");
});

test("a body that looks like a request is a body", async (t) => {
  const { send } = await dial(await open(t));
  const inner = post("xx");
  assert.deepEqual(await send(1, post("xx")), ["node /again xx;"]);
  assert.deepEqual((await send(2, post(inner))).at(-1), `node /again ${inner};`);
  assert.deepEqual((await send(3, post(inner))).at(-1), `again ${inner};`);
  assert.deepEqual((await send(4, post("yy"))).at(-1), "node /again yy;");
});

test("where the ends of messages are not known, Node reads the rest of the connection", async (t) => {
  const port = await open(t);
  const chunked = "POST /again HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n";
  const headInPieces = [post("one").slice(0, 20), post("one").slice(20)];
  const starts = { chunked: [chunked], headInPieces, emptyLines: [`\r\n\r\n${post("one")}`] };
  for (const [what, pieces] of Object.entries(starts)) {
    const { socket, send } = await dial(port);
    for (const piece of pieces) {
      socket.write(piece);
      await sleep(20);
    }
    for (const at of [2, 3, 4]) assert.equal((await send(at, post("two"))).at(-1), "node /again two;", what);
  }
  const { send } = await dial(port);
  const two = await send(2, post("one") + post("two"));
  assert.deepEqual(two, ["node /again one;", "node /again two;"], "pipelined");
});

test("a slow body of a known head is Node's to read, and answers keep their order", async (t) => {
  const { send, socket } = await dial(await open(t, () => sleep(20)));
  await send(1, post("one"));
  const request = post("two");
  socket.write(request.slice(0, -2));
  await sleep(30);
  assert.equal((await send(2, request.slice(-2))).at(-1), "node /again two;");
  assert.equal((await send(3, post("333"))).at(-1), "again 333;");
  const answers = await send(6, post("444"), post("555"), post("66"));
  assert.deepEqual(
    answers.slice(3).map((answer) => answer.split(" ").at(-1)),
    ["444;", "555;", "66;"],
  );
});

test("the parts of a long body are gathered as they come, and given to Node where one keeps it waiting", async (t) => {
  const { send, socket } = await dial(await open(t));
  const long = (letter: string): string => post(letter.repeat(50_000));
  const parts = async (text: string, pauseMs: number): Promise<void> => {
    for (let at = 0; at < text.length; at += 9999) {
      socket.write(text.slice(at, at + 9999));
      await sleep(pauseMs);
    }
  };
  await send(1, long("a"));
  await parts(long("b"), 20);
  assert.equal((await send(2)).at(-1), `again ${"b".repeat(50_000)};`);
  socket.write(long("c").slice(0, 30_000));
  await sleep(1200);
  assert.equal((await send(3, long("c").slice(30_000))).at(-1), `node /again ${"c".repeat(50_000)};`);
  assert.equal((await send(4, long("d"))).at(-1), `again ${"d".repeat(50_000)};`);
  socket.write(long("e").slice(0, 30_000));
  await sleep(20);
  const both = await send(6, long("e").slice(30_000) + long("f"));
  assert.deepEqual(
    both.slice(4).map((answer) => answer.replace(/(.)\1+/, "$1")),
    ["node /again e;", "node /again f;"],
    "more than is due is Node's",
  );
});

test("who says that no more will come is answered first", async (t) => {
  const { send, socket } = await dial(await open(t, () => sleep(30)));
  await send(1, post("one"));
  socket.end(post("two"));
  assert.equal((await send(2)).at(-1), "again two;");
  await new Promise((resolve) => socket.once("close", resolve));
});

test("an answer that takes long is waited for, a client that does not read it is not", async (t) => {
  const { promise: cut, resolve } = Promise.withResolvers<void>();
  // More than the system keeps for a connection.
  const bytes = 64 * 1024 * 1024;
  const options = { padding: " ".repeat(bytes), idleMs: 500, cut: resolve };
  const { send, socket, closed } = await dial(await open(t, () => sleep(1500), options));
  await send(1, post("one"));
  socket.pause();
  socket.write(post("two"));
  await cut;
  socket.resume();
  await closed;
  assert.ok(socket.bytesRead > 1024, "the answer had begun");
  assert.ok(socket.bytesRead < bytes, "and was cut");
});

test("however requests are cut into packets, each is answered once, in order", async (t) => {
  const port = await open(t, () => tick());
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 48271) % 2147483647) % below;
  let again = 0;
  for (let round = 0; round < 60; round++) {
    const { socket, send } = await dial(port);
    const bodies = Array.from({ length: 12 }, () => "ab\r\n".repeat(1 + random(2)));
    const bytes = bodies.map((body) => post(body));
    const pieces: string[] = [];
    // Whole requests, requests in two pieces, and several in one.
    for (let at = 0; at < bytes.length;) {
      const some = bytes.slice(at, (at += random(4) === 0 ? 1 + random(3) : 1)).join("");
      const cut = random(3) === 0 ? random(some.length) : 0;
      pieces.push(...[some.slice(0, cut), some.slice(cut)].filter((piece) => piece !== ""));
    }
    const answers = await send(bodies.length, ...pieces);
    assert.deepEqual(
      answers.map((answer) => answer.replace(/^(?:node \/again|again) /, "")),
      bodies.map((body) => `${body};`),
    );
    again += answers.filter((answer) => answer.startsWith("again")).length;
    socket.destroy();
  }
  assert.ok(again > 0, "both ways were taken");
});

test("silence during a long use of a key does not close its connection, and closing waits for it", async (t) => {
  await using server = await restBench({ limits: { silenceTimeoutMs: 50, keepAliveTimeoutMs: 1000 } });
  const made = await server.call({
    url: "/v1/keys",
    body: { name: "k", algorithm: "ec-p256", usages: ["sign"] },
  });
  assert.equal(made.status, 201, made.text);
  const { keyring, adminToken } = server.temporary;
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const body = '{"input":"AAAA"}';
  const request =
    `POST /v1/keys/k/sign HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${adminToken}\r\n` +
    `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  let text = "";
  const socket = connect(port, "127.0.0.1").setEncoding("latin1");
  t.after(() => socket.destroy());
  socket.on("data", (part: string) => (text += part));
  const answered = async (count: number): Promise<void> => {
    while (text.split("HTTP/1.1 200").length - 1 < count) {
      assert.equal(socket.closed, false, text);
      await tick();
    }
  };
  socket.write(request);
  await answered(1);
  assert.match(text, /\r\nKeep-Alive: timeout=1\r\n/, "read by Node");
  const sign = keyring.sign.bind(keyring);
  const slow = t.mock.method(keyring, "sign", async (...parts: Parameters<typeof sign>) => {
    await sleep(2500);
    return sign(...parts);
  });
  socket.write(request);
  await answered(2);
  assert.match(text, /\r\nkeep-alive: timeout=1\r\n/, "not read by Node");
  socket.write(request);
  while (slow.mock.callCount() < 2) await tick();
  await server.rest.close();
  await answered(3);
  assert.match(text.slice(text.lastIndexOf("HTTP/1.1")), /\r\nconnection: close\r\n/);
});

test("closing does not wait longer than its grace for a use that never ends", async (t) => {
  await using server = await restBench({ limits: { closeGraceMs: 100 } });
  const made = await server.call({ url: "/v1/keys", body: { name: "k", algorithm: "ec-p256", usages: ["sign"] } });
  assert.equal(made.status, 201, made.text);
  const sent = { url: "/v1/keys/k/sign", body: { input: "AAAA" } };
  for (let at = 0; at < 2; at++) assert.equal((await server.call(sent)).status, 200);
  const never = t.mock.method(server.temporary.keyring, "sign", () => new Promise(() => {}));
  const cut = assert.rejects(server.call(sent));
  while (never.mock.callCount() === 0) await tick();
  await server.rest.close();
  await cut;
});
