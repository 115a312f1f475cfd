import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import { systemClock } from "@casemate/foundation/effects";
import { serverCertificate } from "@casemate/interfaces/rest";
import type { Session } from "../session.ts";
import { remoteFar } from "./far.ts";

for (const [what, answer] of [
  ["closes", (socket: TLSSocket) => socket.end()],
  ["cuts the connection", (socket: TLSSocket) => socket.destroy()],
  ["refuses", (socket: TLSSocket) => socket.end("no\n")],
] as const) {
  test(`a remote server that ${what} before it has greeted is an error at once`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "casemate-far-"));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const { certificate, key } = serverCertificate({ directory, hosts: ["localhost"], clock: systemClock });
    const caFile = join(directory, "ca.pem");
    const tokenFile = join(directory, "token");
    writeFileSync(caFile, certificate);
    writeFileSync(tokenFile, "token\n");
    const server = createServer({ key, cert: certificate, minVersion: "TLSv1.3" }, (socket) => {
      socket.on("error", () => undefined);
      answer(socket);
    });
    server.listen(0, "localhost");
    await once(server, "listening");
    t.after(() => server.close());
    const session = { options: { tokenFile, caFile }, env: {} } as Session;
    const { port } = server.address() as AddressInfo;
    await assert.rejects(remoteFar(session, `localhost:${port}`)(), Error);
  });
}
