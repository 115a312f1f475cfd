/** Parts of a data directory that were put back, lost or replaced: what a start says of them, and what it tells to do. */
import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { casemate, startServer, temporary } from "./harness.ts";

const WITHOUT_SOCKETS = { recursive: true, filter: (path: string) => !path.endsWith(".sock") };

/** Database and log of a copy, and nothing else of it. */
function putBack(data: string, copy: string): void {
  for (const name of readdirSync(copy)) {
    if (name !== "audit" && !name.startsWith("casemate.db")) continue;
    rmSync(join(data, name), { recursive: true, force: true });
    cpSync(join(copy, name), join(data, name), { recursive: true });
  }
}

test("what unlocking a device with a passphrase found is repeated by every command, with the same numbers, and kept when it is accepted", async () => {
  using directory = temporary();
  const data = join(directory.path, "data");
  const older = join(directory.path, "older");
  const file = join(directory.path, "passphrase");
  writeFileSync(file, "correct horse battery staple");
  const unlock = () => casemate(data, ["device", "unlock", "hsm-1", "--passphrase-file", file]);
  const first = await startServer(data, ["--root", "passphrase"]);
  assert.equal((await unlock()).status, 0);
  await first.stop();
  cpSync(data, older, WITHOUT_SOCKETS);
  const second = await startServer(data);
  assert.equal((await unlock()).status, 0);
  for (const name of ["a", "b", "c"]) await casemate(data, ["key", "create", name, "--algorithm", "ed25519"]);
  await second.stop();
  putBack(data, older);

  const third = await startServer(data);
  let sentence = "";
  try {
    const refused = await unlock();
    assert.equal(refused.status, 1);
    sentence = /the audit log was rolled back: the device hsm-1 has witnessed \d+ records, it holds \d+/.exec(
      refused.stderr,
    )![0];
    for (const command of [
      ["key", "list"],
      ["token", "list"],
      ["device", "unlock", "hsm-1", "--passphrase-file", file],
    ]) {
      const { status, stderr } = await casemate(data, command);
      assert.equal(status, 1);
      assert.ok(stderr.includes(`${sentence} (TAMPER_DETECTED)`), stderr);
      assert.match(stderr, /--accept-older-log/);
      assert.doesNotMatch(stderr, /DEVICE_LOCKED|Unlock it/);
    }
    assert.ok((await casemate(data, ["status"])).stdout.includes(`Alarm: ${sentence}`));
    const verified = await casemate(data, ["audit", "verify"]);
    assert.equal(verified.status, 1);
    assert.ok(verified.stderr.includes(`the audit log does not hold: ${sentence} (`), verified.stderr);
    const held = Number(/it holds (\d+)/.exec(sentence)![1]);
    assert.match(verified.stderr, new RegExp(`Device and log agree up to record ${held - 1}, `));
    const { stdout } = await casemate(data, ["doctor"]);
    assert.match(stdout, new RegExp(`bad +server: .*${sentence}`));
    assert.match(stdout, /note +audit log: witnessed, \d+ records, by hsm-1/);
  } finally {
    await third.stop();
  }
  const offline = await casemate(data, ["audit", "verify"]);
  assert.equal(offline.status, 1, "without the server, too: it is on record");
  assert.ok(offline.stdout.includes(`Alarm: ${sentence}`), offline.stdout);

  const accepting = await startServer(data, ["--accept-older-log"]);
  try {
    const unlocked = await unlock();
    assert.equal(unlocked.status, 0, unlocked.stderr);
    const { stdout } = await casemate(data, ["audit", "list", "--principal", "owner", "--json"]);
    const [record] = JSON.parse(stdout) as { action: string; details: { found: string } }[];
    assert.deepEqual([record?.action, record?.details.found], ["audit.accept", sentence]);
    assert.doesNotMatch((await casemate(data, ["audit", "verify"])).stdout, /Alarm/);
  } finally {
    await accepting.stop();
  }
});

