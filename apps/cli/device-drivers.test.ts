import assert from "node:assert/strict";
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
