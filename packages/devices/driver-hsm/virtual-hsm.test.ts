import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test, type TestContext } from "node:test";
import type { Device } from "@casemate/devices/contract";
import { openVirtualHsm, type VirtualHsmOptions } from "@casemate/devices/driver-hsm";
import { toUtf8 } from "@casemate/foundation/bytes";

const entry = fileURLToPath(new URL("../virtual-hsm/main.ts", import.meta.url));

async function place(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "casemate-hsm-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function open(t: TestContext, directory: string, extra: Partial<VirtualHsmOptions> = {}): Promise<Device> {
  const device = await openVirtualHsm({
    id: "hsm-1",
    entry,
    stateDirectory: join(directory, "state"),
    root: { kind: "key-file", path: join(directory, "root.key") },
    ...extra,
  });
  t.after(() => device.close());
  return device;
}

test("a key is made, used and published by a real boundary process", async (t) => {
  const device = await open(t, await place(t));
  const { ref, publicKey } = await device.keys.generate({ algorithm: "ec-p256", usages: ["sign"], exportable: false });
  assert.deepEqual(await device.keys.publicKey(ref), publicKey);
  const [signature] = (await device.sign?.sign(ref, "ecdsa-sha256", "message", [toUtf8("hello")])) ?? [];
  assert.ok(signature instanceof Uint8Array);
  const key = createPublicKey({ key: Buffer.from(publicKey ?? []), format: "der", type: "spki" });
  assert.equal(verify("sha256", toUtf8("hello"), key, signature), true);
  const status = await device.status();
  assert.equal(status.state, "operational");
});
