import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Device } from "@casemate/devices/contract";
import { isCasemateError } from "@casemate/foundation/errors";
import { dataPaths, prepareDataDirectory } from "./data-directory.ts";
import { openDevices } from "./devices.ts";
import { DEFAULT_DEVICE, writeDevices } from "./devices-file.ts";
import type { Log } from "./log.ts";
import devices from "../../packages/devices/package.json" with { type: "json" };

const INSTALL = `npm install --no-save --ignore-scripts=false pkcs11js@${devices.peerDependencies.pkcs11js}`;

/** Everything that a device may do. */
const USES: readonly ((device: Device) => Promise<unknown> | undefined)[] = [
  (device) => device.random(8),
  (device) => device.keys.generate({ algorithm: "ec-p256", usages: ["sign"], exportable: false }),
  (device) => device.objects?.list(),
  (device) => device.sign?.sign(new Uint8Array(1), "ecdsa-sha256", "digest", []),
  (device) => device.unlock?.challenge(),
  (device) => device.unlock?.lock(),
  (device) => device.zeroize?.zeroize(),
];

async function refusals(device: Device, expected: RegExp): Promise<void> {
  for (const use of USES)
    await assert.rejects(
      async () => (await use(device)) ?? assert.fail(`${String(use)}: no such facet`),
      (error) => {
        assert.ok(isCasemateError(error), String(error));
        assert.equal(error.code, "DEVICE_ABSENT");
        assert.match(`${error.message} | ${error.hint}`, expected);
        return true;
      },
    );
}

test("a device that cannot be opened says why and what to do, is tried again with growing pauses, and is logged once for each reason", async () => {
  const root = mkdtempSync(join(tmpdir(), "casemate-devices-"));
  const addon = join(root, "addon");
  const paths = dataPaths(join(root, "data"));
  prepareDataDirectory(paths.root);
  writeDevices(paths, [DEFAULT_DEVICE, { id: "p11-1", driver: "pkcs11", module: "/nowhere.so", token: "t", addon }]);
  const lines: string[] = [];
  const put = (_facts: unknown, line?: string): void => void lines.push(line ?? "");
  const set = await openDevices(paths, { warn: put, info: put, error: put } as unknown as Log);
  const detail = async (): Promise<string> => (await (set.map.get("p11-1") as Device).status()).detail ?? "";
  try {
    // How the package is installed is in what `device add` and `device show` print.
    assert.match(await detail(), /no pkcs11js package/);
    assert.ok((await detail()).includes(INSTALL), await detail());
    await refusals(set.map.get("p11-1") as Device, /no pkcs11js package.*npm install.*tries again by itself/);
    await set.retry();
    const told = lines.filter((line) => /could not be opened/.test(line)).length;
    assert.equal(told, 1);

    mkdirSync(addon);
    writeFileSync(join(addon, "package.json"), '{"name":"pkcs11js"}');
    await set.retry();
    assert.match(await detail(), /no pkcs11js package/, "the pause has grown");
    await set.retry();
    assert.match(await detail(), /cannot be loaded/);
    assert.ok((await detail()).includes(INSTALL), await detail());
    assert.equal(lines.filter((line) => /could not be opened/.test(line)).length, 2);
  } finally {
    await set.close();
    rmSync(root, { recursive: true, force: true });
  }
});

test("the documentation installs the version of pkcs11js that the driver is made for", () => {
  const text = readFileSync(join(import.meta.dirname, "../../docs/pkcs11-devices.md"), "utf8");
  assert.ok(text.includes(INSTALL), INSTALL);
});
