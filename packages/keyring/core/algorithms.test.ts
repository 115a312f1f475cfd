import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import { KEY_ALGORITHMS, type KeyAlgorithm } from "@casemate/devices/contract";
import { ALGORITHMS, algorithmWarnings, isKeyAlgorithm } from "@casemate/keyring/core";

/** The dotted form of an OBJECT IDENTIFIER's DER, tag and length included. */
function oidDer(dotted: string): string {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const octets = [first * 40 + second, ...rest].flatMap((arc) => {
    const base128 = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      base128.unshift((left & 0x7f) | 0x80);
    return base128;
  });
  return Buffer.from([6, octets.length, ...octets]).toString("hex");
}

const EC_CURVES: Partial<Record<KeyAlgorithm, string>> = {
  "ec-p256": "P-256",
  "ec-p384": "P-384",
  "ec-p521": "P-521",
  "ec-secp256k1": "secp256k1",
};

/** A key made by OpenSSL, which keeps its own table of names. */
function opensslKey(algorithm: KeyAlgorithm): KeyObject {
  const { family, bits } = ALGORITHMS[algorithm];
  if (family === "rsa") return generateKeyPairSync("rsa", { modulusLength: Math.min(bits, 2048) }).publicKey;
  if (family === "ec") return generateKeyPairSync("ec", { namedCurve: EC_CURVES[algorithm] ?? "" }).publicKey;
  return generateKeyPairSync(algorithm as "ed25519").publicKey;
}

for (const algorithm of KEY_ALGORITHMS.filter((name) => ALGORITHMS[name].asymmetric)) {
  test(`OpenSSL writes the same object identifiers into a public key: ${algorithm}`, () => {
    const key = opensslKey(algorithm);
    const { x509, jose } = ALGORITHMS[algorithm].ids;
    assert.ok(x509);
    const spki = key.export({ format: "der", type: "spki" }).toString("hex");
    const oids = oidDer(x509.algorithm) + (x509.curve === undefined ? "" : oidDer(x509.curve));
    assert.ok(spki.slice(0, 80).includes(oids), `${spki.slice(0, 80)} holds ${oids}`);
    if (jose === undefined || jose.kty === "AKP") return;
    const jwk = key.export({ format: "jwk" });
    assert.equal(jwk.kty, jose.kty);
    assert.equal(jwk.crv, jose.crv);
  });
}

test("every scheme of every algorithm has a PKCS#11 mechanism, and every usage a scheme or an operation", () => {
  for (const algorithm of KEY_ALGORITHMS) {
    const row = ALGORITHMS[algorithm];
    const { mechanisms } = row.ids.pkcs11;
    for (const scheme of [...row.sign, ...row.cipher, ...row.mac, ...row.wrap])
      assert.ok(mechanisms[scheme], `${algorithm} ${scheme}`);
    assert.equal(row.usages.includes("sign"), row.sign.length > 0, algorithm);
    assert.equal(row.usages.includes("encrypt"), row.cipher.length > 0, algorithm);
    assert.equal(row.usages.includes("mac"), row.mac.length > 0, algorithm);
    assert.equal(row.usages.includes("wrap"), row.wrap.length > 0, algorithm);
    if (row.usages.includes("agree")) assert.ok(mechanisms.agree, algorithm);
    if (row.usages.includes("kem")) assert.ok(mechanisms.kem, algorithm);
  }
});

test("what NIST has not approved is said", () => {
  assert.match(algorithmWarnings("ec-secp256k1").join(), /not approved/);
  assert.match(algorithmWarnings("x25519").join(), /not approved/);
  assert.match(algorithmWarnings("rsa-2048").join(), /112-bit/);
  assert.deepEqual(algorithmWarnings("ec-p256"), []);
  assert.deepEqual(algorithmWarnings("ml-dsa-65"), []);
});

test("names from outside are looked up without surprises", () => {
  assert.equal(isKeyAlgorithm("ec-p256"), true);
  for (const name of ["constructor", "__proto__", "toString", "", "EC-P256"]) assert.equal(isKeyAlgorithm(name), false);
});
