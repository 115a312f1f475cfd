import { fileURLToPath } from "node:url";
import type { SessionKeyProcess, SessionKeysOptions } from "@casemate/devices/driver-session-keys";

/** The process for session keys of PKCS#11 applications; nothing is started before the first key. */
export async function openSessionKeyProcess(options: Omit<SessionKeysOptions, "entry">): Promise<SessionKeyProcess> {
  const { openSessionKeys } = await import("@casemate/devices/driver-session-keys");
  // Its entry is no export of its unit: only its path is needed here.
  const unit = fileURLToPath(import.meta.resolve("@casemate/devices/virtual-session-keys"));
  return openSessionKeys({ ...options, entry: unit.replace(/index\.ts$/, "main.ts") });
}
