// Keys from elsewhere that are not what they seem.
import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync, generatePrimeSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import { concat, equalBytes } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import { TestHost } from "./host.testkit.ts";
import { adoptMaterial } from "./material.ts";

const bad = (error: unknown) => isCasemateError(error) && error.code === "BAD_REQUEST";
const pkcs8 = (key: KeyObject): Uint8Array => new Uint8Array(key.export({ format: "der", type: "pkcs8" }));

function der(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = concat(...content);
  if (body.length < 0x80) return concat(Uint8Array.of(tag, body.length), body);
  const size = Uint8Array.fromHex(body.length.toString(16).padStart(body.length < 0x100 ? 2 : 4, "0"));
  return concat(Uint8Array.of(tag, 0x80 + size.length), size, body);
}
function integer(value: bigint): Uint8Array {
  const hex = value.toString(16);
  const bytes = Uint8Array.fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
  return der(2, (bytes[0] ?? 0) < 0x80 ? bytes : concat(Uint8Array.of(0), bytes));
}

test("every number of an RSA key must belong to the others", () => {
  const jwk = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
  const names = ["n", "e", "d", "p", "q", "dp", "dq", "qi"] as const;
  const values = names.map((name) => BigInt(`0x${Buffer.from(jwk[name] ?? "", "base64url").toString("hex")}`));
  const encoded = (numbers: readonly bigint[]): Uint8Array => {
    const rsa = Uint8Array.fromHex("300d06092a864886f70d0101010500");
    return der(0x30, Uint8Array.of(2, 1, 0), rsa, der(4, der(0x30, integer(0n), ...numbers.map(integer))));
  };
  assert.ok(adoptMaterial("rsa-2048", encoded(values)).length > 1000);
  for (const [index, name] of names.entries()) {
    if (name === "n" || name === "e") continue;
    assert.throws(() => adoptMaterial("rsa-2048", encoded(values.with(index, (values[index] ?? 0n) + 2n))), bad, name);
  }
});

test("nothing may follow the key", () => {
  const key = pkcs8(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
  assert.ok(adoptMaterial("ec-p256", key).length > 0);
  assert.throws(() => adoptMaterial("ec-p256", concat(key, Uint8Array.of(0))), bad);
});

test("a curve that came as explicit parameters is its name afterwards", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256", paramEncoding: "explicit" });
  const explicit = pkcs8(privateKey);
  const own = createPrivateKey({ key: Buffer.from(adoptMaterial("ec-p256", explicit)), format: "der", type: "pkcs8" });
  const spki = createPublicKey(own).export({ format: "der", type: "spki" });
  assert.equal(spki.length, 91);
  assert.ok(publicKey.export({ format: "der", type: "spki" }).length > 91);
  assert.ok(equalBytes(spki.subarray(-64), publicKey.export({ format: "der", type: "spki" }).subarray(-64)));
});

for (const type of ["ed25519", "ed448", "x25519", "x448"] as const)
  test(`a public half that comes along with a key of ${type} must be its own`, () => {
    const { privateKey, publicKey } = generateKeyPairSync(type as "ed25519");
    const plain = pkcs8(privateKey);
    // RFC 5958 §2, version 2: the public key as [1] behind the private one.
    const { x = "" } = publicKey.export({ format: "jwk" });
    const own = new Uint8Array(Buffer.from(x, "base64url"));
    const two = (half: Uint8Array) =>
      der(0x30, Uint8Array.of(2, 1, 1), plain.subarray(5), der(0x81, Uint8Array.of(0), half));
    assert.deepEqual(adoptMaterial(type, two(own)), adoptMaterial(type, plain));
    assert.throws(() => adoptMaterial(type, two(own.with(3, (own[3] ?? 0) ^ 1))), bad, "another half");
    assert.throws(() => adoptMaterial(type, two(own.subarray(1))), bad, "a cut half");
    assert.throws(() => adoptMaterial(type, two(new Uint8Array())), bad, "no half");
  });

test("an RSA key of three primes is refused", () => {
  const bits = (value: bigint) => value.toString(2).length;
  const prime = (size: number) => generatePrimeSync(size, { bigint: true });
  let [p, q, r, n] = [0n, 0n, 0n, 0n];
  const e = 65537n;
  while (bits(n) !== 2048 || [p, q, r].some((factor) => (factor - 1n) % e === 0n)) {
    [p, q, r] = [prime(683), prime(683), prime(682)];
    n = p * q * r;
  }
  const phi = (p - 1n) * (q - 1n) * (r - 1n);
  const inverse = (value: bigint, modulus: bigint): bigint => {
    let [a, b, x, y] = [value % modulus, modulus, 1n, 0n];
    while (a !== 1n) [a, b, x, y] = [b % a, a, y - (b / a) * x, x];
    return ((x % modulus) + modulus) % modulus;
  };
  const d = inverse(e, phi);
  const third = der(0x30, integer(r), integer(d % (r - 1n)), integer(inverse(p * q, r)));
  const two = [n, e, d, p, q, d % (p - 1n), d % (q - 1n), inverse(q, p)].map(integer);
  const rsa = Uint8Array.fromHex("300d06092a864886f70d0101010500");
  const key = der(0x30, Uint8Array.of(2, 1, 0), rsa, der(4, der(0x30, integer(1n), ...two, der(0x30, third))));
  assert.equal(createPrivateKey({ key: Buffer.from(key), format: "der", type: "pkcs8" }).asymmetricKeyType, "rsa");
  assert.throws(() => adoptMaterial("rsa-2048", key), bad);
});

test("nothing may follow the peer's public key", async () => {
  const host = await TestHost.start();
  const ref = await host.generate("x25519", "agree");
  const peer = new Uint8Array(generateKeyPairSync("x25519").publicKey.export({ format: "der", type: "spki" }));
  assert.equal((await host.call("agree", { ref, peer })).bytes.length, 32);
  await assert.rejects(host.call("agree", { ref, peer: concat(peer, Uint8Array.of(0)) }), bad);
});
