import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { dataPaths, type DataPaths } from "./data-directory.ts";
import { firstRun } from "./first-run.ts";

function directory(t: TestContext): DataPaths {
  const root = mkdtempSync(join(tmpdir(), "casemate-first-"));
  t.after(() => rmSync(root, { recursive: true }));
  return dataPaths(root);
}
const keyring = (withoutTokens: boolean, bootstrapAdmin = async () => ({ token: "new" })) => ({
  bootstrapAdmin,
  withoutTokens: async () => withoutTokens,
});
const text = (path: string): string => readFileSync(path, "utf8");

test("the first run writes the administrator's token, and later ones leave it alone", async (t) => {
  const paths = directory(t);
  assert.deepEqual(await firstRun(paths, keyring(true)), { made: true });
  assert.equal(text(paths.adminToken), "new\n");
  assert.equal(statSync(paths.adminToken).mode & 0o777, 0o600);
  writeFileSync(paths.adminToken, "kept\n");
  assert.deepEqual(await firstRun(paths, keyring(false)), { made: false });
  assert.equal(text(paths.adminToken), "kept\n");
  assert.ok(!existsSync(`${paths.adminToken}.old`));
});

test("beside a database that never made a token, the file of another one is kept aside and takes no file's place", async (t) => {
  const paths = directory(t);
  for (const [number, name] of [".old", ".old-2"].entries()) {
    writeFileSync(paths.adminToken, `other ${number}\n`, { mode: 0o644 });
    const { made, remark } = await firstRun(paths, keyring(true));
    assert.equal(made, true);
    assert.ok(remark?.includes(`${paths.adminToken}${name}`), String(remark));
    assert.equal(text(paths.adminToken), "new\n");
    assert.equal(text(`${paths.adminToken}${name}`), `other ${number}\n`);
    assert.equal(statSync(`${paths.adminToken}${name}`).mode & 0o777, 0o600);
  }
  assert.equal(text(`${paths.adminToken}.old`), "other 0\n");
});

test("a token that could not be made leaves the file where it was", async (t) => {
  const paths = directory(t);
  writeFileSync(paths.adminToken, "other\n");
  const failing = keyring(true, async () => {
    throw new Error("no room");
  });
  await assert.rejects(firstRun(paths, failing), /no room/);
  assert.equal(text(paths.adminToken), "other\n");
  assert.ok(!existsSync(`${paths.adminToken}.old`));
});
