/** The device contract over a second independent module: opencryptoki's soft token. The file runs itself again beside a slot daemon in namespaces of its own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { openPkcs11Device } from "@casemate/devices/driver-pkcs11";
import { deviceContract } from "@casemate/testkit/device-contract";
import { ADDON, assertRecorded, missing, pinOf } from "./pkcs11-out-harness.ts";

/** The soft token takes 4 to 8 characters. */
const PIN = "secret12";
const MODULE = "/usr/lib/x86_64-linux-gnu/pkcs11/libopencryptoki.so";
const absent =
  missing("pkcsslotd", "pkcsconf", "pkcs11-tool", "unshare", MODULE) ??
  (process.getuid?.() === 0 ? namespaces() : "the slot daemon and its namespaces need root");

function namespaces(): string | undefined {
  const tried = spawnSync("unshare", ["--mount", "--ipc", "true"], { encoding: "utf8" });
  return tried.status === 0 ? undefined : `no namespaces here: ${tried.stderr.trim()}`;
}

const open = (token: string) =>
  openPkcs11Device({
    id: "p11-1",
    module: MODULE,
    token,
    pin: pinOf(PIN),
    addon: ADDON,
    environment: {},
    backoffMs: { first: 20, most: 200 },
  });

function outside(t: TestContext): void {
  const directory = mkdtempSync(join(tmpdir(), "casemate-opencryptoki-"));
  try {
    const ran = spawnSync(
      "unshare",
      [
        "--mount",
        "--ipc",
        join(import.meta.dirname, "pkcs11-out-opencryptoki.sh"),
        directory,
        PIN,
        process.execPath,
        "--disable-warning=ExperimentalWarning",
        "--test-reporter=tap",
        import.meta.filename,
      ],
      // Not a child of this test's runner: it reports by itself.
      { encoding: "utf8", env: { ...process.env, CASEMATE_INSIDE: "1", NODE_TEST_CONTEXT: undefined } },
    );
    const count = (what: string): number => Number(new RegExp(`^# ${what} (\\d+)$`, "m").exec(ran.stdout)?.[1]);
    for (const line of ran.stdout.split("\n").filter((text) => text.includes("# SKIP"))) t.diagnostic(line.trim());
    t.diagnostic(`${count("pass")} pass, ${count("skipped")} skipped with the reasons above`);
    assert.equal(ran.status, 0, `${ran.stdout}\n${ran.stderr}`);
    assert.equal(count("fail"), 0);
    assert.ok(count("pass") > 20, "the contract ran");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

if (process.env["CASEMATE_INSIDE"] === "1") {
  deviceContract({ name: "opencryptoki soft token", open: () => open("token0"), openOther: () => open("token1") });
  test("opencryptoki does what the matrix of mechanisms says", async (t) => {
    const device = await open("token0");
    t.after(() => device.close());
    assertRecorded(t, "opencryptoki", device);
  });
} else {
  test("the device contract over opencryptoki's soft token", { skip: absent }, outside);
}
