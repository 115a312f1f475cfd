import assert from "node:assert/strict";
import { test } from "node:test";
import { signSchemes } from "./schemes.ts";

test("a digest that pure cannot take goes by the prehash of its length", () => {
  const first = (algorithm: Parameters<typeof signSchemes>[0], bytes: number): string | undefined =>
    signSchemes(algorithm, "digest", new Uint8Array(bytes))[0];
  assert.equal(first("ed25519", 64), "prehash-sha512");
  assert.equal(first("ml-dsa-65", 64), "prehash-sha512", "μ goes by pure alone, named");
  assert.equal(first("ml-dsa-65", 48), "prehash-sha384");
  assert.equal(first("ed448", 64), "prehash-shake256");
  assert.equal(first("slh-dsa-sha2-128s", 32), "prehash-sha256");
  assert.equal(first("slh-dsa-sha2-128s", 64), "prehash-sha512");
  assert.equal(first("slh-dsa-shake-192f", 48), "prehash-sha384");
  assert.equal(first("slh-dsa-sha2-256f", 32), "prehash-sha512", "no hash weaker than the key");
});

test("messages, and digests elsewhere, keep the key's first scheme", () => {
  assert.equal(signSchemes("ed25519", "message", new Uint8Array(64))[0], "pure");
  assert.equal(signSchemes("slh-dsa-sha2-128s", "message", new Uint8Array(32))[0], "pure");
  assert.equal(signSchemes("ec-p384", "digest", new Uint8Array(32))[0], "ecdsa-sha384");
});
