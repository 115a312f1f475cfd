/** Changes to the data directory behind the server's back, as `audit verify` and the next start see them. */
import assert from "node:assert/strict";
import { cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { casemate, startServer, temporary } from "./harness.ts";

describe("a data directory that was changed", () => {
  const directory = temporary();
  const good = join(directory.path, "good");
  const older = join(directory.path, "older");
  const checkpoint = join(directory.path, "checkpoint");
  let segment = "";

  before(async () => {
    const first = await startServer(good);
    await casemate(good, ["key", "create", "a", "--algorithm", "ed25519"]);
    await first.stop();
    cpSync(good, older, { recursive: true, filter: (path) => !path.endsWith(".sock") });
    const second = await startServer(good);
    for (const name of ["b", "c", "d"]) await casemate(good, ["key", "create", name, "--algorithm", "ed25519"]);
    await casemate(good, ["audit", "checkpoint", "--out", checkpoint]);
    await second.stop();
    segment =
      readdirSync(join(good, "audit")).find((name) => readFileSync(join(good, "audit", name)).includes("key/b")) ?? "";
    assert.notEqual(segment, "");
  });
  after(() => directory[Symbol.dispose]());

  /** A copy to spoil. */
  const copy = (name: string): string => {
    const to = join(directory.path, name);
    cpSync(good, to, { recursive: true, filter: (path) => !path.endsWith(".sock") });
    return to;
  };
  const starts = (data: string) => casemate(data, ["up", "--listen", "127.0.0.1:0"]);

  test("the untouched copy verifies, also against the checkpoint kept elsewhere", async () => {
    const { status, stdout, stderr } = await casemate(copy("same"), ["audit", "verify", "--checkpoint", checkpoint]);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^chain ok, \d+ records, checkpoint signed by hsm-1/);
  });

  test("a file that is no checkpoint is refused as such, and nothing is said against the log", async () => {
    const file = join(directory.path, "no-checkpoint");
    writeFileSync(file, "not a checkpoint\n");
    const { status, stderr } = await casemate(copy("no-note"), ["audit", "verify", "--checkpoint", file]);
    assert.equal(status, 1);
    assert.match(stderr, /the given checkpoint is malformed.*BAD_REQUEST/);
    assert.doesNotMatch(stderr, /does not hold/);
  });

  test("a changed record is named", async () => {
    const data = copy("changed");
    const file = join(data, "audit", segment);
    const text = readFileSync(file, "utf8");
    const bad = text.split("\n").findIndex((line) => line.includes("key/b")) - 1;
    writeFileSync(file, text.replace("key/b", "key/x"));
    const { status, stderr } = await casemate(data, ["audit", "verify"]);
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`record ${bad}\\b[\\s\\S]*TAMPER_DETECTED`));
  });

  test("a server that runs on a changed old record finds it by itself, and says so until it ends", async () => {
    const data = copy("changed-and-started");
    const file = join(data, "audit", segment);
    const text = readFileSync(file, "utf8");
    const bad = text.split("\n").findIndex((line) => line.includes("key/b")) - 1;
    writeFileSync(file, text.replace("key/b", "key/x"));
    const server = await startServer(data);
    try {
      let said = "";
      for (let tries = 0; tries < 100 && !said.includes("Alarm"); tries++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        said = (await casemate(data, ["status"])).stdout;
      }
      assert.equal((await casemate(data, ["status"])).status, 1);
      assert.match(said, new RegExp(`: alarm\\.\nAlarm: audit log: .*record ${bad}\\b`));
      const { stdout } = await casemate(data, ["audit", "list", "--outcome", "TAMPER_DETECTED", "--json"]);
      assert.deepEqual(
        (JSON.parse(stdout) as { action: string }[]).map(({ action }) => action),
        ["audit.check"],
      );
      assert.equal((await casemate(data, ["sign", "a", "--in", file, "--out", join(data, "sig")])).status, 0);
    } finally {
      await server.stop();
    }
  });

  test("a device put back to an older state is an alarm, and refused as tampered with what it says itself", async () => {
    const data = copy("old-device");
    const changing = await startServer(data);
    const destroyed = await casemate(data, ["key", "destroy", "d", "--now"]);
    assert.equal(destroyed.status, 0, destroyed.stderr);
    await changing.stop();
    cpSync(join(good, "devices"), join(data, "devices"), { recursive: true });
    const server = await startServer(data);
    try {
      const { status, stdout } = await casemate(data, ["status"]);
      assert.match(stdout, /: alarm\.\nAlarm: hsm-1, the storage key's device, is tampered: .*save/);
      assert.equal(status, 1);
      const { stderr } = await casemate(data, ["key", "list"]);
      assert.match(stderr, /is tampered: .*\(DEVICE_TAMPERED\)/);
      assert.doesNotMatch(stderr, /device unlock/);
    } finally {
      await server.stop();
    }
  });

  /** Database and log of the older copy, and nothing else of it. */
  const bothOlder = (name: string): string => {
    const data = copy(name);
    rmSync(join(data, "audit"), { recursive: true });
    for (const file of readdirSync(data)) if (file.startsWith("casemate.db")) rmSync(join(data, file));
    for (const file of readdirSync(older))
      if (file === "audit" || file.startsWith("casemate.db"))
        cpSync(join(older, file), join(data, file), { recursive: true });
    return data;
  };

  test("database and log put back together are missed by the device, and the start is refused with both numbers", async () => {
    const data = bothOlder("both-older");
    const { status, stderr } = await starts(data);
    assert.equal(status, 1);
    assert.match(
      stderr,
      /the audit log was rolled back: the device hsm-1 has witnessed \d+ records, it holds \d+ \(TAMPER_DETECTED\)/,
    );
    assert.match(stderr, /--accept-older-log/);
    // Refusing changes nothing: the files alone verify, and that says so.
    const checked = await casemate(data, ["audit", "verify"]);
    assert.equal(checked.status, 0);
    assert.match(checked.stderr, /no device said what it has witnessed/);
    assert.equal((await casemate(data, ["audit", "verify", "--checkpoint", checkpoint])).status, 1);
  });

  test("whoever restored them on purpose says so once, and that is on record", async () => {
    const data = bothOlder("both-accepted");
    const server = await startServer(data, ["--accept-older-log"]);
    try {
      assert.equal((await casemate(data, ["status"])).status, 0);
      const { stdout } = await casemate(data, ["audit", "list", "--principal", "owner", "--json"]);
      const [record] = JSON.parse(stdout) as { action: string; resource: string; details: { found: string } }[];
      assert.deepEqual([record?.action, record?.resource], ["audit.accept", "device/hsm-1"]);
      assert.match(record?.details.found ?? "", /has witnessed \d+ records, it holds \d+/);
      assert.equal((await casemate(data, ["sign", "a", "--in", checkpoint, "--out", join(data, "sig")])).status, 0);
    } finally {
      await server.stop();
    }
    const again = await startServer(data);
    assert.match((await casemate(data, ["audit", "verify"])).stdout, /chain ok, .*, \d+ witnessed by hsm-1/);
    await again.stop();
  });

  test("a whole directory that is put back starts: the device is as old as the log", async () => {
    const data = join(directory.path, "whole");
    cpSync(older, data, { recursive: true });
    const server = await startServer(data);
    assert.equal((await casemate(data, ["status"])).status, 0);
    await server.stop();
    assert.equal((await casemate(data, ["audit", "verify"])).status, 0);
  });

  const removeCheckpoints = (data: string): void => {
    for (const name of ["checkpoint", "checkpoints"]) rmSync(join(data, "audit", name));
  };
  const REMOVED = /checkpoints were removed: the device hsm-1 signed those of \d+ and \d+ records, and none is kept/;

  test("removed checkpoints are an alarm at the next start, also where no record says that one was signed", async () => {
    const data = join(directory.path, "no-checkpoints");
    cpSync(older, data, { recursive: true });
    await (await startServer(data)).stop();
    removeCheckpoints(data);
    const offline = await casemate(data, ["audit", "verify"]);
    assert.equal(offline.status, 0);
    assert.match(offline.stderr, /no device said/);
    const server = await startServer(data);
    try {
      const { status, stdout } = await casemate(data, ["status"]);
      assert.equal(status, 1);
      assert.match(stdout, REMOVED);
    } finally {
      await server.stop();
    }
    // The checkpoints were made again, and the alarm stays with every command that shows one.
    const again = await startServer(data);
    try {
      for (const command of [["status"], ["doctor"], ["audit", "verify"]]) {
        const { status, stdout } = await casemate(data, command);
        assert.equal(status, 1, command.join(" "));
        assert.match(stdout, REMOVED);
        assert.match(stdout, /casemate up --accept-older-log/);
      }
    } finally {
      await again.stop();
    }
    const accepting = await startServer(data, ["--accept-older-log"]);
    try {
      assert.equal((await casemate(data, ["status"])).status, 0);
      assert.equal((await casemate(data, ["audit", "verify"])).status, 0);
      const { stdout } = await casemate(data, ["audit", "list", "--principal", "owner", "--json"]);
      assert.match(stdout, REMOVED);
    } finally {
      await accepting.stop();
    }
  });

  test("checkpoints that are removed under a running server are missed by the verifier, which asks the device", async () => {
    const data = join(directory.path, "no-checkpoints-running");
    cpSync(older, data, { recursive: true });
    const server = await startServer(data);
    try {
      assert.equal((await casemate(data, ["audit", "verify"])).status, 0);
      const { stdout } = await casemate(data, ["device", "show", "hsm-1"]);
      assert.match(stdout, /audit log +witnessed, \d+ records/);
      removeCheckpoints(data);
      for (let time = 0; time < 2; time++) {
        const found = await casemate(data, ["audit", "verify"]);
        assert.equal(found.status, 1);
        assert.match(found.stdout, /^chain ok.*\nAlarm: .*checkpoints were removed while the server ran/);
      }
    } finally {
      await server.stop();
    }
    const offline = await casemate(data, ["audit", "verify"]);
    assert.equal(offline.status, 1);
    assert.match(offline.stdout, /^chain ok.*\nAlarm: .*checkpoints were removed while the server ran/);
  });

  test("where the file of the newest checkpoint alone was removed, that is what is said, by every start and by the verifier alike", async () => {
    const data = join(directory.path, "no-newest");
    cpSync(older, data, { recursive: true });
    await (await startServer(data)).stop();
    rmSync(join(data, "audit", "checkpoint"));
    const words =
      /the file audit\/checkpoint of the newest is gone, while the history audit\/checkpoints has those up to \d+/;
    for (let start = 0; start < 2; start++) {
      const server = await startServer(data);
      try {
        const verdicts = [await casemate(data, ["audit", "verify"]), await casemate(data, ["audit", "verify"])];
        for (const { status, stdout } of verdicts) {
          assert.equal(status, 1);
          assert.match(stdout, /^chain ok.*\nAlarm: /);
          assert.match(stdout, words);
          assert.doesNotMatch(stdout, /none is kept/);
        }
      } finally {
        await server.stop();
      }
      const { status, stdout } = await casemate(data, ["audit", "verify"]);
      assert.equal(status, 1, "without the server, too: it is on record");
      assert.match(stdout, words);
    }
    await (await startServer(data, ["--accept-older-log"])).stop();
    assert.equal((await casemate(data, ["audit", "verify"])).status, 0);
  });

  test("records that were cut off are missed by the verifier and by the next start", async () => {
    const data = copy("cut");
    const file = join(data, "audit", segment);
    const lines = readFileSync(file, "utf8").split("\n");
    writeFileSync(file, `${lines.slice(0, -4).join("\n")}\n`);
    const { status, stderr } = await casemate(data, ["audit", "verify"]);
    assert.equal(status, 1);
    assert.match(stderr, /missing[\s\S]*TAMPER_DETECTED/);
    const started = await starts(data);
    assert.equal(started.status, 1);
    assert.match(started.stderr, /TAMPER_DETECTED/);
  });

  test("an older database with the newer log is refused, and so is an older log with the newer database", async () => {
    /** Says at the start, even with the option, and by the verifier, what belongs together and what does not help. */
    const refuses = async (data: string, why: RegExp, putBack: RegExp): Promise<void> => {
      const accepting = await casemate(data, ["up", "--listen", "127.0.0.1:0", "--accept-older-log"]);
      assert.equal(accepting.status, 1);
      assert.match(accepting.stderr, /TAMPER_DETECTED/);
      assert.match(accepting.stderr, putBack);
      assert.match(accepting.stderr, /`casemate up --accept-older-log` does not help as long as/);
      const { status, stderr } = await casemate(data, ["audit", "verify"]);
      assert.equal(status, 1);
      assert.match(stderr, /the audit log holds by itself, but database and log do not belong together/);
      assert.match(stderr, why);
      assert.match(stderr, putBack);
    };
    const LOG = /Put the audit directory back that belongs to this database/;
    const DATABASE = /Put the database back that belongs to this audit log \(casemate\.db/;
    const oldDatabase = copy("old-database");
    for (const name of readdirSync(oldDatabase).filter((file) => file.startsWith("casemate.db")))
      rmSync(join(oldDatabase, name));
    for (const name of readdirSync(older).filter((file) => file.startsWith("casemate.db"))) {
      cpSync(join(older, name), join(oldDatabase, name));
    }
    const first = await starts(oldDatabase);
    assert.equal(first.status, 1);
    assert.match(first.stderr, /rolled back[\s\S]*TAMPER_DETECTED/);

    await refuses(oldDatabase, /record \d+ names generation \d+ of the database, which is at \d+/, DATABASE);

    const noDatabase = copy("no-database");
    for (const name of readdirSync(noDatabase).filter((file) => file.startsWith("casemate.db")))
      rmSync(join(noDatabase, name));
    const missing = await casemate(noDatabase, ["audit", "verify"]);
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /there is no database beside the log/);
    // A refused start has made an empty one.
    await refuses(noDatabase, /record \d+ names generation \d+ of the database, which is at 0/, DATABASE);

    const oldLog = copy("old-log");
    rmSync(join(oldLog, "audit"), { recursive: true });
    cpSync(join(older, "audit"), join(oldLog, "audit"), { recursive: true });
    const second = await starts(oldLog);
    assert.equal(second.status, 1);
    assert.match(second.stderr, /TAMPER_DETECTED/);
    await refuses(oldLog, /the log has \d+ records, the database has seen \d+/, LOG);
    rmSync(join(oldLog, "audit"), { recursive: true });
    cpSync(join(good, "audit"), join(oldLog, "audit"), { recursive: true });
    await (await startServer(oldLog)).stop();
    assert.equal((await casemate(oldLog, ["audit", "verify"])).status, 0);
  });

  test("everything put back together verifies by itself, and not against the checkpoint kept elsewhere", async () => {
    assert.equal((await casemate(older, ["audit", "verify"])).status, 0);
    const { status, stderr } = await casemate(older, ["audit", "verify", "--checkpoint", checkpoint]);
    assert.equal(status, 1);
    assert.match(stderr, /TAMPER_DETECTED/);
  });
});
