import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { prepareDataDirectory } from "./data-directory.ts";

test("a data directory is made with its missing parents, open to its owner alone", () => {
  const directory = mkdtempSync(join(tmpdir(), "casemate-data-"));
  try {
    const root = join(directory, "a", "b c");
    prepareDataDirectory(root);
    prepareDataDirectory(root);
    assert.equal(statSync(root).mode & 0o777, 0o700);
    assert.equal(statSync(join(directory, "a")).mode & 0o777, 0o700);
    writeFileSync(join(directory, "file"), "");
    for (const path of [join(directory, "file", "x"), join(directory, "file", "x", "y")]) {
      assert.throws(() => prepareDataDirectory(path), { code: "CONFIG_INVALID" });
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("a data directory where none can be made is refused at once", () => {
  // In a process of its own, so that a call that never returns can be ended.
  const program = `
    import { prepareDataDirectory } from ${JSON.stringify(new URL("data-directory.ts", import.meta.url).href)};
    try { prepareDataDirectory("/proc/casemate/data"); } catch (error) { console.log(error.code); }`;
  const { stdout, signal } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
    encoding: "utf8",
    timeout: 20_000,
    killSignal: "SIGKILL",
  });
  assert.equal(signal, null);
  assert.equal(stdout.trim(), "CONFIG_INVALID");
});
