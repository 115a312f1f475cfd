import assert from "node:assert/strict";
import { ECDH, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import type { KeyAlgorithm } from "@casemate/devices/contract";
import { fromHex } from "@casemate/foundation/bytes";
import { CKK } from "@casemate/protocols/p11-rpc";
import { algorithmOf, curvePublicKey, pointOf } from "./public-key.ts";

const spkiOf = (type: "ec" | "ed25519" | "x448", namedCurve = ""): Uint8Array => {
  const options = { publicKeyEncoding: { format: "der", type: "spki" } } as const;
  const generate = generateKeyPairSync as unknown as (type: string, options: object) => { publicKey: Buffer };
  return new Uint8Array(generate(type, { ...options, namedCurve }).publicKey);
};
const octetString = (content: Uint8Array): Uint8Array =>
  Uint8Array.of(0x04, ...(content.length < 0x80 ? [] : [0x81]), content.length, ...content);
const bitString = (content: Uint8Array): Uint8Array =>
  Uint8Array.of(0x03, ...(content.length + 1 < 0x80 ? [] : [0x81]), content.length + 1, 0, ...content);

const CURVES: readonly (readonly [KeyAlgorithm, Uint8Array, string | undefined])[] = [
  ["ec-p256", spkiOf("ec", "prime256v1"), "prime256v1"],
  ["ec-p384", spkiOf("ec", "secp384r1"), "secp384r1"],
  ["ec-p521", spkiOf("ec", "secp521r1"), "secp521r1"],
  ["ec-secp256k1", spkiOf("ec", "secp256k1"), "secp256k1"],
  ["ed25519", spkiOf("ed25519"), undefined],
  ["x448", spkiOf("x448"), undefined],
];

test("CKA_EC_POINT is read raw, in an OCTET STRING, in a BIT STRING and compressed", () => {
  for (const [algorithm, spki, name] of CURVES) {
    const point = pointOf(algorithm, spki);
    assert.ok(point !== undefined);
    const forms = [point, octetString(point), bitString(point)];
    if (name !== undefined) {
      const short = new Uint8Array(ECDH.convertKey(point, name, undefined, undefined, "compressed") as Buffer);
      forms.push(short, octetString(short));
    }
    for (const form of forms) assert.deepEqual(curvePublicKey(algorithm, form), spki, algorithm);
  }
});

test("a point of another length, not on its curve or in a string that does not fit is the token's failure", () => {
  const point = pointOf("ec-p256", CURVES[0]?.[1] as Uint8Array) as Uint8Array;
  const off = Uint8Array.from(point);
  off[64] = (off[64] as number) ^ 1;
  const bad = [new Uint8Array(), point.subarray(1), off, octetString(off), Uint8Array.of(...octetString(point), 0)];
  for (const form of bad) assert.throws(() => curvePublicKey("ec-p256", form), { code: "DEVICE_FAILED" });
});

test("a key's algorithm is found by identifier or by name of its curve, by modulus and by length; others have none", () => {
  assert.equal(algorithmOf({ keyType: CKK.EC, params: fromHex("06082a8648ce3d030107") }), "ec-p256");
  assert.equal(algorithmOf({ keyType: CKK.EC_EDWARDS, params: fromHex("06032b6570") }), "ed25519");
  const printable = Uint8Array.of(0x13, 12, ...Buffer.from("edwards25519"));
  assert.equal(algorithmOf({ keyType: CKK.EC_EDWARDS, params: printable }), "ed25519");
  assert.equal(algorithmOf({ keyType: CKK.RSA, modulusBits: 3072 }), "rsa-3072");
  assert.equal(algorithmOf({ keyType: CKK.AES, bytes: 24 }), "aes-192");
  assert.equal(algorithmOf({ keyType: CKK.RSA, modulusBits: 1024 }), undefined);
  assert.equal(algorithmOf({ keyType: CKK.EC, params: fromHex("06032b6570") }), undefined);
});
