/** Parts of a data directory that were put back, lost or replaced: what a start says of them, and what it tells to do. */
import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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
    const { stdout } = await casemate(data, ["doctor"]);
    assert.match(stdout, new RegExp(`bad +server: .*${sentence}`));
    assert.match(stdout, /note +audit log: witnessed, \d+ records, by hsm-1/);
  } finally {
    await third.stop();
  }

  const accepting = await startServer(data, ["--accept-older-log"]);
  try {
    const unlocked = await unlock();
    assert.equal(unlocked.status, 0, unlocked.stderr);
    const { stdout } = await casemate(data, ["audit", "list", "--principal", "owner", "--json"]);
    const [record] = JSON.parse(stdout) as { action: string; details: { found: string } }[];
    assert.deepEqual([record?.action, record?.details.found], ["audit.accept", sentence]);
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