test("a new database beside a device that has witnessed an earlier one gets a token of its own, and the old token file is kept aside", async () => {
  using directory = temporary();
  const data = join(directory.path, "data");
  await (await startServer(data)).stop();
  const token = readFileSync(join(data, "admin.token"), "utf8");
  for (const name of readdirSync(data))
    if (name === "audit" || name.startsWith("casemate.db")) rmSync(join(data, name), { recursive: true });
  const refused = await casemate(data, ["up", "--listen", "127.0.0.1:0"]);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /TAMPER_DETECTED/);
  assert.equal(readFileSync(join(data, "admin.token"), "utf8"), token, "a refused start changes nothing");
  const server = await startServer(data, ["--accept-older-log"]);
  try {
    assert.ok(server.announced.remarks.some((remark) => remark.includes("admin.token.old")));
    assert.equal(readFileSync(join(data, "admin.token.old"), "utf8"), token);
    const { status, stderr } = await casemate(data, ["key", "list"]);
    assert.equal(status, 0, stderr);
  } finally {
    await server.stop();
  }
  const again = await startServer(data);
  assert.equal(again.announced.firstRun, false);
  assert.ok(!readdirSync(data).includes("admin.token.old-2"));
  await again.stop();
});

/** A directory with a past, and a copy from before its last key. */
async function past(path: string): Promise<{ readonly data: string; readonly older: string }> {
  const [data, older] = [join(path, "data"), join(path, "older")];
  await (await startServer(data)).stop();
  cpSync(data, older, WITHOUT_SOCKETS);
  const server = await startServer(data);
  assert.equal((await casemate(data, ["key", "create", "a", "--algorithm", "ed25519"])).status, 0);
  await server.stop();
  return { data, older };
}

test("an older data directory beside a newer key file says at the start what was found and what to do, on the console, in the log, and without contradiction", async () => {
  using directory = temporary();
  const { data, older } = await past(directory.path);
  const key = join(older, "roots", "hsm-1.key");
  cpSync(join(data, "roots", "hsm-1.key"), key);
  const found =
    /hsm-1, .* is tampered: the sealed state is an older one: save \d+, while the key file has seen save \d+/;
  const server = await startServer(older);
  try {
    const alarm = server.announced.alarm ?? "";
    assert.match(alarm, found);
    assert.match(alarm, /Restore the newest state, .* cut the key file to its first 32 bytes.*Stop the server/);
    assert.ok(alarm.includes(key), alarm);
    assert.ok(readFileSync(join(older, "server.log"), "utf8").includes(alarm));
    assert.doesNotMatch(server.announced.remarks.join(), /unlocked/);
    const { stderr } = await casemate(older, ["key", "list"]);
    assert.match(stderr, found);
    assert.ok(stderr.includes(key), stderr);
    assert.doesNotMatch(stderr, /an older one is refused/);
    const { stdout } = await casemate(older, ["status"]);
    assert.match(stdout, found);
    assert.ok(!stdout.split("DEVICE")[0]?.includes(key), "health, which anybody may ask, names no files");
    assert.match(
      (await casemate(older, ["doctor"])).stdout,
      /audit log: not known while the device is tampered: hsm-1/,
    );
  } finally {
    await server.stop();
  }
  // What it tells to do: the older state, database and log belong together.
  truncateSync(key, 32);
  const again = await startServer(older);
  assert.equal((await casemate(older, ["status"])).status, 0);
  await again.stop();
});

