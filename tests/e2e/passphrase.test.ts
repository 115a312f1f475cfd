/** A virtual HSM whose root of trust is a passphrase, as its owner meets it. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer, request as forward } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { casemate, startServer, temporary } from "./harness.ts";
import { searchMemory } from "./memory.ts";

const PASSPHRASE = "correct horse battery staple";

/** What a server that was taken over would do: hands on all requests, and puts a key of its own into challenges. */
async function relay(socketPath: string) {
  const seen: string[] = [];
  const how = { swaps: false };
  const server = createServer((request, response) => {
    const url = request.url ?? "";
    seen.push(url);
    // Each on a connection of its own: the server may be closing one that was idle on a slow machine.
    const options = { socketPath, path: url, method: request.method, headers: request.headers, agent: false } as const;
    const onward = forward(options, (answer) => {
      void buffer(answer).then((body) => {
        const { "content-length": _, ...headers } = answer.headers;
        response.writeHead(answer.statusCode ?? 500, headers);
        if (!how.swaps || !url.endsWith("/challenge")) return response.end(body);
        const publicKey = generateKeyPairSync("x25519").publicKey.export({ format: "raw-public" }).toBase64();
        return response.end(JSON.stringify({ ...(JSON.parse(body.toString()) as object), publicKey }));
      });
    });
    request.pipe(onward);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, seen, how, close: () => server.close() };
}

test("a passphrase is not sent when the device's one-time key was swapped on the way", async () => {
  using directory = temporary();
  const data = join(directory.path, "data");
  const file = join(directory.path, "passphrase");
  writeFileSync(file, PASSPHRASE);
  const server = await startServer(data, ["--root", "passphrase"]);
  const between = await relay(server.announced.socket ?? "");
  try {
    const verb = (...more: string[]) =>
      casemate(data, ["--url", between.url, "--token-file", join(data, "admin.token"), "device", ...more]);
    const first = await verb("unlock", "hsm-1", "--passphrase-file", file);
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.stderr, /first unlock of hsm-1[\s\S]*SHA256:/);
    assert.equal((await verb("lock", "hsm-1")).status, 0);
    between.how.swaps = true;
    between.seen.length = 0;
    const refused = await verb("unlock", "hsm-1", "--passphrase-file", file);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /TAMPER_DETECTED[\s\S]*Nothing was sent/);
    assert.ok(between.seen.some((url) => url.endsWith("/challenge")));
    assert.ok(!between.seen.some((url) => url.endsWith("/unlock")), between.seen.join());
    between.how.swaps = false;
    const again = await verb("unlock", "hsm-1", "--passphrase-file", file);
    assert.equal(again.status, 0, again.stderr);
    assert.doesNotMatch(again.stderr, /first unlock/);
  } finally {
    between.close();
    await server.stop();
  }
});

async function appears(path: string): Promise<void> {
  for (const end = Date.now() + 10_000; !existsSync(path); await sleep(50)) {
    assert.ok(Date.now() < end, `${path} does not appear`);
  }
}

test("a device with a passphrase waits for it after each start, and the passphrase is nowhere on disk", async () => {
  using directory = temporary();
  const data = join(directory.path, "data");
  const right = join(directory.path, "right");
  const wrong = join(directory.path, "wrong");
  writeFileSync(right, `${PASSPHRASE}\n`);
  writeFileSync(wrong, "something else entirely");
  const unlock = (file: string) => casemate(data, ["device", "unlock", "hsm-1", "--passphrase-file", file]);

  const first = await startServer(data, ["--root", "passphrase"]);
  try {
    assert.equal(first.announced.devices[0]?.state, "locked");
    const early = await casemate(data, ["key", "create", "k", "--algorithm", "ed25519"]);
    assert.equal(early.status, 1);
    assert.match(early.stderr, /DEVICE_LOCKED[\s\S]*casemate device unlock hsm-1/);
    const unlocked = await unlock(right);
    assert.equal(unlocked.status, 0, unlocked.stderr);
    await appears(join(data, "pkcs11.sock"));
    assert.equal((await casemate(data, ["key", "create", "k", "--algorithm", "ed25519"])).status, 0);
    assert.equal((await casemate(data, ["device", "lock", "hsm-1"])).status, 0);
    assert.match((await casemate(data, ["sign", "k"], { input: "m" })).stderr, /DEVICE_LOCKED/);
  } finally {
    assert.equal(await first.stop(), 0, first.stderr());
  }

  const second = await startServer(data);
  try {
    const refused = await unlock(wrong);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /PIN_WRONG[\s\S]*\d+ tries are left/);
    assert.equal((await unlock(right)).status, 0);
    const signed = await casemate(data, ["sign", "k"], { input: "m" });
    assert.equal(signed.status, 0, signed.stderr);
    assert.equal(signed.bytes.length, 64);
    const other = await casemate(data, ["up", "--root", "key-file"]);
    assert.equal(other.status, 1);
    assert.match(other.stderr, /made with the root of trust passphrase; it stays so/);
    if (process.getuid?.() === 0) {
      const needle = { name: "passphrase", bytes: Buffer.from(PASSPHRASE) };
      assert.deepEqual([...searchMemory(second.pid, [needle])], [], "the server has seen the passphrase");
    }
  } finally {
    await second.stop();
  }

  const files = readdirSync(data, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  assert.ok(files.length > 5);
  for (const { parentPath, name } of files) {
    assert.ok(!readFileSync(join(parentPath, name)).includes(PASSPHRASE), `${name} holds the passphrase`);
  }
});
