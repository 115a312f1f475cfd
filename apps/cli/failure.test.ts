import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { shown } from "./failure.ts";

function thrownBy(run: () => void): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return assert.fail("nothing was thrown");
}

test("a file that cannot be used is named with why and what to do", () => {
  const directory = mkdtempSync(join(tmpdir(), "casemate-failure-"));
  try {
    const missing = join(directory, "missing");
    const absent = shown(thrownBy(() => readFileSync(missing)));
    assert.equal(absent.code, "BAD_REQUEST");
    assert.equal(absent.message, `${missing} cannot be used: there is no such file or directory (ENOENT)`);
    assert.ok(absent.hint);
    const onto = shown(thrownBy(() => writeFileSync(directory, "x")));
    assert.equal(onto.message, `${directory} cannot be used: it is a directory (EISDIR)`);
    // Reading a directory fails at its descriptor, where the system names no path.
    const into = shown(thrownBy(() => readFileSync(directory)));
    assert.equal(into.message, "a file cannot be used: it is a directory (EISDIR)");
    assert.ok(into.hint);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("a system error that is not of a file keeps the system's words", () => {
  for (const [code, syscall] of [
    ["E2BIG", "spawn"],
    ["EACCES", "connect"],
  ]) {
    const failed = Object.assign(new Error(`${syscall} ${code}`), { code, syscall });
    assert.equal(shown(failed).message, `${syscall} ${code}`);
  }
});
