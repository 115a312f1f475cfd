/** A real HSM (SoftHSM stands in) from `device add` to `audit verify`, by the command line alone. */
import assert from "node:assert/strict";
import { chmodSync, copyFileSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kill } from "node:process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { casemate, run, startServer, temporary, type Ran } from "../e2e/harness.ts";
import { ADDON, PIN, SOFTHSM, missing, softHsm } from "./pkcs11-out-harness.ts";

const skip = missing(SOFTHSM, "softhsm2-util", "pkcs11-tool", "openssl");

/** Of every file below `data`. */
const contents = (data: string): Buffer[] =>
  readdirSync(data, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)));

const ok = (ran: Ran): Ran => {
  assert.equal(ran.status, 0, ran.stderr + ran.stdout);
  return ran;
};

test("a token is added, used, adopted from and taken away by the command line", { skip, timeout: 60_000 }, async () => {
  using hsm = softHsm("vault");
  using directory = temporary();
  const data = join(directory.path, "data");
  const file = (name: string): string => join(directory.path, name);
  writeFileSync(file("pin"), `${PIN}\n`, { mode: 0o600 });
  writeFileSync(file("message"), "a message");
  copyFileSync(SOFTHSM, file("libother.so"));
  hsm.tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "theirs", "--id", "77", "--usage-sign");
  // As an administrator would have it: the module's own configuration in the server's environment.
  process.env["SOFTHSM2_CONF"] = hsm.environment["SOFTHSM2_CONF"];
  const server = await startServer(data);
  try {
    const cli = (...args: readonly string[]): Promise<Ran> => casemate(data, args);
    const add = ["device", "add", "pkcs11", "--module", SOFTHSM, "--token", "vault", "--addon", ADDON];

    chmodSync(file("pin"), 0o644);
    const exposed = await cli(...add, "--id", "open", "--pin-file", file("pin"));
    assert.match(exposed.stdout + exposed.stderr, /open to other users/);
    const removed = ok(await cli("device", "remove", "open"));
    assert.equal(removed.stdout, "Device open is no longer used. Nothing in it was changed.\n");
    chmodSync(file("pin"), 0o600);

    const nameless = await cli(...add, "--token", "", "--pin-file", file("pin"));
    assert.equal(nameless.status, 2);
    assert.match(nameless.stderr, /--token takes the label of a token/);

    const added = ok(await cli(...add, "--pin-file", file("pin")));
    assert.match(added.stdout, /p11-1 is added and operational/);
    const { devices } = JSON.parse(readFileSync(join(data, "devices.json"), "utf8")) as { devices: unknown[] };
    assert.deepEqual(devices[1], {
      id: "p11-1",
      driver: "pkcs11",
      module: SOFTHSM,
      token: "vault",
      pinFile: file("pin"),
      addon: ADDON,
    });

    for (const [args, message] of [
      [[...add, "--pin-file", file("pin")], /is the device p11-1 already \(ALREADY_EXISTS\)/],
      // The same token through another library.
      [
        // The last of two options of one name is what counts.
        [...add, "--module", file("libother.so"), "--pin-file", file("pin")],
        /is the device p11-1 already, through another module \(ALREADY_EXISTS\)/,
      ],
      // The same library by its name.
      [["device", "add", "pkcs11", "--module", "libsofthsm2.so", "--token", "vault"], /ALREADY_EXISTS/],
      [
        ["device", "add", "pkcs11", "--module", SOFTHSM, "--token", "other", "--pin-root", "hsm-9"],
        /no device hsm-9 [\s\S]*NOT_FOUND[\s\S]*hsm-1/,
      ],
      [
        ["device", "add", "pkcs11", "--module", SOFTHSM, "--token", "other", "--pin-root", "p11-1"],
        /NOT_SUPPORTED[\s\S]*hsm-1/,
      ],
    ] as const) {
      const refused = await cli(...args);
      assert.equal(refused.status, 1, args.join(" "));
      assert.match(refused.stderr, message);
    }
    assert.equal(
      (JSON.parse(readFileSync(join(data, "devices.json"), "utf8")) as { devices: unknown[] }).devices.length,
      2,
    );

    // The server sees a twin that somebody wrote into devices.json, too.
    const listed = JSON.parse(readFileSync(join(data, "devices.json"), "utf8")) as { devices: { id: string }[] };
    const twin = { ...listed.devices[1], id: "p11-2", module: file("libother.so") };
    const write = (devices: unknown): void =>
      writeFileSync(join(data, "devices.json"), JSON.stringify({ ...listed, devices }));
    const reloaded = async (shows: RegExp): Promise<void> => {
      kill((JSON.parse(readFileSync(join(data, "running.json"), "utf8")) as { pid: number }).pid, "SIGHUP");
      for (let i = 0; i < 100; i++, await sleep(100))
        if (shows.test((await cli("device", "show", "p11-2")).stdout)) return;
      assert.fail(`p11-2 never was ${shows}`);
    };
    write([...listed.devices, twin]);
    await reloaded(/absent[\s\S]*its token is the device p11-1 already, through another module/);
    ok(await cli("device", "remove", "p11-2"));

    const shown = ok(await cli("device", "show", "p11-1"));
    assert.match(shown.stdout, /SoftHSM/);
    assert.match(shown.stdout, /ec-p256: sign, agree/);

    ok(await cli("key", "create", "release", "--device", "p11-1", "--algorithm", "ec-p256", "--use", "sign"));
    ok(await cli("sign", "release", "--in", file("message"), "--out", file("message.sig")));
    writeFileSync(file("release.pem"), ok(await cli("key", "public", "release")).stdout);
    const verified = await run("openssl", [
      "dgst",
      "-sha256",
      "-verify",
      file("release.pem"),
      "-signature",
      file("message.sig"),
      file("message"),
    ]);
    assert.equal(verified.stdout.trim(), "Verified OK");
    ok(await cli("verify", "release", "--in", file("message"), "--signature", file("message.sig")));

    ok(await cli("key", "create", "db", "--device", "p11-1", "--algorithm", "aes-256", "--use", "encrypt"));
    ok(await cli("encrypt", "db", "--in", file("message"), "--out", file("message.enc")));
    ok(await cli("decrypt", "db", "--in", file("message.enc"), "--out", file("message.dec")));
    assert.equal(readFileSync(file("message.dec"), "utf8"), "a message");

    const objects = ok(await cli("device", "objects", "p11-1"));
    assert.match(objects.stdout, /theirs +77 +ec-p256 +sign/);
    ok(await cli("key", "adopt", "adopted", "--device", "p11-1", "--object-label", "theirs"));
    ok(await cli("sign", "adopted", "--in", file("message"), "--out", file("message.sig2")));
    ok(await cli("verify", "adopted", "--in", file("message"), "--signature", file("message.sig2")));

    // The ids of a token need not differ: two keys of one id are told apart by their labels too, and each has its own public key.
    for (const label of ["first", "second"])
      hsm.tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", label, "--id", "13", "--usage-sign");
    const unclear = await cli("key", "adopt", "first", "--device", "p11-1", "--object-id", "13");
    assert.match(unclear.stderr, /2 keys of p11-1 match[\s\S]*its label and its id, both/);
    for (const name of ["first", "second"]) {
      const named = ["--object-id", "13", "--object-label", name] as const;
      ok(await cli("key", "adopt", name, "--device", "p11-1", ...named));
      ok(await cli("sign", name, "--in", file("message"), "--out", file(`${name}.sig`)));
      writeFileSync(file(`${name}.pem`), ok(await cli("key", "public", name)).stdout);
      const args = ["dgst", "-sha256", "-verify", file(`${name}.pem`), "-signature", file(`${name}.sig`)];
      assert.equal((await run("openssl", [...args, file("message")])).stdout.trim(), "Verified OK");
    }

    // Somebody puts another key in the place of one that is in use.
    for (const type of ["privkey", "pubkey"]) hsm.tool("--delete-object", "--type", type, "--id", "77");
    hsm.tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "theirs", "--id", "77", "--usage-sign");
    const replaced = await cli("sign", "adopted", "--in", file("message"), "--out", file("message.sig3"));
    assert.equal(replaced.status, 1);
    assert.match(replaced.stderr, /another key in the place of this one[\s\S]*TAMPER_DETECTED/);
    // It can be given up, without harm to what stands there, which can be adopted then.
    const givenUp = ok(await cli("key", "destroy", "adopted", "--now"));
    assert.match(givenUp.stdout + givenUp.stderr, /is destroyed\.[\s\S]*another key in its place[\s\S]*left/);
    ok(await cli("key", "adopt", "anew", "--device", "p11-1", "--object-label", "theirs"));
    ok(await cli("sign", "anew", "--in", file("message"), "--out", file("message.sig3")));
    ok(await cli("verify", "anew", "--in", file("message"), "--signature", file("message.sig3")));

    // RSA-OAEP of SoftHSM is that with SHA-1 and without a label.
    ok(await cli("key", "create", "rsa", "--device", "p11-1", "--algorithm", "rsa-2048", "--use", "encrypt"));
    ok(await cli("encrypt", "rsa", "--in", file("message"), "--out", file("message.rsa")));
    ok(await cli("decrypt", "rsa", "--in", file("message.rsa"), "--out", file("message.open")));
    assert.equal(readFileSync(file("message.open"), "utf8"), "a message");
    const bound = await cli("encrypt", "rsa", "--in", file("message"), "--context", "a", "--out", file("message.no"));
    assert.equal(bound.status, 1);
    assert.match(bound.stderr, /takes no label[\s\S]*NOT_SUPPORTED/);

    assert.equal((await cli("key", "export", "release")).status, 1);
    ok(await cli("key", "rotate", "release"));
    ok(await cli("key", "destroy", "release", "--now"));
    assert.doesNotMatch(hsm.tool("--list-objects"), /release/);
    ok(await cli("audit", "verify"));

    const everything = contents(data);
    assert.ok(everything.length > 3);
    for (const content of everything) assert.equal(content.includes(PIN), false, "the PIN is in the data directory");
  } finally {
    delete process.env["SOFTHSM2_CONF"];
    await server.stop();
  }
});

