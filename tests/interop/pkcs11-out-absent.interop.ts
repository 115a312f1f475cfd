/** A device that was not there when the server started, as its owner meets it on the command line. */
import assert from "node:assert/strict";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kill } from "node:process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { casemate, startServer, temporary, type Ran } from "../e2e/harness.ts";
import { ADDON, PIN, SOFTHSM, missing, softHsm } from "./pkcs11-out-harness.ts";

const skip = missing(SOFTHSM, "softhsm2-util", "pkcs11-tool") ?? false;

test(
  "a module or a token that was never there is named as absent, with why and what to do, until it is there",
  { skip, timeout: 90_000 },
  async () => {
    using hsm = softHsm("other");
    using directory = temporary();
    const data = join(directory.path, "data");
    const library = join(directory.path, "libhsm.so");
    const pin = join(directory.path, "pin");
    writeFileSync(pin, `${PIN}\n`, { mode: 0o600 });
    process.env["SOFTHSM2_CONF"] = hsm.environment["SOFTHSM2_CONF"];
    const server = await startServer(data);
    const cli = (...args: readonly string[]): Promise<Ran> => casemate(data, args);
    const allRefused = async (reason: RegExp): Promise<void> => {
      for (const args of [
        ["device", "objects", "p11-1"],
        ["device", "unlock", "p11-1", "--pin-file", pin],
        ["device", "lock", "p11-1"],
        ["key", "adopt", "a", "--device", "p11-1", "--object-label", "theirs"],
        ["key", "create", "k", "--device", "p11-1", "--algorithm", "ec-p256", "--use", "sign"],
      ]) {
        const { status, stderr } = await cli(...args);
        assert.equal(status, 1, args.join(" "));
        assert.match(stderr, /DEVICE_ABSENT/, args.join(" "));
        assert.match(stderr, reason, args.join(" "));
      }
    };
    const until = async (state: RegExp): Promise<void> => {
      for (let i = 0; i < 100; i++, await sleep(100)) {
        const { stdout } = await cli("device", "show", "p11-1");
        if (state.test(stdout)) return;
      }
      assert.fail(`the device never was ${state}`);
    };
    try {
      const added = await cli(
        "device",
        "add",
        "pkcs11",
        "--module",
        library,
        "--token",
        "vault",
        "--addon",
        ADDON,
        "--pin-file",
        pin,
      );
      assert.match(added.stdout, /added and absent/);
      assert.match(
        added.stdout + added.stderr,
        /is not there or cannot be read\. Install the HSM maker's client package/,
      );
      await allRefused(/is not there or cannot be read/);

      symlinkSync(SOFTHSM, library);
      kill((JSON.parse(readFileSync(join(data, "running.json"), "utf8")) as { pid: number }).pid, "SIGHUP");
      await until(/no token labelled vault/);
      await allRefused(/no token labelled vault[\s\S]*There are: other[\s\S]*keeps trying/);

      hsm.token("vault");
      // It was locked while it was away, and stays so.
      await until(/the token was locked, and waits for its PIN/);
      const unlocked = await cli("device", "unlock", "p11-1", "--pin-file", pin);
      assert.match(unlocked.stdout, /operational/, unlocked.stderr);
      assert.equal(
        (await cli("key", "create", "k", "--device", "p11-1", "--algorithm", "ec-p256", "--use", "sign")).status,
        0,
      );
    } finally {
      delete process.env["SOFTHSM2_CONF"];
      await server.stop();
    }
  },
);
