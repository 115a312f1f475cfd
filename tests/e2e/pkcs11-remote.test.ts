/** A connection from another machine is let in by an API token, and ends with it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { connect } from "node:tls";
import { systemClock } from "@casemate/foundation/effects";
import { createPkcs11Server } from "@casemate/interfaces/pkcs11";
import { serverCertificate } from "@casemate/interfaces/rest";
import { pkcs11Bench } from "@casemate/testkit/pkcs11";

async function opened(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "casemate-remote-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const { certificate: cert, key } = serverCertificate({ directory, hosts: ["localhost"], clock: systemClock });
  let port = 0;
  const bench = await pkcs11Bench(async (parts) => {
    const remote = { host: "localhost", port: 0, key, cert };
    const server = await createPkcs11Server({ ...parts, objects: parts.keyring.objects, remote });
    port = server.remotePort ?? 0;
    return server;
  });
  t.after(() => bench[Symbol.asyncDispose]());
  /** A connection that was let in. */
  const come = async (token: string) => {
    const socket = connect({ host: "localhost", port, ca: cert });
    socket.on("error", () => undefined);
    await once(socket, "secureConnect");
    socket.write(`casemate-pkcs11 1 ${token}\n`);
    const [answer] = (await once(socket, "data")) as [Buffer];
    assert.equal(answer.toString(), "ok\n");
    t.after(() => socket.destroy());
    return socket.resume();
  };
  return { ...bench, come };
}

test("when its token is revoked, and no other", async (t) => {
  const { keyring, admin, come } = await opened(t);
  const request = { principal: "bridge", roles: ["auditor"] } as const;
  const [own, other] = [await keyring.createToken(admin, request), await keyring.createToken(admin, request)];
  const [mine, theirs] = [await come(own.token), await come(other.token)];
  const closed = once(mine, "close");
  await keyring.revokeToken(admin, own.view.id);
  await closed;
  assert.equal(theirs.closed, false);
  await assert.rejects(come(own.token));
  assert.equal((await come(other.token)).closed, false);
});

test("a token that is revoked while it is looked at lets nobody in", async (t) => {
  const { keyring, admin, come } = await opened(t);
  const { token, view } = await keyring.createToken(admin, { principal: "bridge", roles: ["auditor"] });
  const authenticate = keyring.authenticate.bind(keyring);
  t.mock.method(keyring, "authenticate", async (...asked: Parameters<typeof authenticate>) => {
    const caller = await authenticate(...asked);
    await keyring.revokeToken(admin, view.id);
    return caller;
  });
  await assert.rejects(come(token), /refused/);
});

test("when the time of its token is over", async (t) => {
  const { keyring, admin, come } = await opened(t);
  const { token } = await keyring.createToken(admin, { principal: "bridge", roles: ["auditor"], expiresInSeconds: 2 });
  await once(await come(token), "close");
});
