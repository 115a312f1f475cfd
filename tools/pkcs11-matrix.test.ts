import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { matrix } from "./pkcs11-matrix.ts";

test("docs/pkcs11-matrix.md is what the tables say", () => {
  const kept = readFileSync(new URL("../docs/pkcs11-matrix.md", import.meta.url), "utf8");
  assert.equal(kept, matrix(), "run `node tools/pkcs11-matrix.ts`");
});
