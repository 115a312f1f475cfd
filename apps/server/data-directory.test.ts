import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { foreignOwner, prepareDataDirectory } from "./data-directory.ts";

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

test("root may use a directory of another account, and is told what that account can do", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "casemate-data-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  assert.equal(foreignOwner(directory), undefined);
  if (process.getuid?.() !== 0) return t.skip("only root can give a directory away");
  chownSync(directory, 65_534, 65_534);
  prepareDataDirectory(directory);
  assert.match(foreignOwner(directory) ?? "", /belongs to another account \(uid 65534\).*chown 0 /);
});
