/** Messages at the limits of what is sent as it is: signed by the command line, checked by it and by OpenSSL inside Node. */
import assert from "node:assert/strict";
import { createHash, randomBytes, verify } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { casemate, startServer, temporary } from "./harness.ts";

const MIB = 1024 * 1024;

test("a message is signed as a whole up to 1 MiB, by its hash where the scheme hashes first, and refused with a way out else", async () => {
  using directory = temporary();
  const data = join(directory.path, "data");
  const file = join(directory.path, "message");
  const signature = join(directory.path, "signature");
  const server = await startServer(data);
  const run = (...words: string[]) => casemate(data, words);
  try {
    const publicKeys = new Map<string, Buffer>();
    for (const algorithm of ["ec-p256", "ed25519", "ed448", "ml-dsa-44"]) {
      assert.equal((await run("key", "create", algorithm, "--algorithm", algorithm)).status, 0);
      const { stdout } = await run("key", "public", algorithm);
      publicKeys.set(algorithm, Buffer.from(stdout));
    }
    for (const size of [MIB / 2, MIB / 2 + 1, MIB]) {
      const message = randomBytes(size);
      writeFileSync(file, message);
      for (const [algorithm, key] of publicKeys) {
        const signed = await run("sign", algorithm, "--in", file, "--out", signature);
        assert.equal(signed.status, 0, signed.stderr);
        const hash = algorithm === "ec-p256" ? "sha256" : undefined;
        assert.ok(verify(hash, message, key.toString(), readFileSync(signature)), `${algorithm} ${size}`);
        const checked = await run("verify", algorithm, "--in", file, "--signature", signature);
        assert.equal(checked.status, 0, checked.stderr);
      }
    }
    writeFileSync(file, randomBytes(MIB + 1));
    assert.equal((await run("sign", "ec-p256", "--in", file, "--out", signature)).status, 0);
    for (const [algorithm, scheme, hash] of [
      ["ed25519", "prehash-sha512", "sha512"],
      ["ed448", "prehash-shake256", "shake256"],
      ["ml-dsa-44", "prehash-sha512", "sha512"],
    ] as const) {
      const { status, stderr } = await run("sign", algorithm, "--in", file, "--out", signature);
      assert.equal(status, 2);
      assert.match(stderr, new RegExp(`1048577 bytes.*up to 1048576 bytes[\\s\\S]*Hint: .*--scheme ${scheme}`));
      assert.equal((await run("sign", algorithm, "--in", file, "--scheme", scheme, "--out", signature)).status, 0);
      const digest = createHash(hash, hash === "shake256" ? { outputLength: 64 } : {})
        .update(readFileSync(file))
        .digest();
      writeFileSync(`${file}.digest`, digest);
      const digested = ["--in", `${file}.digest`, "--digest", "--scheme", scheme];
      const checked = await run("verify", algorithm, "--signature", signature, ...digested);
      assert.equal(checked.status, 0, checked.stderr);
    }
  } finally {
    await server.stop();
  }
});
