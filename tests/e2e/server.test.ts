/** The server's life as a user meets it: start, restart, refusals, signals, addresses. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { REPOSITORY, casemate, run, startServer, temporary } from "./harness.ts";

test("without a server, status exits with 3 and says how to start one", async () => {
  using directory = temporary();
  const { status, stderr } = await casemate(directory.path, ["status"]);
  assert.equal(status, 3);
  assert.match(stderr, /no server answers at .*casemate\.sock[\s\S]*casemate up/);
  const asked = await casemate(directory.path, ["status", "--url", "http://localhost:1"]);
  assert.equal(asked.status, 3);
});

test("status exits with 3 at an address that takes connections and never answers", async () => {
  using directory = temporary();
  const mute = createServer(() => {});
  await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = mute.address() as AddressInfo;
    const { status, stderr } = await casemate(directory.path, ["status", "--url", `http://127.0.0.1:${port}`]);
    assert.equal(status, 3);
    assert.match(stderr, /no server answers at/);
  } finally {
    mute.closeAllConnections();
    mute.close();
  }
});

test("state survives a restart, the files are the owner's alone, and a stopped server leaves no socket", async (t: TestContext) => {
  using directory = temporary();
  const data = join(directory.path, "data");
  const first = await startServer(data);
  try {
    t.diagnostic(
      `first start: first output ${first.firstOutputMs.toFixed(0)} ms, ready ${first.readyMs.toFixed(0)} ms`,
    );
    const rss = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${first.pid}/status`, "utf8"))?.[1];
    t.diagnostic(`resident memory of the server once ready: ${(Number(rss) / 1024).toFixed(0)} MiB`);
    assert.equal(first.announced.firstRun, true);
    const { status, stderr } = await casemate(data, [
      "key",
      "create",
      "kept",
      "--algorithm",
      "ed25519",
      "--label",
      "a=b",
    ]);
    assert.equal(status, 0, stderr);
    for (const name of ["admin.token", "casemate.sock", "server.log"]) {
      assert.equal(statSync(join(data, name)).mode & 0o077, 0, `${name} is open to others`);
    }
    assert.equal(statSync(data).mode & 0o777, 0o700);
  } finally {
    assert.equal(await first.stop(), 0, first.stderr());
  }
  assert.ok(!existsSync(join(data, "casemate.sock")));
  assert.equal((await casemate(data, ["status"])).status, 3);

  const again = await startServer(data);
  try {
    t.diagnostic(
      `second start: first output ${again.firstOutputMs.toFixed(0)} ms, ready ${again.readyMs.toFixed(0)} ms`,
    );
    assert.equal(again.announced.firstRun, false);
    const { stdout } = await casemate(data, ["key", "list", "--json"]);
    const keys = JSON.parse(stdout) as readonly { readonly name: string; readonly labels: object }[];
    assert.deepEqual(
      keys.map(({ name, labels }) => [name, labels]),
      [["kept", { a: "b" }]],
    );
    writeFileSync(join(directory.path, "message"), "m");
    const message = join(directory.path, "message");
    const signature = join(directory.path, "signature");
    assert.equal((await casemate(data, ["sign", "kept", "--in", message, "--out", signature])).status, 0);
    assert.equal((await casemate(data, ["verify", "kept", "--in", message, "--signature", signature])).status, 0);
  } finally {
    assert.equal(await again.stop("SIGINT"), 0, again.stderr());
  }
});

test("a creating call repeated after a restart is not done twice", async () => {
  using directory = temporary();
  const create = async (): Promise<{ status: number; id: string }> => {
    const server = await startServer(directory.path);
    try {
      const token = readFileSync(join(directory.path, "admin.token"), "utf8").trim();
      const response = await fetch(`${server.announced.url}/v1/keys`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json", "idempotency-key": "once" },
        body: JSON.stringify({ name: "one", algorithm: "ed25519" }),
      });
      return { status: response.status, id: ((await response.json()) as { id: string }).id };
    } finally {
      await server.stop();
    }
  };
  const made = await create();
  const repeated = await create();
  assert.equal(made.status, 201);
  assert.deepEqual(repeated, made);
});

test("zeroizing destroys every key at once, and the device is a new one at the next start", async () => {
  using directory = temporary();
  const data = directory.path;
  const states = async (): Promise<readonly string[]> => {
    const { stdout } = await casemate(data, ["key", "list", "--json"]);
    return (JSON.parse(stdout) as readonly { name: string; state: string }[]).map(
      ({ name, state }) => `${name} ${state}`,
    );
  };
  const first = await startServer(data);
  try {
    assert.equal((await casemate(data, ["key", "create", "a", "--algorithm", "ed25519"])).status, 0);
    const zeroized = await casemate(data, ["device", "zeroize", "hsm-1", "--yes", "hsm-1"]);
    assert.match(zeroized.stdout, /Device hsm-1 was zeroized: every key that was in it is destroyed/);
    assert.match(zeroized.stdout, /restart the server, which makes it a new, empty device/);
    assert.match(zeroized.stdout, /Warning: .*checkpoints of the audit log are not signed/);
    const status = await casemate(data, ["status"]);
    assert.equal(status.status, 0, "a warning is no alarm");
    assert.match(status.stdout, /: warning\.\nWarning: .*checkpoints of the audit log are not signed/);
    assert.match((await casemate(data, ["doctor"])).stdout, /note +server: .*checkpoints of the audit log are not/);
    for (const command of [
      ["key", "create", "b", "--algorithm", "ed25519"],
      ["device", "unlock", "hsm-1"],
    ]) {
      const { stderr } = await casemate(data, command);
      assert.match(stderr, /zeroized: every key is gone; restart the server/);
      assert.doesNotMatch(stderr, /[Uu]nlock it|needs nobody/);
    }
    assert.deepEqual(await states(), ["a destroyed"]);
    assert.equal((await casemate(data, ["sign", "a"], { input: "m" })).status, 1);
  } finally {
    await first.stop();
  }
  const second = await startServer(data);
  try {
    assert.equal((await casemate(data, ["key", "create", "b", "--algorithm", "ed25519"])).status, 0);
    assert.deepEqual(await states(), ["a destroyed", "b active"]);
  } finally {
    await second.stop();
  }
  assert.equal((await casemate(data, ["audit", "verify"])).status, 0);
});

test("a second device takes over Casemate's own keys without a restart, whether it was there or is added", async () => {
  using directory = temporary();
  const data = directory.path;
  const server = await startServer(data);
  try {
    for (const [zeroized, next] of [
      ["hsm-1", "hsm-2"],
      ["hsm-2", "hsm-3"],
    ] as const) {
      const add = () => casemate(data, ["device", "add", "virtual-hsm"]);
      const zeroize = () => casemate(data, ["device", "zeroize", zeroized, "--yes", zeroized]);
      const [first, second] = next === "hsm-2" ? [add, zeroize] : [zeroize, add];
      assert.equal((await first()).status, 0);
      assert.equal((await second()).status, 0);
      assert.match((await casemate(data, ["status"])).stdout, /: ok\./);
      assert.match((await casemate(data, ["audit", "verify"])).stdout, new RegExp(`checkpoint signed by ${next}`));
      assert.ok(readFileSync(join(data, "server.log"), "utf8").includes(`a new storage key is made in ${next}`));
    }
  } finally {
    await server.stop();
  }
  const again = await startServer(data);
  assert.equal(again.announced.alarm, undefined);
  await again.stop();
});

test("a data directory whose path is too long for sockets works over loopback, and that is said", async () => {
  using directory = temporary();
  const data = join(directory.path, "a".repeat(60), "b".repeat(60));
  const server = await startServer(data);
  try {
    assert.equal(server.announced.socket, undefined);
    assert.match(server.announced.remarks.join("\n"), /too long for a unix socket/);
    const { status, stdout, stderr } = await casemate(data, ["key", "list", "--json"]);
    assert.equal(status, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), []);
  } finally {
    assert.equal(await server.stop(), 0);
  }
  assert.equal((await casemate(data, ["status"])).status, 3);
});

test("a second server on the same data directory is refused, and is told who has it", async () => {
  using directory = temporary();
  const server = await startServer(directory.path);
  try {
    const second = await casemate(directory.path, ["up", "--listen", "127.0.0.1:0"]);
    assert.equal(second.status, 1);
    assert.match(
      second.stderr,
      /is in use by the server at http:\/\/127\.0\.0\.1:\d+ \(process \d+\) \(STORAGE_IN_USE\)\nHint: /,
    );
    assert.equal((await casemate(directory.path, ["status"])).status, 0, "the first one goes on");
  } finally {
    await server.stop();
  }
});

test("https:// to a server without TLS is refused by what it is, with what to do", async () => {
  using directory = temporary();
  const server = await startServer(directory.path);
  try {
    const { status, stderr } = await casemate(directory.path, [
      "status",
      "--url",
      server.announced.url.replace("http", "https"),
    ]);
    assert.equal(status, 1);
    assert.match(stderr, /failed: it does not speak TLS there \(UNAVAILABLE\)\nHint: Use http:/);
  } finally {
    await server.stop();
  }
});

test("an address that is taken is refused with what to do, and leaves no process behind", async () => {
  using directory = temporary();
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const address = other.address();
  assert.ok(typeof address === "object" && address !== null);
  try {
    const refused = await casemate(directory.path, ["up", "--listen", `127.0.0.1:${address.port}`]);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /cannot listen on 127\.0\.0\.1:\d+.*EADDRINUSE[\s\S]*Hint: .*--listen HOST:PORT/);
    const elsewhere = await casemate(directory.path, ["up", "--listen", "203.0.113.1:0"]);
    assert.match(elsewhere.stderr, /EADDRNOTAVAIL[\s\S]*Hint: .*no such address.*--listen/);
  } finally {
    other.close();
  }
  const free = await startServer(directory.path);
  assert.equal(await free.stop(), 0, "the data directory was let go");
});

test("a data directory whose root key file is gone is refused by its name, and nothing is made in its place", async () => {
  using directory = temporary();
  const data = directory.path;
  const key = join(data, "roots", "hsm-1.key");
  assert.equal(await (await startServer(data)).stop(), 0);
  const kept = readFileSync(key);
  rmSync(key);
  const before = readFileSync(join(data, "devices", "hsm-1", "device.state"));
  for (const how of ["missing", "empty"]) {
    const refused = await casemate(data, ["up", "--listen", "127.0.0.1:0"]);
    assert.equal(refused.status, 1);
    const [message = "", hint = ""] = refused.stderr.split("\n");
    assert.ok(message.includes(`the key file ${key} is ${how}`), message);
    assert.match(message, /root of trust of hsm-1.*\(CONFIG_INVALID\)$/);
    assert.ok(hint.startsWith(`Hint: Put ${key} back from its backup`), hint);
    if (how === "missing") assert.ok(!existsSync(key), "no file was made in its place");
    assert.deepEqual(readFileSync(join(data, "devices", "hsm-1", "device.state")), before);
    writeFileSync(key, "", { mode: 0o600 });
  }
  writeFileSync(key, kept, { mode: 0o600 });
  assert.equal(await (await startServer(data)).stop(), 0, "with its key file it is there again");
});

test("wrong options exit with 2 and name the option", async () => {
  using directory = temporary();
  for (const args of [
    ["up", "--listen", "nowhere"],
    ["up", "--tls-cert", "a.pem"],
    ["up", "--log-level", "loud"],
    ["up", "--colour"],
    ["key", "create"],
    ["key", "create", "a"],
    ["sign", "a", "--version", "zero"],
    ["frobnicate"],
    [],
  ]) {
    const { status, stderr } = await casemate(directory.path, args);
    assert.equal(status, 2, `casemate ${args.join(" ")}: ${status} ${stderr}`);
    assert.notEqual(stderr, "");
  }
});

test("beyond loopback the server speaks TLS with a certificate of its own, and a token file is needed", async () => {
  using directory = temporary();
  const server = await startServer(directory.path, ["--listen", "0.0.0.0:0"]);
  try {
    const { url } = server.announced;
    assert.match(url, /^https:\/\/localhost:\d+$/);
    const trusted = ["--url", url, "--ca-file", join(directory.path, "tls", "certificate.pem")];
    const listed = await casemate(directory.path, [
      "key",
      "list",
      "--json",
      "--token-file",
      join(directory.path, "admin.token"),
      ...trusted,
    ]);
    assert.equal(listed.status, 0, listed.stderr);
    assert.deepEqual(JSON.parse(listed.stdout), []);
    const untrusted = await casemate(directory.path, ["status", "--url", url]);
    assert.equal(untrusted.status, 1);
    assert.match(
      untrusted.stderr,
      /certificate of https:\/\/localhost:\d+ is refused: it is self-signed[\s\S]*--ca-file/,
    );
    assert.doesNotMatch(untrusted.stderr, /NODE_|node:/);
    const plain = await casemate(directory.path, ["status", "--url", url.replace("https", "http")]);
    assert.equal(plain.status, 1);
    assert.match(plain.stderr, /plain HTTP was sent to a port that speaks TLS[\s\S]*Hint: .*https:\/\//);
    const own = await casemate(directory.path, ["key", "list", ...trusted]);
    assert.equal(own.status, 0, "the server of this data directory is given its administrator's token");
    const elsewhere = ["--url", url.replace("localhost", "127.0.0.1"), ...trusted.slice(2)];
    const anonymous = await casemate(directory.path, ["key", "list", ...elsewhere]);
    assert.equal(anonymous.status, 1);
    assert.match(anonymous.stderr, /no token was given/);
  } finally {
    await server.stop();
  }
});

test("neither the token nor a message stands in the log or in the audit log", async () => {
  using directory = temporary();
  const data = join(directory.path, "data");
  const server = await startServer(data, ["--log-level", "debug"]);
  const marker = "a-payload-that-must-not-be-kept";
  try {
    assert.equal((await casemate(data, ["key", "create", "k", "--algorithm", "aes-256"])).status, 0);
    const { status, stderr } = await casemate(data, ["encrypt", "k", "--context", marker], { input: marker });
    assert.equal(status, 0, stderr);
  } finally {
    await server.stop();
  }
  const token = readFileSync(join(data, "admin.token"), "utf8").trim();
  const { stdout } = await casemate(data, ["audit", "verify", "--json"]);
  assert.equal((JSON.parse(stdout) as { ok: boolean }).ok, true, "offline, without the server");
  const { readdirSync } = await import("node:fs");
  const files = readdirSync(data, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== "admin.token")
    .map((entry) => join(entry.parentPath, entry.name));
  assert.ok(files.some((file) => file.endsWith("server.log")));
  for (const file of files) {
    const content = readFileSync(file);
    for (const secret of [token, marker, Buffer.from(marker).toString("base64")]) {
      assert.ok(!content.includes(secret), `${file} holds what must not be kept`);
    }
  }
});

test("an older Node on the path finds the one that npm brought", async (t: TestContext) => {
  const found = await run("bash", ["-c", "type -ap node"]);
  for (const node of found.stdout.trim().split("\n")) {
    const version = await run(node, ["--version"]);
    if (Number(/^v(\d+)/.exec(version.stdout)?.[1]) >= 26) continue;
    const program = join(REPOSITORY, "apps/cli/bin/casemate.mjs");
    using directory = temporary();
    const ran = await run(node, [program, "status"], { env: { CASEMATE_DATA: directory.path } });
    assert.equal(ran.status, 3, ran.stderr);
    t.diagnostic(`${node} is ${version.stdout.trim()}`);
    return;
  }
  t.skip("no Node older than 26 is installed here");
});
