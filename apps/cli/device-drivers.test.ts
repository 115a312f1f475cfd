import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Command } from "commander";
import { ADDABLE_DRIVERS } from "./device-drivers.ts";
import { EXIT, exitCode } from "./failure.ts";
import { isCasemateError } from "@casemate/foundation/errors";

test("a token or a module without a name is wrong usage, and no device", () => {
  const driver = ADDABLE_DRIVERS.find(({ name }) => name === "pkcs11");
  assert.ok(driver !== undefined);
  const settings = (module: string, token: string) => {
    const command = new Command();
    driver.options(command);
    return driver.settings(command.parse(["--module", module, "--token", token], { from: "user" }).opts());
  };
  assert.deepEqual(settings("libm.so", "t"), { module: "libm.so", token: "t" });
  for (const [module, token, message] of [
    ["libm.so", "", /^--token takes/],
    ["libm.so", "x".repeat(33), /^--token takes/],
    ["", "t", /^--module takes/],
  ] as const)
    assert.throws(
      () => settings(module, token),
      (error) => isCasemateError(error) && exitCode(error) === EXIT.usage && message.test(error.message),
    );
});

test("what is no library is no module; what is not there yet may come", async (t) => {
  const driver = ADDABLE_DRIVERS.find(({ name }) => name === "pkcs11");
  const folder = mkdtempSync(join(tmpdir(), "casemate-module-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const text = join(folder, "text.so");
  writeFileSync(text, "INPUT(libc.so)\n");
  const empty = join(folder, "empty.so");
  writeFileSync(empty, "");
  for (const module of [text, empty, folder])
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await assert.rejects(driver?.check?.({ module, token: "t" }, []) ?? Promise.resolve(), {
      code: "CONFIG_INVALID",
      message: `${module} is no shared library`,
      hint: /PKCS#11 library of the HSM's maker/,
    });
  const library = join(folder, "library.so");
  writeFileSync(library, Buffer.from("7f454c460201", "hex"));
  for (const module of [library, join(folder, "none.so"), "libnowhere.so"])
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await driver?.check?.({ module, token: "t" }, []);
});