test(
  "a PIN that a virtual HSM keeps opens its token at the next start, and is plain nowhere",
  { skip, timeout: 60_000 },
  async () => {
    using hsm = softHsm("vault");
    using directory = temporary();
    const data = join(directory.path, "data");
    const file = (name: string): string => join(directory.path, name);
    for (const [name, pin] of [
      ["pin", PIN],
      ["wrong", "999999"],
    ] as const)
      writeFileSync(file(name), `${pin}\n`, { mode: 0o600 });
    writeFileSync(file("message"), "a message");
    process.env["SOFTHSM2_CONF"] = hsm.environment["SOFTHSM2_CONF"];
    const cli = (...args: readonly string[]): Promise<Ran> => casemate(data, args);
    const kept = join(data, "devices", "p11-1.pin.json");
    let server = await startServer(data);
    try {
      const add = ["device", "add", "pkcs11", "--module", "libsofthsm2.so", "--token", "vault", "--addon", ADDON];
      const both = await cli(...add, "--pin-file", file("pin"), "--pin-root", "hsm-1");
      assert.equal(both.status, 2);
      assert.match(both.stderr, /not both/);

      const added = ok(await cli(...add, "--pin-root", "hsm-1"));
      assert.match(added.stdout, /p11-1 is added and locked/);
      const refused = await cli("device", "unlock", "p11-1", "--passphrase-file", file("wrong"));
      assert.equal(refused.status, 1);
      assert.match(refused.stderr, /the PIN is wrong/);
      assert.doesNotMatch(readFileSync(kept, "utf8"), /"pin"/, "a wrong PIN is not kept");
      ok(await cli("device", "unlock", "p11-1", "--passphrase-file", file("pin")));
      assert.match(readFileSync(kept, "utf8"), /"pin"/);
      ok(await cli("key", "create", "release", "--device", "p11-1", "--algorithm", "ec-p256", "--use", "sign"));

      await server.stop();
      server = await startServer(data);
      const shown = ok(await cli("device", "show", "p11-1"));
      assert.match(shown.stdout, /operational/);
      assert.match(shown.stdout, /PIN kept by hsm-1/);
      ok(await cli("sign", "release", "--in", file("message"), "--out", file("message.sig")));
      for (const content of contents(data))
        assert.equal(content.includes(PIN), false, "the PIN is in the data directory");

      // A file that was changed opens nothing, and the token waits for a person.
      await server.stop();
      const stored = JSON.parse(readFileSync(kept, "utf8")) as { pin: string };
      writeFileSync(kept, JSON.stringify({ ...stored, pin: Buffer.alloc(256, 1).toString("base64") }));
      server = await startServer(data);
      assert.match(ok(await cli("device", "show", "p11-1")).stdout, /locked/);
      ok(await cli("device", "unlock", "p11-1", "--pin-file", file("pin")));
      ok(await cli("sign", "release", "--in", file("message"), "--out", file("message.sig")));
      const removed = ok(await cli("device", "remove", "p11-1", "--force"));
      assert.ok(removed.stdout.includes(`kept in ${kept}`), removed.stdout);

      // Another token of the same id is not tried with the PIN of the first.
      hsm.token("second");
      const second = ["device", "add", "pkcs11", "--module", "libsofthsm2.so", "--token", "second", "--addon", ADDON];
      assert.match(ok(await cli(...second, "--pin-root", "hsm-1")).stdout, /p11-1 is added and locked/);
    } finally {
      delete process.env["SOFTHSM2_CONF"];
      await server.stop();
    }
  },
);
