import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findModule } from "./find-module.ts";

test("a module given by its name is found where distributions put it, and paths stay as they are", (t) => {
  const root = mkdtempSync(join(tmpdir(), "casemate-modules-"));
  t.after(() => rmSync(root, { recursive: true }));
  const put = (...parts: string[]): string => {
    const path = join(root, ...parts);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, "");
    return path;
  };
  const soft = put("softhsm", "libone.so");
  const wide = put("x86_64-linux-gnu", "pkcs11", "libtwo.so");
  put("elsewhere", "libthree.so");
  assert.equal(findModule("libone.so", [root]), soft);
  assert.equal(findModule("libtwo.so", [root, "/nowhere"]), wide);
  assert.equal(findModule("libthree.so", [root]), "libthree.so");
  assert.equal(findModule("./libone.so", [root]), "./libone.so");
});
