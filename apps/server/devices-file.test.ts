import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { dataPaths, prepareDataDirectory, type DataPaths } from "./data-directory.ts";
import { DEFAULT_DEVICE, readDevices, writeDevices } from "./devices-file.ts";

function withPaths(body: (paths: DataPaths) => void) {
  return (): void => {
    const root = mkdtempSync(join(tmpdir(), "casemate-devices-"));
    try {
      body(dataPaths(root));
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  };
}

test(
  "without the file there is the virtual HSM, and what is written is read back",
  withPaths((paths) => {
    assert.deepEqual(readDevices(paths), [DEFAULT_DEVICE]);
    const more = { id: "p11-1", driver: "pkcs11", module: "/lib/x.so", token: "t" };
    writeDevices(paths, [DEFAULT_DEVICE, more]);
    assert.deepEqual(readDevices(paths), [DEFAULT_DEVICE, more]);
    assert.equal(statSync(paths.devices).mode & 0o777, 0o600);
  }),
);

test(
  "a devices file that cannot be meant is refused and named",
  withPaths((paths) => {
    const row = { id: "a", driver: "virtual-hsm" };
    const bad: readonly unknown[] = [
      [],
      {},
      { devices: [] },
      { devices: ["a"] },
      { devices: [{ id: "a" }] },
      { devices: [{ driver: "virtual-hsm" }] },
      { devices: [{ ...row, id: "../a" }] },
      { devices: [{ ...row, id: "A" }] },
      { devices: [row, row] },
      { devices: [{ ...row, root: { kind: "x" } }] },
    ];
    for (const value of bad) {
      writeFileSync(paths.devices, JSON.stringify(value));
      assert.throws(
        () => readDevices(paths),
        { code: "CONFIG_INVALID", message: /devices\.json/ },
        JSON.stringify(value),
      );
    }
    writeFileSync(paths.devices, "{");
    assert.throws(() => readDevices(paths), { code: "CONFIG_INVALID", message: /not JSON/ });
  }),
);

test(
  "the data directory is shut to others, also when it was there before",
  withPaths((paths) => {
    const fresh = join(paths.root, "deep", "er");
    prepareDataDirectory(fresh);
    assert.equal(statSync(fresh).mode & 0o777, 0o700);
    const open = mkdtempSync(join(paths.root, "open-"));
    writeFileSync(join(open, "x"), "");
    prepareDataDirectory(open);
    assert.equal(statSync(open).mode & 0o777, 0o700);
    writeFileSync(join(paths.root, "file"), "");
    assert.throws(() => prepareDataDirectory(join(paths.root, "file")), { code: "CONFIG_INVALID" });
  }),
);
