import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { withPrimes } from "./rsa-primes.ts";

const NONE = new Uint8Array(0);
const PARTS = ["p", "q", "dp", "dq", "qi"] as const;
const big = (bytes: Uint8Array): bigint => BigInt(`0x${bytes.toHex()}`);
const bytes = (value: bigint): Uint8Array => {
  const hex = value.toString(16);
  return Uint8Array.fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
};

/** All numbers of a fresh key by OpenSSL. */
function numbers(modulusLength: number, publicExponent = 65_537) {
  const jwk = generateKeyPairSync("rsa", { modulusLength, publicExponent }).privateKey.export({ format: "jwk" });
  const of = (text = ""): Uint8Array => Uint8Array.fromBase64(text, { alphabet: "base64url" });
  return {
    n: of(jwk.n),
    e: of(jwk.e),
    d: of(jwk.d),
    p: of(jwk.p),
    q: of(jwk.q),
    dp: of(jwk.dp),
    dq: of(jwk.dq),
    qi: of(jwk.qi),
  };
}

const bare = (key: ReturnType<typeof numbers>) => ({ ...key, p: NONE, q: NONE, dp: NONE, dq: NONE, qi: NONE });
const badRequest = { code: "BAD_REQUEST" };

test("the primes of a key are found from modulus and exponents, whether OpenSSL's d or one modulo φ(n)", () => {
  for (const [bits, exponent] of [
    [1024, 65_537],
    [1024, 3],
    [2048, 65_537],
    [4096, 4_294_967_291],
  ] as const) {
    const key = numbers(bits, exponent);
    const [p, q, e] = [big(key.p), big(key.q), big(key.e)];
    const phi = (p - 1n) * (q - 1n);
    // e·d ≡ 1 modulo λ(n), hence also for any d + k·λ(n); the one modulo φ(n) is among them.
    let d = big(key.d);
    while ((d * e) % phi !== 1n) d += phi / gcd(p - 1n, q - 1n);
    for (const exponentBytes of [key.d, bytes(d)]) {
      const whole = withPrimes({ ...bare(key), d: exponentBytes });
      assert.deepEqual(new Set([big(whole.p), big(whole.q)]), new Set([p, q]), `${bits} bits, e = ${exponent}`);
      assert.equal(big(whole.dp), d % (big(whole.p) - 1n));
      assert.equal(big(whole.dq), d % (big(whole.q) - 1n));
      assert.equal((big(whole.qi) * big(whole.q)) % big(whole.p), 1n);
    }
  }
});

test("what is given besides is kept as it is, in the order in which it is given", () => {
  const key = numbers(1024);
  assert.equal(withPrimes(key), key, "a whole key is not touched");
  const primes = withPrimes({ ...bare(key), p: key.p, q: key.q });
  for (const part of PARTS) assert.equal(big(primes[part]), big(key[part]), part);
  const swapped = withPrimes({ ...bare(key), p: key.q });
  assert.deepEqual([big(swapped.p), big(swapped.q)], [big(key.q), big(key.p)]);
  assert.equal(big(withPrimes({ ...bare(key), dp: key.dp, p: Uint8Array.of(0, ...key.p) }).qi), big(key.qi));
});

test("numbers that do not belong together are refused, and nothing takes long", () => {
  const [key, other] = [numbers(2048), numbers(2048)];
  const cases: readonly (readonly [string, Parameters<typeof withPrimes>[0]])[] = [
    ["another key's d", { ...bare(key), d: other.d }],
    ["another key's modulus", { ...bare(key), n: other.n }],
    ["another exponent", { ...bare(key), e: Uint8Array.of(3) }],
    ["an even exponent", { ...bare(key), e: Uint8Array.of(4) }],
    ["no exponent, and another key's d", { ...bare(key), d: other.d, e: NONE }],
    ["an exponent of 2^256", { ...bare(key), e: Uint8Array.of(1, ...new Uint8Array(32)) }],
    ["d of 0", { ...bare(key), d: Uint8Array.of(0) }],
    ["d of 1 with e of 1", { ...bare(key), d: Uint8Array.of(1), e: Uint8Array.of(1) }],
    ["no modulus", { ...bare(key), n: NONE }],
    ["a prime as modulus", { ...bare(key), n: key.p }],
    ["the square of a prime", { ...bare(key), n: bytes(big(key.p) ** 2n) }],
    ["another key's prime", { ...bare(key), p: other.p }],
    ["another key's coefficient", { ...bare(key), qi: other.qi }],
    ["the longest numbers", { ...bare(key), n: new Uint8Array(512).fill(255), d: new Uint8Array(512).fill(255) }],
  ];
  for (const [what, given] of cases) assert.throws(() => withPrimes(given), badRequest, what);
});

function gcd(a: bigint, b: bigint): bigint {
  return b === 0n ? a : gcd(b, a % b);
}

test("a public exponent that is left out follows from the primes, or is a usual one", () => {
  for (const exponent of [65_537, 3, 17]) {
    const key = numbers(1024, exponent);
    const without = { ...bare(key), e: NONE };
    assert.equal(big(withPrimes(without).e), BigInt(exponent));
    assert.equal(big(withPrimes({ ...key, e: NONE }).e), BigInt(exponent));
  }
  const odd = numbers(1024, 4_294_967_291);
  assert.equal(big(withPrimes({ ...bare(odd), p: odd.p, q: odd.q, e: NONE }).e), 4_294_967_291n);
  assert.throws(() => withPrimes({ ...bare(odd), e: NONE }), badRequest);
  assert.throws(() => withPrimes({ ...odd, e: NONE, p: numbers(1024).p }), badRequest);
});
