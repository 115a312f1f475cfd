/** A module that is linked to another OpenSSL than Node's: it calls its own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { openPkcs11Device } from "@casemate/devices/driver-pkcs11";
import { temporary } from "../e2e/harness.ts";
import { ADDON, missing } from "./pkcs11-out-harness.ts";

const skip = missing("cc") ?? false;
const SOURCE = join(import.meta.dirname, "pkcs11-out-old-crypto.c");

test("a module of OpenSSL 1.1 calls the OpenSSL that it was built for, not Node's", { skip }, async (t) => {
  using directory = temporary();
  const build = (...args: readonly string[]): void => {
    const { status, stderr } = spawnSync("cc", ["-shared", "-fPIC", "-O1", "-w", ...args], {
      encoding: "utf8",
      cwd: directory.path,
    });
    assert.equal(status, 0, stderr);
  };
  build("-DCRYPTO", "-Wl,-soname,libcrypto.so.1.1", "-o", "libcrypto.so.1.1", SOURCE);
  build("-o", "module.so", SOURCE, "-Wl,-rpath,$ORIGIN", "-L.", "-l:libcrypto.so.1.1");
  const device = await openPkcs11Device({
    id: "p11-1",
    module: join(directory.path, "module.so"),
    token: "t",
    addon: ADDON,
  });
  t.after(() => device.close());
  const { state, detail } = await device.status();
  assert.equal(state, "absent");
  // It has started, and has no token.
  assert.match(detail ?? "", /no token labelled t/);
});
