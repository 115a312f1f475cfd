import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "@casemate/foundation/effects";
import { isCasemateError } from "@casemate/foundation/errors";
import { createPolicyEngine, openAudit, openKeyring, type OpenKeyring } from "@casemate/keyring/core";
import { openSqliteStore } from "@casemate/keyring/storage";
import { softwareDevice } from "@casemate/testkit/fakes";

/** A file system of its own, small enough to fill. */
class SmallDisk implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "casemate-full-"));
  readonly mounted: boolean;

  constructor() {
    const run = spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", this.path]);
    this.mounted = run.status === 0;
  }

  /** Takes what is left, to the last page. */
  fill(): void {
    for (let size = 1 << 20; size >= 1; size >>= 2) {
      for (let n = 0; n < 32; n++) {
        const file = join(this.path, `filler-${readdirSync(this.path).length}`);
        try {
          writeFileSync(file, new Uint8Array(size));
        } catch {
          break;
        }
      }
    }
  }

  free(): void {
    for (const name of readdirSync(this.path)) if (name.startsWith("filler-")) rmSync(join(this.path, name));
  }

  [Symbol.dispose](): void {
    if (this.mounted) spawnSync("umount", ["-l", this.path]);
    rmSync(this.path, { recursive: true, force: true });
  }
}

const full = (error: unknown): boolean => isCasemateError(error) && error.code === "STORAGE_FULL";
const input = new Uint8Array(10);

test("on a full disk changes and signatures are refused, reads and verification go on, also after a restart; with room all goes on", async (t) => {
  using disk = new SmallDisk();
  if (!disk.mounted) return t.skip("a tmpfs cannot be mounted here");
  const device = softwareDevice();
  const data = join(disk.path, "data");
  const open = async (): Promise<OpenKeyring> =>
    openKeyring({
      store: await openSqliteStore(data),
      audit: await openAudit({ directory: join(data, "audit"), clock: systemClock }),
      policy: await createPolicyEngine(),
      devices: new Map([["hsm-1", device]]),
    });
  let keyring = await open();
  const { token } = await keyring.bootstrapAdmin();
  let admin = await keyring.authenticate(token, "test");
  await keyring.createKey(admin, { name: "a", algorithm: "ed25519" });
  const { results } = await keyring.sign(admin, "a", { kind: "message", inputs: [input] });
  const [signature] = results;
  assert.ok(signature instanceof Uint8Array);
  const items = [{ input, signature }];
  const change = (name: string) => keyring.createKey(admin, { name, algorithm: "ed25519" });

  disk.fill();
  // What is left of pages that are already the log's own fills up first.
  await assert.rejects(async () => {
    for (let n = 0; n < 500; n++) await keyring.sign(admin, "a", { kind: "message", inputs: [input] });
  }, full);
  await assert.rejects(change("b"), full);
  assert.equal((await keyring.listKeys(admin, {})).items.length, 1);
  assert.deepEqual((await keyring.verify(admin, "a", { kind: "message", items })).results, [true]);

  await keyring.close();
  disk.fill();
  keyring = await open();
  admin = await keyring.authenticate(token, "test");
  assert.deepEqual((await keyring.verify(admin, "a", { kind: "message", items })).results, [true]);
  await assert.rejects(async () => {
    for (let n = 0; n < 500; n++) await change(`c${n}`);
  }, full);

  disk.free();
  await change("d");
  await keyring.checkStorage();
  const own = await keyring.auditRecords(admin, { principal: "casemate", limit: 100 });
  assert.ok(own.items.some((record) => record.action === "audit.gap" && record.outcome === "STORAGE_FULL"));
  await keyring.close();
});
