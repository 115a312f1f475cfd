import assert from "node:assert/strict";
import { test } from "node:test";
import { CKF, CKM } from "@casemate/protocols/p11-rpc";
import { createPlan, type PlanFields } from "./plan.ts";
import { QUIRK_ROWS, quirksOf } from "./quirks.ts";

type Row = PlanFields["mechanisms"][number];
const mechanism = (type: number, flags: number, min = 0, max = 0): Row => ({ type, flags, min, max });
const PAIR = mechanism(CKM.EC_KEY_PAIR_GEN, CKF.GENERATE_KEY_PAIR, 256, 384);
const AES = mechanism(CKM.AES_KEY_GEN, CKF.GENERATE, 16, 32);
const BOTH = CKF.WRAP | CKF.UNWRAP;

const plan = (mechanisms: readonly Row[], more: Partial<PlanFields> = {}) =>
  createPlan({
    library: "Any 1.0",
    manufacturer: "Any",
    model: "Any",
    mechanisms: [...mechanisms],
    refused: [],
    withoutLabel: [],
    printableCurves: false,
    ...more,
  });
const offered = (made: ReturnType<typeof plan>) =>
  Object.fromEntries(made.algorithms.map(({ algorithm, sign, wrap }) => [algorithm, [...sign, ...wrap]]));

test("only what the mechanisms promise is offered: no mechanism, no flag, no size, no row", () => {
  assert.deepEqual(offered(plan([])), {});
  assert.deepEqual(offered(plan([PAIR])), {}, "keys that nothing can be done with");
  assert.deepEqual(offered(plan([mechanism(CKM.ECDSA, CKF.SIGN)])), {}, "no keys can be made");
  assert.deepEqual(offered(plan([PAIR, mechanism(CKM.ECDSA, CKF.VERIFY)])), {});
  assert.deepEqual(Object.keys(offered(plan([PAIR, mechanism(CKM.ECDSA, CKF.SIGN)]))), [
    "ec-p256",
    "ec-p384",
    "ec-secp256k1",
  ]);
});

test("without the raw mechanism the one that hashes is taken; what was refused when tried is not offered", () => {
  const hashing = plan([PAIR, mechanism(CKM.ECDSA_SHA256, CKF.SIGN)]);
  assert.equal(hashing.sign("ecdsa-sha256")?.hashing, true);
  assert.equal(hashing.sign("ecdsa-sha384"), undefined);
  const refused = plan([PAIR, mechanism(CKM.ECDSA, CKF.SIGN)], { refused: ["ec-secp256k1", "ecdsa-sha512"] });
  assert.deepEqual(offered(refused), {
    "ec-p256": ["ecdsa-sha256", "ecdsa-sha384", "ecdsa-raw"],
    "ec-p384": ["ecdsa-sha256", "ecdsa-sha384", "ecdsa-raw"],
  });
});

test("key sizes are understood in bits and in bytes, whichever a module counts in", () => {
  const aes = (min: number, max: number) =>
    Object.keys(offered(plan([mechanism(CKM.AES_KEY_GEN, CKF.GENERATE, min, max), mechanism(CKM.AES_KEY_WRAP, BOTH)])));
  assert.deepEqual(aes(16, 32), ["aes-128", "aes-192", "aes-256"]);
  assert.deepEqual(aes(128, 256), ["aes-128", "aes-192", "aes-256"]);
  assert.deepEqual(aes(16, 24), ["aes-128", "aes-192"]);
});

test("a quirk of a maker applies to that maker alone, says why, and can be seen", () => {
  const rows = [AES, mechanism(CKM.AES_KEY_WRAP_PAD, BOTH)];
  assert.equal(plan(rows).wrap("aes-kwp"), undefined);
  const softHsm = plan(rows, { manufacturer: "SoftHSM project" });
  assert.equal(softHsm.wrap("aes-kwp"), CKM.AES_KEY_WRAP_PAD);
  const reasons = softHsm.reasons.join("; ");
  for (const known of [/computes on this machine/, /CKM_AES_KEY_WRAP_PAD is RFC 5649/, /do not come back/])
    assert.match(reasons, known);
  assert.equal(softHsm.quirks.software, true);
  assert.equal(plan(rows).quirks.software, undefined);
  for (const { why, library, manufacturer, model } of QUIRK_ROWS) {
    assert.ok(why.length > 10);
    assert.ok(
      [library, manufacturer, model].some((pattern) => pattern !== undefined),
      "a row for everybody is no quirk",
    );
  }
  assert.deepEqual(quirksOf({ library: "Any", manufacturer: "Any", model: "Any" }), { quirks: {}, reasons: [] });
});

test("RSA-OAEP that takes no label is offered, and said to take none", () => {
  const rsa = [
    mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN, CKF.GENERATE_KEY_PAIR, 1024, 4096),
    mechanism(CKM.RSA_PKCS_OAEP, CKF.ENCRYPT | CKF.DECRYPT),
  ];
  const refused = ["rsa-oaep-sha256", "rsa-oaep-sha384", "rsa-oaep-sha512"];
  const made = plan(rsa, { refused, withoutLabel: ["rsa-oaep-sha1"] });
  assert.deepEqual(made.algorithms.map(({ algorithm, cipher }) => [algorithm, ...cipher])[0], [
    "rsa-2048",
    "rsa-oaep-sha1",
  ]);
  assert.equal(made.cipher("rsa-oaep-sha1")?.oaep?.labels, false);
  assert.equal(plan(rsa).cipher("rsa-oaep-sha1")?.oaep?.labels, true);
});
