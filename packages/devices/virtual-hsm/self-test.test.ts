import assert from "node:assert/strict";
import { test } from "node:test";
import { nativeCalls } from "@casemate/foundation/ffi";
import { arithmeticEcSigner } from "./ec-arithmetic.ts";
import type { EcSignerFactory } from "./digest-signer.ts";
import { nativeEcSigner } from "./native-signers.ts";
import { runSelfTests } from "./self-test.ts";

test("the self tests pass with either ECDSA signer", () => {
  const { ecDigest } = nativeCalls();
  if (ecDigest.available) assert.ok(runSelfTests(nativeEcSigner(ecDigest)).length >= 10);
  assert.ok(runSelfTests(arithmeticEcSigner).length >= 10);
});

test("a signer that signs wrongly stops the start", () => {
  const broken: EcSignerFactory = (key, curve) => {
    const right = arithmeticEcSigner(key, curve);
    return { ...right, sign: (digest) => right.sign(digest.toReversed()) };
  };
  assert.throws(() => runSelfTests(broken), /self test failed: ECDSA P-256/);
});
