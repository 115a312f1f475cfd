import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { restBench } from "@casemate/testkit/rest";

test("the example of the README runs as it stands", async (t) => {
  const [, code = ""] = /```js\n([\s\S]*?)```/.exec(readFileSync(join(import.meta.dirname, "README.md"), "utf8")) ?? [];
  const data = mkdtempSync(join(tmpdir(), "casemate-readme-"));
  // Below the repository, so that the example finds the packages by name.
  const cache = join(import.meta.dirname, "../../node_modules/.cache");
  mkdirSync(cache, { recursive: true });
  const scripts = mkdtempSync(join(cache, "readme-"));
  t.after(() => {
    for (const directory of [data, scripts]) rmSync(directory, { recursive: true, force: true });
  });
  await using server = await restBench();
  await server.rest.listen({ kind: "unix", path: join(data, "casemate.sock") });
  writeFileSync(join(data, "admin.token"), `${server.temporary.adminToken}\n`, { mode: 0o600 });
  const script = join(scripts, "example.mjs");
  writeFileSync(script, code);
  const { stdout } = await promisify(execFile)(process.execPath, ["--disable-warning=ExperimentalWarning", script], {
    env: { CASEMATE_DATA: data },
    timeout: 20_000,
  });
  assert.match(stdout, /^\d+ bytes of signature\nrelease active\n500 signatures\n$/);
});
