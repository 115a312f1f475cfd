/** Both ways at once: pkcs11-tool signs through p11-kit's client, Casemate and driver-pkcs11 with keys that are in SoftHSM. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { casemate } from "../e2e/harness.ts";
import { desk, missing, MODULE } from "./pkcs11-in-harness.ts";
import * as out from "./pkcs11-out-harness.ts";

const skip = missing("pkcs11-tool", "openssl") ?? out.missing(out.SOFTHSM, "softhsm2-util") ?? false;

test("keys in a real HSM serve applications as a token of their own", { skip, timeout: 120_000 }, async (t) => {
  using hsm = out.softHsm("vault");
  process.env["SOFTHSM2_CONF"] = hsm.environment["SOFTHSM2_CONF"];
  t.after(() => delete process.env["SOFTHSM2_CONF"]);
  await using here = await desk();
  const pin = here.file("hsm.pin");
  writeFileSync(pin, out.PIN, { mode: 0o600 });
  const cli = async (...args: readonly string[]): Promise<string> => {
    const ran = await casemate(here.data, args);
    assert.equal(ran.status, 0, ran.stderr + ran.stdout);
    return ran.stdout;
  };
  const add = ["--module", out.SOFTHSM, "--token", "vault", "--pin-file", pin, "--addon", out.ADDON];
  await cli("device", "add", "pkcs11", ...add);
  for (const [name, algorithm, use] of [
    ["signer", "rsa-2048", "sign"],
    ["opener", "rsa-2048", "encrypt"],
    ["curve", "ec-p256", "sign"],
    ["cipher", "aes-256", "encrypt"],
    ["mac", "hmac-sha256", "mac"],
  ] as const) {
    await cli("key", "create", name, "--algorithm", algorithm, "--use", use, "--device", "p11-1");
  }

  const token = ["--module", MODULE, "--token-label", "p11-1", "--login", "--pin", here.token];
  const tool = async (...args: readonly string[]): Promise<string> => {
    const ran = await here.run("pkcs11-tool", [...token, ...args]);
    assert.equal(ran.status, 0, `${args.join(" ")}: ${ran.stderr}${ran.stdout}`);
    return ran.stdout;
  };
  const openssl = async (...args: readonly string[]): Promise<string> => {
    const ran = await here.run("openssl", args);
    assert.equal(ran.status, 0, `${args.join(" ")}: ${ran.stderr}${ran.stdout}`);
    return ran.stdout;
  };
  const ids = new Map<string, string>();
  for (const [, label, id] of (await tool("-O")).matchAll(/label: +(\S+)\n +ID: +(\S+)/g)) {
    ids.set(label as string, id as string);
  }
  const id = (label: string): readonly string[] => ["--id", ids.get(label) ?? assert.fail(`${label} is not listed`)];
  for (const label of ["signer", "opener", "curve"]) {
    await tool("-r", "--type", "pubkey", ...id(label), "-o", `${label}.der`);
  }
  const publicKey = (label: string): readonly string[] => ["-pubin", "-keyform", "der", "-inkey", `${label}.der`];
  here.write("message", "sixteen bytes of");
  await openssl("dgst", "-sha256", "-binary", "-out", "digest", "message");

  await t.test("RSA signatures, with and without hashing, PSS", async () => {
    for (const [mechanism, hash] of [
      ["SHA256-RSA-PKCS", "sha256"],
      // What the HSM knows as a signature over a DigestInfo alone.
      ["SHA1-RSA-PKCS", "sha1"],
    ] as const) {
      await tool("--sign", "--mechanism", mechanism, ...id("signer"), "-i", "message", "-o", "sig");
      const check = ["-verify", "signer.der", "-keyform", "der", "-signature", "sig", "message"];
      assert.match(await openssl("dgst", `-${hash}`, ...check), /Verified OK/);
    }
    const pss = ["--mechanism", "RSA-PKCS-PSS", "--hash-algorithm", "SHA256"];
    await tool("--sign", ...pss, ...id("signer"), "-i", "digest", "-o", "sig");
    const options = ["-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "digest:sha256"];
    const checked = await openssl(
      "pkeyutl",
      "-verify",
      ...publicKey("signer"),
      "-in",
      "digest",
      "-sigfile",
      "sig",
      ...options,
    );
    assert.match(checked, /Verified Successfully/);
  });

  await t.test("ECDSA", async () => {
    const format = ["--signature-format", "openssl"];
    await tool("--sign", "--mechanism", "ECDSA", ...id("curve"), "-i", "digest", "-o", "sig", ...format);
    const checked = await openssl("pkeyutl", "-verify", ...publicKey("curve"), "-in", "digest", "-sigfile", "sig");
    assert.match(checked, /Verified Successfully/);
  });

  await t.test("RSA-OAEP with the hash that the HSM has; another is refused", async () => {
    const encrypt = ["pkeyutl", "-encrypt", ...publicKey("opener"), "-in", "message", "-out", "sealed"];
    const decrypt = ["--decrypt", "--mechanism", "RSA-PKCS-OAEP", ...id("opener"), "-i", "sealed"];
    await openssl(...encrypt, "-pkeyopt", "rsa_padding_mode:oaep");
    assert.match(await tool(...decrypt, "--hash-algorithm", "SHA-1", "--mgf", "MGF1-SHA1"), /sixteen bytes of/);
    await openssl(...encrypt, "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256");
    const sha256 = ["--hash-algorithm", "SHA256", "--mgf", "MGF1-SHA256"];
    const refused = await here.run("pkcs11-tool", [...token, ...decrypt, ...sha256]);
    assert.equal(refused.status, 1);
    assert.doesNotMatch(refused.stdout, /sixteen bytes of/);
  });

  await t.test("AES and HMAC", async () => {
    await tool("--encrypt", "--mechanism", "AES-ECB", ...id("cipher"), "-i", "message", "-o", "sealed");
    await tool("--decrypt", "--mechanism", "AES-ECB", ...id("cipher"), "-i", "sealed", "-o", "opened");
    assert.equal((await here.run("cmp", ["message", "opened"])).status, 0);
    assert.equal((await here.run("cmp", ["-s", "message", "sealed"])).status, 1);
    await tool("--sign", "--mechanism", "SHA256-HMAC", ...id("mac"), "-i", "message", "-o", "tag");
    const verified = await tool(
      "--verify",
      "--mechanism",
      "SHA256-HMAC",
      ...id("mac"),
      "-i",
      "message",
      "--signature-file",
      "tag",
    );
    assert.match(verified, /Signature is valid/);
  });

  await t.test("a key that the application makes on this token is in the HSM, and cannot leave it", async () => {
    await tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "theirs", "--id", "77");
    const listed = hsm.tool("-O", "--type", "privkey");
    assert.equal([...listed.matchAll(/Private Key Object; EC/g)].length, 2, listed);
    const count = (text: RegExp): number => [...listed.matchAll(text)].length;
    assert.equal(count(/Access:.*never extractable/g), count(/Private Key Object/g), listed);
  });
});
