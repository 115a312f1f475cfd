import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, verify } from "node:crypto";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { nativeCalls, type PreparedSigner } from "./index.ts";

const { prepared } = nativeCalls();
const skip = prepared.available ? false : prepared.reason;

const shake = (...parts: readonly Uint8Array[]): Uint8Array => {
  const hash = createHash("shake256", { outputLength: 64 });
  for (const part of parts) hash.update(part);
  return hash.digest();
};

for (const set of ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"] as const)
  test(`a ${set} signature of μ is one of the message`, { skip }, () => {
    assert.ok(prepared.available);
    const { privateKey, publicKey } = generateKeyPairSync(set.toLowerCase() as "ml-dsa-44");
    const message = new TextEncoder().encode("message");
    // FIPS 204 algorithm 7: tr = H(pk), M' = 0 ‖ 0 ‖ M for an empty context, μ = H(tr ‖ M').
    const mu = shake(shake(publicKey.export({ format: "raw-public" })), new Uint8Array(2), message);
    using signer = prepared.loadPrivate(privateKey.export({ format: "der", type: "pkcs8" }), set, "mu");
    for (let i = 0; i < 3; i++) {
      const signature = signer.sign(mu);
      assert.equal(verify(null, message, publicKey, signature), true);
      assert.equal(signer.verify(mu, signature), true);
      assert.equal(signer.verify(shake(mu), signature), false);
      assert.equal(signer.verify(mu, signature.subarray(1)), false);
      assert.equal(signer.verify(mu, new Uint8Array(60_000)), false);
    }
    assert.throws(() => signer.sign(mu.subarray(1)), /64 bytes/);
  });

test("memory given to native code survives garbage collections", { skip }, () => {
  assert.ok(prepared.available);
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const { privateKey, publicKey } = generateKeyPairSync("ml-dsa-44");
  const message = new TextEncoder().encode("later");
  const mu = shake(shake(publicKey.export({ format: "raw-public" })), new Uint8Array(2), message);
  for (let i = 0; i < 5; i++) {
    collect();
    void Array.from({ length: 200 }, () => Buffer.allocUnsafeSlow(4).fill(0xff));
    using signer: PreparedSigner = prepared.loadPrivate(
      privateKey.export({ format: "der", type: "pkcs8" }),
      "ML-DSA-44",
      "mu",
    );
    assert.equal(verify(null, message, publicKey, signer.sign(mu)), true);
  }
});

test("keys of another set or kind are refused, and a disposed key is not used", { skip }, () => {
  assert.ok(prepared.available);
  const der = (type: "ml-dsa-44" | "ed25519"): Uint8Array =>
    generateKeyPairSync(type as "ed25519").privateKey.export({ format: "der", type: "pkcs8" });
  assert.throws(() => prepared.loadPrivate(der("ml-dsa-44"), "ML-DSA-65", "mu"), /not one of ML-DSA-65/);
  assert.throws(() => prepared.loadPrivate(der("ed25519"), "ML-DSA-44", "mu"), /not one of ML-DSA-44/);
  assert.throws(() => prepared.loadPrivate(new Uint8Array(50), "ML-DSA-44", "mu"), /not one of/);
  const signer = prepared.loadPrivate(der("ml-dsa-44"), "ML-DSA-44", "mu");
  signer.dispose();
  signer.dispose();
  assert.throws(() => signer.sign(new Uint8Array(64)), /disposed/);
});
