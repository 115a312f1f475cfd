import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { builtLog, linesOf } from "./test-support.ts";

test("the shell lines of docs/audit-format.md accept a log and name its first bad record", async (t) => {
  if (spawnSync("sha256sum", ["--version"]).status !== 0) return t.skip("needs the program sha256sum");
  const text = await readFile(new URL("../../../../docs/audit-format.md", import.meta.url), "utf8");
  const script = /```sh\n([\s\S]*?)```/.exec(text)?.[1] ?? "exit 9";
  const directory = await mkdtemp(join(tmpdir(), "casemate-format-"));
  try {
    const files = await builtLog(12);
    const { segment, start } = linesOf(files)[5]!;
    const run = async () => {
      for (const [name, bytes] of files.content) await writeFile(join(directory, name), bytes);
      const { status, stdout } = spawnSync("sh", ["-c", script], { cwd: directory, encoding: "utf8" });
      assert.equal(status, 0);
      return stdout;
    };
    assert.equal(await run(), "");
    files.content.get(segment)!.write(
      "mallo",
      start +
        65 +
        files.content
          .get(segment)!
          .subarray(start + 65)
          .indexOf("alice"),
    );
    assert.match(await run(), /^bad record: \{"index":5,/);
  } finally {
    await rm(directory, { recursive: true });
  }
});
