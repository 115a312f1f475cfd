import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect } from "node:tls";
import { systemClock } from "@casemate/foundation/effects";
import { serverCertificate } from "@casemate/interfaces/rest";
import { exchange, restBench } from "@casemate/testkit/rest";

test("an offer to upgrade is declined by an answer in HTTP/1.1, also with a body; CONNECT is refused by name", async () => {
  await using server = await restBench();
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const h2c = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";
  const end = "GET /v1/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
  for (const offer of [h2c, "connection: upgrade\r\nupgrade: websocket\r\n"]) {
    const offered = `GET /v1/health HTTP/1.1\r\nhost: localhost\r\n${offer}\r\n`;
    const socket = connectPlain(port, "127.0.0.1").setEncoding("latin1");
    for (const request of [offered, offered, end]) {
      socket.write(request);
      const [answer] = (await once(socket, "data")) as [string];
      assert.match(answer, /^HTTP\/1\.1 200 /, "and the connection goes on in HTTP/1.1");
    }
    socket.destroy();
    const text = await exchange(port, offered + end);
    assert.match(text, /^HTTP\/1\.1 200 [\s\S]*?\r\nconnection: close/i, "what came along was not taken");
  }
  const body = JSON.stringify({ length: 4 });
  const head = `host: localhost\r\nauthorization: Bearer ${server.temporary.adminToken}\r\ncontent-type: application/json\r\n`;
  const more =
    "connection: Upgrade, HTTP2-Settings, close\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";
  const made = await exchange(
    port,
    `POST /v1/random HTTP/1.1\r\n${head}${more}content-length: ${body.length}\r\n\r\n${body}`,
  );
  assert.match(made, /^HTTP\/1\.1 200 [\s\S]*"bytes":"/);
  const refused = await exchange(port, "CONNECT localhost:1 HTTP/1.1\r\nhost: localhost\r\n\r\n");
  assert.match(refused, /^HTTP\/1\.1 405 [\s\S]*CONNECT is not answered: this server is no proxy/);
});

test("over TLS as well, who closes its half right behind a request gets the answer", async (t) => {
  await using server = await restBench();
  const directory = mkdtempSync(join(tmpdir(), "casemate-half-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const tls = serverCertificate({ directory, hosts: ["localhost"], clock: systemClock });
  const { port } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0, tls });
  const body = JSON.stringify({ length: 4 });
  const request = `POST /v1/random HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${server.temporary.adminToken}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  for (const requests of [1, 2]) {
    // The option is passed on to the socket; the types of connect leave it out.
    const options = { host: "localhost", port: port ?? 0, ca: tls.certificate, allowHalfOpen: true };
    const socket = connect(options);
    let text = "";
    socket.setEncoding("latin1").on("data", (part: string) => (text += part));
    await once(socket, "secureConnect");
    socket.end(request.repeat(requests));
    await once(socket, "end");
    assert.equal(text.match(/HTTP\/1\.1 200 /g)?.length, requests);
    socket.destroy();
  }
});
