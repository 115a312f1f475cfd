import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, generateKeyPairSync, sign, verify } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { nativeCalls, type Capability } from "@casemate/foundation/ffi";

function need<T>(t: TestContext, found: Capability<T>): T | undefined {
  if (found.available) return found;
  t.skip(found.reason);
  return undefined;
}

const CURVES = [
  ["P-256", "sha256"],
  ["P-384", "sha384"],
  ["P-521", "sha512"],
  ["secp256k1", "sha256"],
] as const;

for (const [namedCurve, hash] of CURVES) {
  test(`a signature over a ${namedCurve} digest is one over its message, and the other way round`, (t) => {
    const ec = need(t, nativeCalls().ecDigest);
    if (ec === undefined) return;
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve });
    const message = Buffer.from("message");
    const digest = createHash(hash).update(message).digest();
    const pkcs8 = privateKey.export({ type: "pkcs8", format: "der" });
    using signer = ec.loadPrivate(pkcs8);
    using verifier = ec.loadPublic(publicKey.export({ type: "spki", format: "der" }));
    assert.ok(
      pkcs8.every((byte) => byte === 0),
      "the encoded private key is wiped",
    );

    const signature = signer.sign(digest);
    assert.ok(verify(hash, message, publicKey, signature));
    assert.ok(verifier.verify(digest, sign(hash, message, privateKey)));
    assert.ok(signer.verify(digest, signature));

    const other = createHash(hash).update("other").digest();
    assert.equal(verifier.verify(other, signature), false);
    signature[signature.length - 1] = (signature.at(-1) ?? 0) ^ 1;
    assert.equal(verifier.verify(digest, signature), false);
    assert.equal(verifier.verify(digest, new Uint8Array(0)), false);
    assert.equal(verifier.verify(digest, new Uint8Array(4096)), false);
  });
}

test("what is no EC key, truncated or followed by more bytes is refused and wiped", (t) => {
  const ec = need(t, nativeCalls().ecDigest);
  if (ec === undefined) return;
  const der = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "der" });
  const ed25519 = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "der" });
  for (const input of [
    ed25519,
    der.subarray(0, 60),
    Buffer.concat([der, Buffer.of(0)]),
    Buffer.alloc(0),
    Buffer.alloc(100_000),
  ]) {
    const copy = Uint8Array.from(input);
    assert.throws(() => ec.loadPrivate(copy), { code: "BAD_REQUEST" });
    assert.ok(copy.every((byte) => byte === 0));
    assert.throws(() => ec.loadPublic(Uint8Array.from(input)), { code: "BAD_REQUEST" });
  }
});

test("digests out of bounds are refused, and a disposed key is never used again", (t) => {
  const ec = need(t, nativeCalls().ecDigest);
  if (ec === undefined) return;
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signer = ec.loadPrivate(privateKey.export({ type: "pkcs8", format: "der" }));
  assert.throws(() => signer.sign(new Uint8Array(0)), { code: "BAD_REQUEST" });
  assert.throws(() => signer.sign(new Uint8Array(1025)), { code: "BAD_REQUEST" });
  assert.ok(signer.verify(new Uint8Array(32), signer.sign(new Uint8Array(32))));
  signer.dispose();
  signer.dispose();
  assert.throws(() => signer.sign(new Uint8Array(32)), /disposed/);
  assert.throws(() => signer.verify(new Uint8Array(32), new Uint8Array(70)), /disposed/);
});

