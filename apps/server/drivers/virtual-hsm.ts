import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { CasemateError } from "@casemate/foundation/errors";
import type { DriverRow } from "./driver.ts";

/** The device's own process entry, which is no export of its unit: only its path is needed here. */
function entry(): string {
  const unit = fileURLToPath(import.meta.resolve("@casemate/devices/virtual-hsm"));
  return unit.replace(/index\.ts$/, "main.ts");
}

/**
 * OpenSSL takes the 64 MiB that Argon2id works in from the secure heap whenever there is one, and fails when it is smaller. A device that is
 * unlocked by a passphrase therefore has none unless a size was chosen, and says so in its notes.
 */
function secureHeap(root: string, chosen: number | undefined): { readonly secureHeapBytes?: number } {
  if (chosen !== undefined) return { secureHeapBytes: chosen };
  return root === "passphrase" ? { secureHeapBytes: 0 } : {};
}

export const virtualHsm: DriverRow = {
  name: "virtual-hsm",
  async open({ id, root = "key-file", secureHeapBytes }, paths, log) {
    if (root !== "key-file" && root !== "passphrase") {
      throw new CasemateError("CONFIG_INVALID", `device ${id}: root is key-file or passphrase, not ${root}`);
    }
    if (secureHeapBytes !== undefined && typeof secureHeapBytes !== "number") {
      throw new CasemateError("CONFIG_INVALID", `device ${id}: secureHeapBytes is a number of bytes`);
    }
    const { openVirtualHsm } = await import("@casemate/devices/driver-hsm");
    const stateDirectory = paths.deviceState(id);
    const path = paths.rootKey(id);
    mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return openVirtualHsm({
      id,
      entry: entry(),
      stateDirectory,
      root:
        root === "key-file" ? { kind: "key-file", path } : { kind: "passphrase", unlockKeyPath: paths.unlockKey(id) },
      log,
      ...secureHeap(root, secureHeapBytes),
    });
  },
};
