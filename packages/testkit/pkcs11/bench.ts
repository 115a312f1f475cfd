import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openVirtualHsm } from "@casemate/devices/driver-hsm";
import { openSessionKeys, type SessionKeyProcess } from "@casemate/devices/driver-session-keys";
import { systemClock } from "@casemate/foundation/effects";
import { createPolicyEngine, openKeyring, type Caller, type OpenKeyring } from "@casemate/keyring/core";
import { openSqliteStore } from "@casemate/keyring/storage";
import { memoryAudit, type MemoryAudit } from "../fakes/index.ts";

/** What an interface to PKCS#11 is opened with. */
export interface BenchParts {
  readonly keyring: OpenKeyring;
  readonly audit: MemoryAudit;
  readonly directory: string;
  readonly socketPath: string;
  readonly admin: Caller;
  readonly adminToken: string;
  readonly service: Caller;
  readonly sessionKeys: SessionKeyProcess;
  readonly log: {
    info(details: unknown, message: string): void;
    warn(details: unknown, message: string): void;
    readonly lines: readonly string[];
  };
}

export interface Pkcs11Bench extends BenchParts, AsyncDisposable {}

/** A keyring on a real virtual HSM in a temporary directory, and the server that `open` makes of it. */
export async function pkcs11Bench(
  open: (parts: BenchParts) => Promise<{ close(): Promise<void> }>,
): Promise<Pkcs11Bench> {
  const directory = mkdtempSync(join(tmpdir(), "casemate-p11-"));
  const stateDirectory = join(directory, "hsm");
  mkdirSync(stateDirectory, { mode: 0o700 });
  const device = await openVirtualHsm({
    id: "hsm-1",
    entry: fileURLToPath(import.meta.resolve("@casemate/devices/virtual-hsm")).replace(/index\.ts$/, "main.ts"),
    stateDirectory,
    root: { kind: "key-file", path: join(directory, "root.key") },
  });
  const audit = memoryAudit();
  const keyring = await openKeyring({
    store: await openSqliteStore(join(directory, "store")),
    audit,
    policy: await createPolicyEngine(),
    devices: new Map([["hsm-1", device]]),
    clock: systemClock,
  });
  const { token: adminToken } = await keyring.bootstrapAdmin();
  const admin = await keyring.authenticate(adminToken, "test");
  const service = await keyring.serviceCaller("pkcs11", ["operator"]);
  const lines: string[] = [];
  const log = {
    info: (_details: unknown, message: string) => void lines.push(message),
    warn: (details: unknown, message: string) => void lines.push(`${message} ${JSON.stringify(details)}`),
    lines,
  };
  const sessionKeys = openSessionKeys({
    entry: fileURLToPath(import.meta.resolve("@casemate/devices/virtual-session-keys")).replace(
      /index\.ts$/,
      "main.ts",
    ),
    log: (line) => void lines.push(line),
  });
  const socketPath = join(directory, "p11.sock");
  const parts: BenchParts = {
    keyring,
    audit,
    directory,
    socketPath,
    admin,
    adminToken,
    service,
    sessionKeys,
    log,
  };
  const server = await open(parts);
  return {
    ...parts,
    async [Symbol.asyncDispose]() {
      await server.close();
      await sessionKeys.close();
      await keyring.close();
      await device.close().catch(() => undefined);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
