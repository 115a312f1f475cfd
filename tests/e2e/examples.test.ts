/** Every file of examples/ does what it says. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { REPOSITORY, casemate, run, startServer, temporary, type RunningServer } from "./harness.ts";

const EXAMPLES = join(REPOSITORY, "examples");

const PROGRAMS: Readonly<Record<string, RegExp>> = {
  "issue-token.ts": /^[\w-]+\.[\w-]+\.[\w-]{86}\nverified\n$/,
  "envelope-encryption.ts": /^5000000 bytes went out and came back\n$/,
  "sign-many.ts": /^1000 of 1000 signatures verify\n$/,
};

/** Part of the examples, and nothing to run by themselves. */
const NOT_RUN = ["README.md", "casemate.service", "connect.ts", "policies", "sign-and-verify.sh"];

describe("examples", () => {
  const directory = temporary();
  const data = join(directory.path, "data");
  let server: RunningServer | undefined;
  before(async () => {
    server = await startServer(data);
  });
  after(async () => {
    await server?.stop();
    directory[Symbol.dispose]();
  });

  for (const [file, says] of Object.entries(PROGRAMS)) {
    test(`examples/${file}`, async () => {
      const ran = await run(process.execPath, [join(EXAMPLES, file)], { env: { CASEMATE_DATA: data } });
      assert.equal(ran.status, 0, ran.stderr);
      assert.match(ran.stdout, says);
    });
  }

  test("examples/sign-and-verify.sh", async () => {
    const program = `${process.execPath} ${join(REPOSITORY, "apps/cli/bin/casemate.mjs")}`;
    const ran = await run("bash", [join(EXAMPLES, "sign-and-verify.sh")], {
      env: { CASEMATE_DATA: data, CASEMATE: program },
    });
    assert.equal(ran.status, 0, `${ran.stdout}${ran.stderr}`);
    assert.match(ran.stdout, /Verified OK|Signature ok/);
  });

  test("every policy in examples/policies can be set, and decides as its remark says", async () => {
    const policies = readdirSync(join(EXAMPLES, "policies"));
    assert.ok(policies.length > 0);
    for (const name of policies) {
      const id = name.replace(/\.cedar$/, "");
      const set = await casemate(data, ["policy", "set", id, "--in", join(EXAMPLES, "policies", name)]);
      assert.equal(set.status, 0, `${name}: ${set.stderr}`);
    }
    const create = (name: string, label: string) =>
      casemate(data, ["key", "create", name, "--algorithm", "ed25519", "--label", label]);
    assert.equal((await create("stable", "stage=release")).status, 0);
    assert.equal((await create("nightly", "stage=test")).status, 0);
    const explain = (action: string, key: string) =>
      casemate(data, ["policy", "explain", "build-server", action, "--role", "user", "--key", key]);
    assert.equal((await explain("key.sign", "stable")).status, 0);
    assert.equal((await explain("key.sign", "nightly")).status, 1);
    assert.equal((await explain("key.wrap", "stable")).status, 1);
  });

  test("every file is run here or named as not to be run", () => {
    const files = readdirSync(EXAMPLES);
    assert.deepEqual(files.toSorted(), [...Object.keys(PROGRAMS), ...NOT_RUN].toSorted());
  });
});