test("the peer of a Unix socket is known by process and user; a TCP socket and a closed descriptor have none", async (t) => {
  const peer = need(t, nativeCalls().peer);
  if (peer === undefined) return;
  const directory = mkdtempSync(join(tmpdir(), "casemate-ffi-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const descriptorOf = (socket: Socket): number => (socket as unknown as { _handle: { fd: number } })._handle.fd;
  const accept = async (address: { path: string } | { port: number; host: string }): Promise<Socket> => {
    const server = createServer().listen(address);
    await once(server, "listening");
    const bound = server.address() ?? assert.fail("not listening");
    const client = typeof bound === "string" ? connect(bound) : connect(bound.port, bound.address);
    const [accepted] = (await once(server, "connection")) as [Socket];
    t.after(() => {
      client.destroy();
      accepted.destroy();
      server.close();
    });
    return accepted;
  };
  const unix = await accept({ path: join(directory, "s") });
  assert.deepEqual(peer.peerOf(descriptorOf(unix)), {
    pid: process.pid,
    uid: process.getuid?.(),
    gid: process.getgid?.(),
  });
  const tcp = await accept({ port: 0, host: "127.0.0.1" });
  assert.throws(() => peer.peerOf(descriptorOf(tcp)), { code: "NOT_SUPPORTED" });
  assert.throws(() => peer.peerOf(9999), { code: "NOT_SUPPORTED" });
});

/** Hardening cannot be undone, so each claim about it runs in a process of its own. */
function inChild(script: string, ...flags: readonly string[]): string {
  const run = spawnSync(process.execPath, ["--no-warnings", ...flags, "--input-type=module", "-e", script], {
    cwd: import.meta.dirname,
    encoding: "utf8",
    timeout: 20_000,
  });
  assert.equal(run.status, 0, run.stderr);
  return run.stdout;
}

test("a process can make itself unreadable, without core files and without ways to new privileges", (t) => {
  if (need(t, nativeCalls().processCalls) === undefined) return;
  const output = inChild(`
    const { nativeCalls } = await import("./index.ts");
    const { processCalls: p } = nativeCalls();
    const show = () => console.log(p.isDumpable(), p.coreFilesForbidden(), p.hasNoNewPrivileges());
    show(); p.setNotDumpable(); p.forbidCoreFiles(); p.setNoNewPrivileges(); show();`);
  assert.match(output, /^true (true|false) false\nfalse true true\n$/);
});

test("under the filter each forbidden call is refused, while threads, timers, cryptography and output go on", (t) => {
  if (need(t, nativeCalls().seccomp) === undefined) return;
  const output = inChild(`
    import { promisify } from "node:util";
    import * as crypto from "node:crypto";
    const { nativeCalls, ATTEMPTS } = await import("./index.ts");
    const { processCalls, seccomp, attempts } = nativeCalls();
    const before = ATTEMPTS.filter((a) => attempts.refused(a));
    processCalls.setNotDumpable(); processCalls.setNoNewPrivileges();
    seccomp.confineGuest();
    const after = ATTEMPTS.filter((a) => !attempts.refused(a));
    const key = await promisify(crypto.generateKeyPair)("rsa", { modulusLength: 2048 });
    await Promise.all(Array.from({ length: 8 }, () => promisify(crypto.scrypt)("a", "b", 32)));
    await new Promise((resolve) => setTimeout(resolve, 5));
    const big = Array.from({ length: 50 }, () => new Uint8Array(1e6)).length;
    console.log(JSON.stringify({ before, after, type: key.publicKey.type, big }));`);
  // Only a start through the prelude can take away the ring that libuv makes at once.
  assert.deepEqual(JSON.parse(output), {
    before: [],
    after: ["use an io_uring made earlier"],
    type: "public",
    big: 50,
  });
});

test("keys load, sign and verify after the permission to use ffi was dropped, and nothing new can be bound", (t) => {
  if (need(t, nativeCalls().ecDigest) === undefined) return;
  const output = inChild(
    `
    import { generateKeyPairSync } from "node:crypto";
    const { canBindNative, nativeCalls } = await import("./index.ts");
    const { ecDigest, peer } = nativeCalls();
    const before = canBindNative();
    process.permission.drop("ffi");
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const key = ecDigest.loadPrivate(privateKey.export({ type: "pkcs8", format: "der" }));
    const digest = new Uint8Array(32);
    const good = key.verify(digest, key.sign(digest));
    key.dispose();
    console.log(before, canBindNative(), good, nativeCalls().ecDigest.available);`,
    "--permission",
    "--allow-ffi",
    "--allow-fs-read=*",
  );
  assert.equal(output, "true false true true\n");
});

test("where ffi is missing or forbidden, every capability says why", () => {
  const script = `
    const { nativeCalls } = await import("./index.ts");
    console.log(JSON.stringify(Object.values(nativeCalls())));`;
  for (const flags of [["--no-experimental-ffi"], ["--permission", "--allow-fs-read=*"]]) {
    const parts = JSON.parse(inChild(script, ...flags)) as { available: boolean; reason: string }[];
    assert.ok(parts.length > 0);
    for (const { available, reason } of parts) {
      assert.equal(available, false);
      assert.match(reason, /ffi|permission/i);
    }
  }
});

test("loading, using and disposing keys leaves memory flat", (t) => {
  const ec = need(t, nativeCalls().ecDigest);
  if (ec === undefined) return;
  const der = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "der" });
  const digest = new Uint8Array(32);
  const round = (times: number): void => {
    for (let i = 0; i < times; i++) {
      using key = ec.loadPrivate(Uint8Array.from(der));
      key.verify(digest, key.sign(digest));
    }
  };
  round(1000);
  const before = process.memoryUsage.rss();
  round(3000);
  // A leaked key and its contexts cost about 4 KiB: 12 MB here.
  assert.ok(process.memoryUsage.rss() - before < 6_000_000, `${process.memoryUsage.rss() - before} bytes more`);
});
