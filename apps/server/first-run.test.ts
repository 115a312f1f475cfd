import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
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
  tokenProblem: async (token: string) => (token === "kept" ? undefined : "the token is not known"),
  withoutTokens: async () => withoutTokens,
  sealed: false,
});
const text = (path: string): string => readFileSync(path, "utf8");

test("the first run writes the administrator's token, and later ones leave it alone", async (t) => {
  const paths = directory(t);
  assert.deepEqual(await firstRun(paths, keyring(true)), { made: true, remarks: [] });
  assert.equal(text(paths.adminToken), "new\n");
  assert.equal(statSync(paths.adminToken).mode & 0o777, 0o600);
  writeFileSync(paths.adminToken, "kept\n");
  assert.deepEqual(await firstRun(paths, keyring(false)), { made: false, remarks: [] });
  assert.equal(text(paths.adminToken), "kept\n");
  assert.ok(!existsSync(`${paths.adminToken}.old`));
});

test("beside a database that never made a token, the file of another one is kept aside and takes no file's place", async (t) => {
  const paths = directory(t);
  for (const [number, name] of [".old", ".old-2"].entries()) {
    writeFileSync(paths.adminToken, `other ${number}\n`, { mode: 0o644 });
    const { made, remarks } = await firstRun(paths, keyring(true));
    assert.equal(made, true);
    assert.equal(remarks.length, 1);
    assert.ok(remarks.join().includes(`${paths.adminToken}${name}`), remarks.join());
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

test("a file that is gone or empty is written anew, and the start says that the token before is revoked", async (t) => {
  const paths = directory(t);
  for (const [prepare, words] of [
    [
      () => rmSync(paths.adminToken, { force: true }),
      /was not there: a new token was written, and the one before is revoked$/,
    ],
    [
      () => writeFileSync(paths.adminToken, " \n"),
      /was empty: a new token was written, and the one before is revoked$/,
    ],
  ] as const) {
    prepare();
    const { made, remarks } = await firstRun(paths, keyring(false));
    assert.equal(made, true);
    assert.equal(remarks.length, 1);
    assert.match(remarks.join(), words);
    assert.equal(text(paths.adminToken), "new\n");
    assert.equal(statSync(paths.adminToken).mode & 0o777, 0o600);
  }
  rmSync(paths.adminToken);
  const { remarks } = await firstRun(paths, { ...keyring(false), sealed: true });
  assert.match(remarks.join(), /revoked once a device is unlocked by the new one$/);
});

test("a file with anything but a token that holds is left, and the start says so and names the way out without repeating it", async (t) => {
  const paths = directory(t);
  for (const content of ["something of my own", "\0\x01\ufffd"]) {
    writeFileSync(paths.adminToken, content, { mode: 0o600 });
    const { made, remarks } = await firstRun(paths, keyring(false));
    assert.equal(made, false);
    assert.equal(remarks.length, 1);
    assert.match(
      remarks[0] ?? "",
      /no token that is accepted here \(the token is not known\).*move the file away and start again/,
    );
    assert.ok(!remarks.join().includes(content));
    assert.equal(text(paths.adminToken), content);
  }
});

test("a file that others may read is used, and the start says what to do about it", async (t) => {
  const paths = directory(t);
  writeFileSync(paths.adminToken, "kept\n");
  for (const mode of [0o644, 0o640, 0o602]) {
    chmodSync(paths.adminToken, mode);
    const { made, remarks } = await firstRun(paths, keyring(false));
    assert.equal(made, false);
    assert.equal(remarks.length, 1);
    assert.ok(remarks.join().includes(`mode 0${mode.toString(8)}`), remarks.join());
    assert.ok(remarks.join().includes(`chmod 600 ${paths.adminToken}`), remarks.join());
  }
});

test("a directory in the file's place is refused with what to do, and no token is made", async (t) => {
  const paths = directory(t);
  mkdirSync(paths.adminToken);
  const never = keyring(true, async () => assert.fail("made"));
  await assert.rejects(firstRun(paths, never), {
    code: "CONFIG_INVALID",
    message: /admin\.token cannot be read \(EISDIR\)/,
    hint: /move it away/,
  });
});