test("a key file that was overwritten or is another one is said to be that, with its path, and the right one is all that it takes", async () => {
  using directory = temporary();
  const { data } = await past(directory.path);
  const key = join(data, "roots", "hsm-1.key");
  const right = readFileSync(key);
  for (const [bytes, words] of [
    [Buffer.alloc(40), /the key file is empty or was overwritten with zeros.*Restore the key file from its backup/],
    [
      Buffer.alloc(10, 1),
      /the key file has 10 bytes; a root key file has 32 or 40\. Restore the key file from its backup/,
    ],
    [Buffer.alloc(48, 1), /the key file has 48 bytes; a root key file has 32 or 40/],
  ] as const) {
    writeFileSync(key, bytes);
    for (const more of [[], ["--reseal"]]) {
      const { status, stderr } = await casemate(data, ["up", "--listen", "127.0.0.1:0", ...more]);
      assert.equal(status, 1);
      assert.match(stderr, words);
      assert.match(stderr, /CONFIG_INVALID/);
      assert.ok(stderr.includes(key), stderr);
      assert.doesNotMatch(stderr, /does not know the storage key/);
    }
  }
  writeFileSync(key, Buffer.alloc(40, 7));
  const other = await startServer(data);
  try {
    assert.match(other.announced.alarm ?? "", /the key file does not belong to the sealed state.*Restore the key file/);
    assert.ok(other.announced.alarm?.includes(key));
  } finally {
    await other.stop();
  }
  writeFileSync(key, right);
  const server = await startServer(data);
  assert.equal((await casemate(data, ["status"])).status, 0);
  assert.match((await casemate(data, ["key", "list"])).stdout, /ed25519/);
  await server.stop();
});

test("files beside the log that were taken away are made again from its records, and the verifier and the start say which", async () => {
  using directory = temporary();
  const { data } = await past(directory.path);
  for (const name of ["checkpoint-key", "saved", "tree"]) {
    rmSync(join(data, "audit", name));
    const verified = await casemate(data, ["audit", "verify"]);
    assert.equal(verified.status, 0, verified.stderr);
    assert.match(verified.stderr, new RegExp(`gone, and made again .*: audit/${name}\\.`));
    const server = await startServer(data);
    const said = `made again from the audit log's records, since gone or unfit: audit/${name}`;
    try {
      assert.ok(server.announced.remarks.includes(said), server.announced.remarks.join());
      assert.ok(readFileSync(join(data, "server.log"), "utf8").includes(said));
      const { stdout } = await casemate(data, ["audit", "list", "--json"]);
      assert.ok(stdout.includes(`"remade":"${name}"`) || stdout.includes(`"remade": "${name}"`), name);
    } finally {
      await server.stop();
    }
    assert.ok(readdirSync(join(data, "audit")).includes(name));
    assert.doesNotMatch((await casemate(data, ["audit", "verify"])).stderr, /gone/);
  }
});

test("a data directory that is moved under a running server is said to be that, by every command that needs its place, until it is back", async () => {
  using directory = temporary();
  const { data } = await past(directory.path);
  const moved = join(directory.path, "moved");
  const server = await startServer(data);
  try {
    assert.equal((await casemate(data, ["audit", "checkpoint"])).status, 0);
    renameSync(data, moved);
    for (const command of [
      ["audit", "checkpoint"],
      ["audit", "list"],
    ]) {
      const { status, stderr } = await casemate(moved, command);
      assert.equal(status, 1);
      assert.match(stderr, /the data directory was moved or removed under the running server \(STORAGE_FAILED\)/);
      assert.match(stderr, /Hint: Put it back to its old place, or stop the server/);
    }
    const warning = /Warning: checkpoints .* not signed at present: the data directory was moved/;
    assert.match((await casemate(moved, ["audit", "verify"])).stdout, warning);
    assert.match((await casemate(moved, ["status"])).stdout, warning);
    assert.match(
      readFileSync(join(moved, "server.log"), "utf8"),
      /not signed at present: the data directory was moved/,
    );
    renameSync(moved, data);
    const { status, stdout } = await casemate(data, ["audit", "verify"]);
    assert.equal(status, 0);
    assert.match(stdout, /^chain ok/);
    assert.doesNotMatch(stdout, /Warning/);
    assert.match((await casemate(data, ["status"])).stdout, /: ok\./);
  } finally {
    await server.stop();
  }
});

test("a start without the first device's key file ends, whatever other devices there are", async () => {
  using directory = temporary();
  const data = join(directory.path, "data");
  const first = await startServer(data);
  assert.equal((await casemate(data, ["device", "add", "virtual-hsm"])).status, 0);
  await first.stop();
  rmSync(join(data, "roots", "hsm-1.key"));
  const { status, stderr } = await casemate(data, ["up", "--listen", "127.0.0.1:0"]);
  assert.equal(status, 1);
  assert.match(stderr, /hsm-1\.key/);
});
