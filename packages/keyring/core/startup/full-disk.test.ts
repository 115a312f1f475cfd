import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
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

  constructor(size = "4m") {
    const run = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", this.path]);
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

/** Large objects before the disk is full: after enough of them the database writes into files that have their size already. */
const FIRST = [
  ["the database", 0],
  ["the log", 70],
] as const;

for (const [what, large] of FIRST) {
  test(`objects that were refused on a full disk, where ${what} finds no room first, are not there after a crash, and each that is there is on record`, async (t) => {
    using disk = new SmallDisk("16m");
    if (!disk.mounted) return t.skip("a tmpfs cannot be mounted here");
    using elsewhere = new SmallDisk("16m");
    const device = softwareDevice();
    const open = async (data: string): Promise<OpenKeyring> =>
      openKeyring({
        store: await openSqliteStore(data),
        audit: await openAudit({ directory: join(data, "audit"), clock: systemClock }),
        policy: await createPolicyEngine(),
        devices: new Map([["hsm-1", device]]),
      });
    const object = { tokenLabel: "t", class: 0, label: "o", ckaId: "" };
    const data = join(disk.path, "data");
    const keyring = await open(data);
    const { token } = await keyring.bootstrapAdmin();
    const admin = await keyring.authenticate(token, "test");
    const ids: string[] = [];
    const create = async (bytes: number): Promise<void> => {
      ids.push((await keyring.objects.create(admin, { ...object, attributes: new Uint8Array(bytes) })).id);
    };
    for (let n = 0; n < large; n++) await create(60_000);
    await create(20);
    disk.fill();
    await assert.rejects(async () => {
      for (let n = 0; n < 500; n++) await create(20);
    }, full);

    // What a killed server leaves.
    const left = join(elsewhere.path, "data");
    cpSync(data, left, { recursive: true });
    const after = await open(left);
    const { items } = await after.objects.find(await after.authenticate(token, "test"), { limit: 1000 });
    assert.deepEqual(items.map(({ id }) => id).toSorted(), ids.toSorted());
    const records = await after.auditRecords(admin, { outcome: "ok", limit: 1000 });
    const recorded = records.items.filter(({ action }) => action === "object.write").map(({ resource }) => resource);
    assert.deepEqual(recorded.toSorted(), ids.map((id) => `object/${id}`).toSorted());
    await after.close();
    disk.free();
    await keyring.close();
  });
}
