/** Unlock keys of devices, remembered by this account: who signed the challenge the last time must sign it the next time. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { CasemateError } from "@casemate/foundation/errors";
import type { Environment } from "@casemate/server/data-directory";

/** Outside of the data directory, which is the server's. */
export function knownDevicesFile(env: Environment): string {
  const base = env["XDG_CONFIG_HOME"];
  return join(base !== undefined && base !== "" ? base : join(homedir(), ".config"), "casemate", "known-devices.json");
}

export interface KnownDevices {
  /** Fingerprint of the unlock key that a device had. `name` is server and device. */
  get(name: string): string | undefined;
  set(name: string, fingerprint: string): void;
}

/** @throws CONFIG_INVALID for a file that is not ours: a lost memory must not pass for a first meeting. */
export function openKnownDevices(file: string): KnownDevices {
  const known = new Map(Object.entries(read(file)));
  return {
    get: (name) => known.get(name),
    set(name, fingerprint) {
      known.set(name, fingerprint);
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      const fresh = `${file}.${process.pid}.new`;
      writeFileSync(fresh, `${JSON.stringify(Object.fromEntries(known), undefined, 2)}\n`, { mode: 0o600 });
      renameSync(fresh, file);
    },
  };
}

function read(file: string): Record<string, string> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && Object.values(value).every((row) => typeof row === "string"))
      return value as Record<string, string>;
  } catch {
    // Said below.
  }
  throw new CasemateError("CONFIG_INVALID", `${file} does not list unlock keys of devices`, {
    hint: "Put it back from a backup. Removing it forgets whom this account trusted.",
  });
}
