import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
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

test("a certificate that nobody vouches for is said to be that, with what to do", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "casemate-far-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const made = (name: string) => {
    mkdirSync(join(directory, name));
    return serverCertificate({ directory: join(directory, name), hosts: ["localhost"], clock: systemClock });
  };
  const [{ certificate, key }, other] = [made("own"), made("other")];
  const [caFile, tokenFile] = [join(directory, "ca.pem"), join(directory, "token")];
  writeFileSync(caFile, other.certificate);
  writeFileSync(tokenFile, "token\n");
  const server = createServer({ key, cert: certificate });
  server.listen(0, "localhost");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  for (const [options, why] of [
    [{ tokenFile, caFile }, `neither the one in ${caFile} nor signed by it`],
    [{ tokenFile }, "signed by no authority of this machine"],
  ] as const)
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await assert.rejects(remoteFar({ options, env: {} } as unknown as Session, `localhost:${port}`)(), {
      message: new RegExp(
        `^the certificate of localhost:${port} is ${why} \\(.*SIGNED.*\\): name the server's own by --ca-file`,
      ),
    });
});
