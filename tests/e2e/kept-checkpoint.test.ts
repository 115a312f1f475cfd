/** A checkpoint and the keys that signed it, kept elsewhere: what `audit verify` says of the log beside them. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { casemate, startServer, temporary } from "./harness.ts";

test("a kept checkpoint holds under the newest of the keys kept with it, in either form, and under no other", async () => {
  using directory = temporary();
  const data = join(directory.path, "data");
  const place = (name: string): string => join(directory.path, name);
  const server = await startServer(data);
  try {
    assert.equal((await casemate(data, ["audit", "checkpoint", "--out", place("kept.txt")])).status, 0);
    const line = readFileSync(join(data, "audit", "checkpoint-key"), "utf8").trim();
    // What follows the second plus of a verifier key is its algorithm byte and the Ed25519 key (C2SP signed-note).
    const spki = Buffer.concat([
      Buffer.from("302a300506032b6570032100", "hex"),
      Buffer.from(line.split("+").slice(2).join("+"), "base64").subarray(1),
    ]);
    writeFileSync(place("one"), line);
    writeFileSync(place("pem"), `-----BEGIN PUBLIC KEY-----\n${spki.toString("base64")}\n-----END PUBLIC KEY-----\n`);
    const verify = (key: string) =>
      casemate(data, ["audit", "verify", "--checkpoint", place("kept.txt"), "--public-key", place(key)]);
    for (const key of ["one", "pem"]) assert.equal((await verify(key)).status, 0, key);

    const { publicKey } = generateKeyPairSync("ed25519");
    writeFileSync(place("foreign"), publicKey.export({ type: "spki", format: "pem" }));
    const refused = await verify("foreign");
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /TAMPER_DETECTED/);

    const other = await startServer(place("other"));
    await casemate(place("other"), ["audit", "checkpoint", "--out", place("other.txt")]);
    await other.stop();
    const first = readFileSync(join(place("other"), "audit", "checkpoint-key"), "utf8");
    writeFileSync(place("newest-last"), `${first}${line}\n`);
    assert.equal((await verify("newest-last")).status, 0);
    writeFileSync(place("newest-first"), `${line}\n${first}`);
    assert.equal((await verify("newest-first")).status, 1);
    writeFileSync(place("none"), "\n");
    const none = await verify("none");
    assert.notEqual(none.status, 0);
    assert.match(none.stderr, /Hint: /);
  } finally {
    await server.stop();
  }
});
