/** Files beside the audit log, or devices.json, that were damaged or lost: start, status and verifier say the same. */
import assert from "node:assert/strict";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { casemate, startServer, temporary } from "./harness.ts";

describe("a data directory with damaged side files", () => {
  const directory = temporary();
  const good = join(directory.path, "good");
  before(async () => {
    for (const key of ["a", "b"]) {
      const server = await startServer(good);
      await casemate(good, ["key", "create", key, "--algorithm", "ed25519"]);
      await casemate(good, ["audit", "checkpoint"]);
      await server.stop();
    }
  });
  after(() => directory[Symbol.dispose]());

  const spoiled = (name: string, kind: string): string => {
    const data = join(directory.path, `${name}-${kind}`);
    cpSync(good, data, { recursive: true, filter: (path) => !path.endsWith(".sock") });
    const file = join(data, "audit", name);
    const bytes = readFileSync(file);
    if (kind === "flipped") bytes[20]! ^= 1;
    if (kind === "zeroed") bytes.fill(0);
    writeFileSync(file, kind === "halved" ? bytes.subarray(0, bytes.length / 2) : bytes);
    return data;
  };

  for (const [name, kind] of [
    ["head", "flipped"],
    ["head", "halved"],
    ["checkpoint-key", "flipped"],
    ["checkpoint-key", "halved"],
    ["checkpoint-key", "zeroed"],
  ] as const)
    test(`${name}, ${kind}, is named by the verifier with what to do, and made again by the start, which says and records it`, async () => {
      const data = spoiled(name, kind);
      const { status, stderr } = await casemate(data, ["audit", "verify"]);
      assert.equal(status, 1);
      assert.match(stderr, /the audit log holds by itself, but a file beside its records was damaged or changed: /);
      assert.match(stderr, new RegExp(`audit/${name}[\\s\\S]*TAMPER_DETECTED[\\s\\S]*The records hold`));
      assert.doesNotMatch(stderr, /No record of it/);
      const server = await startServer(data);
      const said = `made again from the audit log's records, since gone or unfit: audit/${name}`;
      try {
        assert.ok(server.announced.remarks.includes(said), server.announced.remarks.join());
        assert.equal(server.announced.alarm, undefined);
        assert.ok(readFileSync(join(data, "server.log"), "utf8").includes(said));
        assert.equal((await casemate(data, ["status"])).status, 0);
        const { stdout } = await casemate(data, ["audit", "list", "--json"]);
        assert.match(stdout, new RegExp(`"remade": ?"${name}"`));
        assert.equal((await casemate(data, ["audit", "verify"])).status, 0);
      } finally {
        await server.stop();
      }
      assert.equal((await casemate(data, ["audit", "verify"])).status, 0);
    });

  test("a history of checkpoints that was zeroed is an alarm over restarts, and what it held is kept", async () => {
    const data = spoiled("checkpoints", "zeroed");
    const verified = await casemate(data, ["audit", "verify"]);
    assert.equal(verified.status, 1);
    assert.match(verified.stderr, /checkpoint history is damaged/);
    assert.doesNotMatch(verified.stderr, /No record of it/);
    const words =
      /checkpoints were removed: the history audit\/checkpoints is damaged, and kept as audit\/checkpoints\.damaged/;
    for (let start = 0; start < 2; start++) {
      const server = await startServer(data);
      try {
        assert.match(server.announced.alarm ?? "", words);
        assert.equal(
          server.announced.remarks.some((remark) => remark.startsWith("audit/checkpoints was damaged")),
          start === 0,
        );
        const { status, stdout } = await casemate(data, ["status"]);
        assert.equal(status, 1);
        assert.match(stdout, words);
      } finally {
        await server.stop();
      }
      const offline = await casemate(data, ["audit", "verify"]);
      assert.equal(offline.status, 1);
      assert.match(offline.stdout, words);
    }
    assert.ok(readFileSync(join(data, "audit", "checkpoints.damaged")).every((byte) => byte === 0));
    await (await startServer(data, ["--accept-older-log"])).stop();
    assert.equal((await casemate(data, ["audit", "verify"])).status, 0);
  });

  test("keys in a device that devices.json does not name any more are said at the start, with their number and what to do", async () => {
    const data = join(directory.path, "no-devices");
    const first = await startServer(data);
    assert.equal((await casemate(data, ["device", "add", "virtual-hsm", "--id", "hsm-2"])).status, 0);
    for (const [name, device] of [
      ["a", "hsm-1"],
      ["b", "hsm-2"],
      ["c", "hsm-2"],
    ] as const)
      assert.equal(
        (await casemate(data, ["key", "create", name, "--device", device, "--algorithm", "ed25519"])).status,
        0,
      );
    await first.stop();
    rmSync(join(data, "devices.json"));
    const server = await startServer(data);
    try {
      const said = server.announced.remarks.find((remark) => remark.includes("hsm-2")) ?? "";
      assert.match(said, /^2 keys are in the device hsm-2, which devices\.json does not name/);
      assert.match(said, /put devices\.json back from a backup, or .*`casemate device add … --id hsm-2`/);
      assert.ok(readFileSync(join(data, "server.log"), "utf8").includes("2 keys are in the device hsm-2"));
      assert.equal((await casemate(data, ["device", "add", "virtual-hsm", "--id", "hsm-2"])).status, 0);
      assert.equal(
        (await casemate(data, ["sign", "b", "--in", join(data, "server.log"), "--out", join(data, "sig")])).status,
        0,
      );
    } finally {
      await server.stop();
    }
    const again = await startServer(data);
    assert.ok(again.announced.remarks.every((remark) => !remark.includes("hsm-2")));
    await again.stop();
  });
});
