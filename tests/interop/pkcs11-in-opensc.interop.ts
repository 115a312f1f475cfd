import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { desk, missing, MODULE, type Desk } from "./pkcs11-in-harness.ts";

const skip = missing("pkcs11-tool", "openssl") ?? false;

describe("pkcs11-tool (OpenSC) over p11-kit's own client", { skip }, () => {
  let here: Desk;
  before(async () => {
    here = await desk();
  });
  after(() => here[Symbol.asyncDispose]());

  test("lists the token of the whole keyring and of the device", async () => {
    const { stdout } = await here.run("pkcs11-tool", ["--module", MODULE, "-L"]);
    assert.match(stdout, /token label +: casemate/);
    assert.match(stdout, /token label +: hsm-1/);
  });

  test("an EC key signs a digest that openssl verifies", async () => {
    const made = await here.tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "ec", "--id", "01");
    assert.equal(made.status, 0, made.stderr);
    assert.match(made.stdout, /sensitive, always sensitive, never extractable, local/);
    here.write("message", "hello\n");
    await here.run("openssl", ["dgst", "-sha256", "-binary", "-out", "digest", "message"]);
    const signed = await here.tool(
      "--sign",
      "--mechanism",
      "ECDSA",
      "--id",
      "01",
      "-i",
      "digest",
      "-o",
      "sig",
      "--signature-format",
      "openssl",
    );
    assert.equal(signed.status, 0, signed.stderr);
    await here.tool("-r", "--type", "pubkey", "--id", "01", "-o", "ec.der");
    const checked = await here.run("openssl", [
      "pkeyutl",
      "-verify",
      "-pubin",
      "-inkey",
      "ec.der",
      "-keyform",
      "der",
      "-in",
      "digest",
      "-sigfile",
      "sig",
    ]);
    assert.match(checked.stdout, /Verified Successfully/);
    await here.tool("--sign", "--mechanism", "ECDSA", "--id", "01", "-i", "digest", "-o", "sig.raw");
    const again = await here.tool(
      "--verify",
      "--mechanism",
      "ECDSA",
      "--id",
      "01",
      "-i",
      "digest",
      "--signature-file",
      "sig.raw",
    );
    assert.match(again.stdout + again.stderr, /Signature is valid/);
  });

  test("an RSA key signs, and its signature verifies with openssl", async () => {
    await here.tool("--keypairgen", "--key-type", "rsa:2048", "--label", "rsa", "--id", "02");
    here.write("message", "hello\n");
    const signed = await here.tool(
      "--sign",
      "--mechanism",
      "SHA256-RSA-PKCS",
      "--id",
      "02",
      "-i",
      "message",
      "-o",
      "rsa.sig",
    );
    assert.equal(signed.status, 0, signed.stderr);
    await here.tool("-r", "--type", "pubkey", "--id", "02", "-o", "rsa.der");
    await here.run("openssl", ["pkey", "-pubin", "-inform", "der", "-in", "rsa.der", "-out", "rsa.pem"]);
    const checked = await here.run("openssl", [
      "dgst",
      "-sha256",
      "-verify",
      "rsa.pem",
      "-signature",
      "rsa.sig",
      "message",
    ]);
    assert.match(checked.stdout, /Verified OK/);
  });

  test("an AES key encrypts and decrypts", async () => {
    const made = await here.tool("--keygen", "--key-type", "aes:32", "--label", "aes", "--id", "03");
    assert.equal(made.status, 0, made.stderr);
    const listed = await here.tool("-O", "--type", "secrkey");
    assert.match(listed.stdout, /AES length 32/);
    assert.match(listed.stdout, /sensitive/);
  });

  test("--test finds no error", async () => {
    const { stdout, stderr } = await here.tool("--test");
    assert.match(stdout + stderr, /No errors/);
  });

  test("a data object is written, read back and deleted", async () => {
    here.write("note", "a note");
    await here.tool("--write-object", "note", "--type", "data", "--label", "note");
    const read = await here.tool("--read-object", "--type", "data", "--label", "note");
    assert.equal(read.stdout, "a note");
    assert.equal((await here.tool("--delete-object", "--type", "data", "--label", "note")).status, 0);
  });
});
