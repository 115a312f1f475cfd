import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manualClock, type ManualClock } from "@casemate/foundation/effects";
import { openKeyring, type Caller, type KeyringOptions, type OpenKeyring, type Store } from "@casemate/keyring/core";
import { openSqliteStore } from "@casemate/keyring/storage";
import { memoryAudit, type MemoryAudit } from "./memory-audit.ts";
import { rolePolicy } from "./role-policy.ts";
import { softwareDevice, type SoftwareDevice } from "./software-device.ts";

export interface TemporaryKeyring extends AsyncDisposable {
  readonly keyring: OpenKeyring;
  readonly device: SoftwareDevice;
  readonly audit: MemoryAudit;
  readonly clock: ManualClock;
  readonly directory: string;
  /** An administrator, authenticated. */
  readonly admin: Caller;
  readonly adminToken: string;
  /** Closes and opens again on the same directory, device and audit log. */
  reopen(): Promise<OpenKeyring>;
}

export interface TemporaryOptions extends Partial<KeyringOptions> {
  readonly wrapStore?: (store: Store) => Store;
}

/** A whole keyring on a temporary directory with a software device. `await using` removes it. */
export async function temporaryKeyring(options: TemporaryOptions = {}): Promise<TemporaryKeyring> {
  const { wrapStore = (store: Store) => store, ...rest } = options;
  const directory = mkdtempSync(join(tmpdir(), "casemate-keyring-"));
  const device = softwareDevice();
  const audit = memoryAudit();
  const clock = manualClock(Date.UTC(2030, 0, 1));
  const open = async (): Promise<OpenKeyring> => {
    const store = wrapStore(await openSqliteStore(directory));
    try {
      return await openKeyring({
        store,
        audit,
        policy: rolePolicy(),
        devices: new Map([[device.identity.id, device]]),
        clock,
        ...rest,
      });
    } catch (error) {
      await store.close();
      throw error;
    }
  };
  let keyring = await open().catch((error: unknown) => {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  });
  const { token } = await keyring.bootstrapAdmin();
  const admin = await keyring.authenticate(token, "test");
  return {
    get keyring() {
      return keyring;
    },
    device,
    audit,
    clock,
    directory,
    admin,
    adminToken: token,
    async reopen() {
      await keyring.close();
      keyring = await open();
      return keyring;
    },
    async [Symbol.asyncDispose]() {
      await keyring.close().catch(() => undefined);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
