/** What a start says beside its announcement: devices that are not there, and how other machines reach it. */
import assert from "node:assert/strict";
import { chownSync, mkdirSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { casemate, startServer, temporary } from "./harness.ts";

test("an absent device is said with the reason, and PKCS#11 on every interface with a name that other machines know", async () => {
  using directory = temporary();
  const data = join(directory.path, "data");
  const first = await startServer(data);
  assert.equal((await casemate(data, ["device", "add", "virtual-hsm"])).status, 0);
  await first.stop();
  rmSync(join(data, "roots", "hsm-2.key"));
  const second = await startServer(data, ["--pkcs11-listen", "0.0.0.0:0"]);
  try {
    const { remarks } = second.announced;
    const absent = remarks.find((remark) => remark.startsWith("device hsm-2 is absent: "));
    assert.match(absent ?? "", /hsm-2\.key/);
    const remote = remarks.find((remark) => remark.startsWith("PKCS#11 from other machines: "));
    assert.match(remote ?? "", new RegExp(`--remote ${hostname()}:\\d+ .*certificate\\.pem \\(SHA-256 `));
  } finally {
    await second.stop();
  }
});

test("a data directory of another account is used by root, and said at the start", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("only root can give a directory away");
  using directory = temporary();
  const data = join(directory.path, "data");
  mkdirSync(data, { mode: 0o700 });
  chownSync(data, 65_534, 65_534);
  const server = await startServer(data);
  try {
    assert.match(server.announced.remarks.join("\n"), /belongs to another account \(uid 65534\)/);
  } finally {
    assert.equal(await server.stop(), 0);
  }
});
