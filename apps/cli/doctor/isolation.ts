import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CasemateError } from "@casemate/foundation/errors";
import { dataPaths } from "@casemate/server/data-directory";
import { shown } from "../failure.ts";
import type { Check, Finding } from "./finding.ts";

/** Starts a virtual HSM of its own in a temporary directory, asks it what holds, and takes it away again. */
async function tryOut(): Promise<readonly Finding[]> {
  const root = mkdtempSync(join(tmpdir(), "casemate-doctor-"));
  try {
    const { openDevice } = await import("@casemate/server/drivers");
    const device = await openDevice(
      { id: "doctor", driver: "virtual-hsm", root: "key-file" },
      dataPaths(root),
      () => undefined,
      () => Promise.reject(new CasemateError("DEVICE_ABSENT", "it is alone")),
    );
    try {
      const { isolation = [], notes } = await device.status();
      return [
        ...isolation.map(({ step, holds, detail }): Finding => ({
          about: `boundary: ${step}`,
          state: holds ? "ok" : "note",
          found: detail,
        })),
        ...notes.map((found): Finding => ({ about: "boundary", state: "note", found })),
      ];
    } finally {
      await device.close();
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

export const isolation: Check = {
  about: "isolation",
  look: async () => {
    try {
      return await tryOut();
    } catch (error) {
      const { message } = shown(error);
      return [{ about: "boundary", state: "bad", found: `a virtual HSM does not start here: ${message}` }];
    }
  },
};
