/** A keyring with the real store and audit log in a directory of its own, for tests that put parts of it back. */
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Device } from "@casemate/devices/contract";
import { manualClock } from "@casemate/foundation/effects";
import {
  createPolicyEngine,
  openAudit,
  openKeyring,
  type AuditLog,
  type Caller,
  type KeyringOptions,
  type OpenKeyring,
} from "@casemate/keyring/core";
import { openSqliteStore } from "@casemate/keyring/storage";
import { softwareDevice } from "./software-device.ts";

export interface Opened {
  readonly keyring: OpenKeyring;
  readonly admin: Caller;
}

export class Place implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), "casemate-whole-"));
  readonly data = join(this.root, "data");
  readonly device = softwareDevice();
  /** In order of preference. */
  devices: ReadonlyMap<string, Device> = new Map([["hsm-1", this.device]]);
  /** What was logged. */
  readonly said: string[] = [];
  readonly clock = manualClock(Date.UTC(2030, 0, 1));
  token = "";

  async open(options: Partial<KeyringOptions> = {}): Promise<Opened> {
    const store = await openSqliteStore(this.data);
    let audit: AuditLog | undefined;
    try {
      audit = await openAudit({ directory: join(this.data, "audit"), clock: this.clock });
      const keyring = await openKeyring({
        store,
        audit,
        policy: await createPolicyEngine(),
        devices: this.devices,
        log: (message) => this.said.push(message),
        clock: this.clock,
        ...options,
      });
      if (this.token === "") this.token = (await keyring.bootstrapAdmin()).token;
      return { keyring, admin: await keyring.authenticate(this.token, "test") };
    } catch (error) {
      await audit?.close();
      await store.close();
      throw error;
    }
  }

  /** A copy of the closed directory. */
  copy(name = "copy"): string {
    const to = join(this.root, name);
    cpSync(this.data, to, { recursive: true });
    return to;
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

/** Two lives, with a copy from between them. */
export async function lived(place: Place): Promise<string> {
  const first = await place.open();
  await first.keyring.createKey(first.admin, { name: "a", algorithm: "ed25519" });
  await first.keyring.close();
  const copy = place.copy();
  const second = await place.open();
  for (let n = 0; n < 50; n++)
    await second.keyring.sign(second.admin, "a", { kind: "message", inputs: [new Uint8Array(n)] });
  await second.keyring.createKey(second.admin, { name: "b", algorithm: "ed25519" });
  await second.keyring.close();
  return copy;
}
