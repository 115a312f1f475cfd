import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { manualClock } from "@casemate/foundation/effects";
import { isCasemateError } from "@casemate/foundation/errors";
import {
  createPolicyEngine,
  openAudit,
  openKeyring,
  type AuditLog,
  type Caller,
  type OpenKeyring,
} from "@casemate/keyring/core";
import { openSqliteStore } from "@casemate/keyring/storage";
import { softwareDevice } from "@casemate/testkit/fakes";

class Place implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), "casemate-whole-"));
  readonly data = join(this.root, "data");
  readonly device = softwareDevice();
  readonly clock = manualClock(Date.UTC(2030, 0, 1));
  token = "";

  async open(): Promise<{ readonly keyring: OpenKeyring; readonly admin: Caller }> {
    const store = await openSqliteStore(this.data);
    let audit: AuditLog | undefined;
    try {
      audit = await openAudit({ directory: join(this.data, "audit"), clock: this.clock });
      const keyring = await openKeyring({
        store,
        audit,
        policy: await createPolicyEngine(),
        devices: new Map([["hsm-1", this.device]]),
        clock: this.clock,
      });
      if (this.token === "") this.token = (await keyring.bootstrapAdmin()).token;
      return { keyring, admin: await keyring.authenticate(this.token, "test") };
    } catch (error) {
      await audit?.close();
      await store.close();
      throw error;
    }
  }

  /** Puts part of a kept copy back, as a restored backup or an attacker would. */
  putBack(copy: string, part: "audit" | "database"): void {
    const audit = (name: string): boolean => name === "audit";
    for (const name of readdirSync(copy)) {
      if (audit(name) !== (part === "audit")) continue;
      rmSync(join(this.data, name), { recursive: true, force: true });
      cpSync(join(copy, name), join(this.data, name), { recursive: true });
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

async function lived(place: Place): Promise<string> {
  const first = await place.open();
  await first.keyring.createKey(first.admin, { name: "a", algorithm: "ed25519" });
  await first.keyring.close();
  const copy = join(place.root, "copy");
  cpSync(place.data, copy, { recursive: true });
  const second = await place.open();
  for (let n = 0; n < 50; n++)
    await second.keyring.sign(second.admin, "a", { kind: "message", inputs: [new Uint8Array(n)] });
  await second.keyring.createKey(second.admin, { name: "b", algorithm: "ed25519" });
  await second.keyring.close();
  return copy;
}

const tampered = (error: unknown): boolean => isCasemateError(error) && error.code === "TAMPER_DETECTED";

test("a whole life with the real audit log: restarts, checkpoint by the device, proofs", async () => {
  using place = new Place();
  await lived(place);
  const { keyring, admin } = await place.open();
  const checkpoint = await keyring.auditCheckpoint(admin);
  assert.equal(checkpoint.signedBy, "hsm-1");
  const { path } = await keyring.auditInclusion(admin, 3, checkpoint.size);
  assert.ok(path.length > 0);
  const made = await keyring.auditRecords(admin, { resource: "key/a", limit: 100, from: 0 });
  assert.equal(made.items[0]?.action, "key.create");
  assert.equal(made.items.filter((record) => record.action === "key.sign").length, 50);
  await keyring.close();
});

test("database and audit log put back together are an honest backup", async () => {
  using place = new Place();
  const copy = await lived(place);
  place.putBack(copy, "audit");
  place.putBack(copy, "database");
  const { keyring, admin } = await place.open();
  assert.deepEqual(
    (await keyring.listKeys(admin, {})).items.map((key) => key.name),
    ["a"],
  );
  await keyring.close();
});

for (const part of ["audit", "database"] as const) {
  test(`an older ${part} put back alone is detected at start`, async () => {
    using place = new Place();
    const copy = await lived(place);
    place.putBack(copy, part);
    await assert.rejects(place.open(), tampered);
  });
}
