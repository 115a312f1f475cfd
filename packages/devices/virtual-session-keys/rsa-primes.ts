// Implements: NIST SP 800-56B rev. 2, appendix C.2 (deterministic prime-factor recovery), and the CRT values of RFC 8017 §3.2.
import type { RequestOf } from "@casemate/protocols/session-keys";
import { refuse } from "./refuse.ts";

type Numbers = Pick<RequestOf<"importRsa">, "n" | "e" | "d" | "p" | "q" | "dp" | "dq" | "qi">;
type Part = "p" | "q" | "dp" | "dq" | "qi";

const PARTS: readonly Part[] = ["p", "q", "dp", "dq", "qi"];
/** SP 800-56B §6.2.1.2: the public exponent is odd and below 2^256. It also bounds the work. */
const MOST_EXPONENT_BITS = 256;

// The numbers are BigInts meanwhile, which cannot be wiped: the garbage collector of this process takes them.
const integer = (bytes: Uint8Array): bigint => BigInt(`0x0${bytes.toHex()}`);

function octets(value: bigint): Uint8Array {
  const hex = value.toString(16);
  return Uint8Array.fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
}

function gcd(a: bigint, b: bigint): bigint {
  let [high, low] = [a, b];
  while (low !== 0n) [high, low] = [low, high % low];
  return high;
}

/** Of numbers without a common divisor. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [high, low] = [modulus, value % modulus];
  let [before, now] = [0n, 1n];
  while (low !== 0n) {
    const quotient = high / low;
    [high, low] = [low, high - quotient * low];
    [before, now] = [now, before - quotient * now];
  }
  return before < 0n ? before + modulus : before;
}

/** The largest integer whose square is not above `value`, by Newton's method. */
function squareRoot(value: bigint): bigint {
  if (value < 2n) return value;
  let root = 1n << BigInt((value.toString(2).length + 1) >> 1);
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

/** The factors of `n`, the larger one first; undefined when the exponents do not belong to it. */
function factors(n: bigint, e: bigint, d: bigint): readonly [bigint, bigint] | undefined {
  const product = d * e - 1n;
  if (n < 9n || product <= 0n) return undefined;
  const multiple = product * gcd(n - 1n, product);
  const times = multiple / n;
  const rest = multiple - times * n;
  if ((n - rest) % (times + 1n) !== 0n) return undefined;
  const sum = (n - rest) / (times + 1n) + 1n;
  const square = sum * sum - 4n * n;
  if (square <= 0n) return undefined;
  const difference = squareRoot(square);
  if (difference * difference !== square) return undefined;
  const [p, q] = [(sum + difference) / 2n, (sum - difference) / 2n];
  const fits = q > 1n && p * q === n && product % (p - 1n) === 0n && product % (q - 1n) === 0n;
  return fits ? [p, q] : undefined;
}

/** What nearly all keys have; tried where the exponent is not given (PKCS #11 v3.0 §2.1.3 lets it be left out). */
const USUAL_EXPONENTS = [65_537n, 3n, 17n, 5n, 257n];

/** @throws BAD_REQUEST when it follows neither from the primes nor by trying. */
function publicExponent(given: Numbers): bigint {
  const [n, d, p, q] = [integer(given.n), integer(given.d), integer(given.p), integer(given.q)];
  if (p > 1n && q > 1n) {
    const order = ((p - 1n) * (q - 1n)) / gcd(p - 1n, q - 1n);
    const e = order > 1n ? inverse(d % order, order) : 0n;
    if (p * q === n && (e * d) % order === 1n) return e;
    throw refuse("BAD_REQUEST", "these primes do not belong to this modulus and exponent");
  }
  const found = USUAL_EXPONENTS.find((e) => factors(n, e, d) !== undefined);
  if (found === undefined)
    throw refuse("BAD_REQUEST", "without primes and with an unusual public exponent, that is needed");
  return found;
}

/**
 * All numbers of a key of which modulus and private exponent are given, and perhaps some of the others: PKCS #11 lets applications leave
 * them out, and OpenSSL wants them all. A whole set is passed on as it is.
 * @throws BAD_REQUEST for numbers that do not belong together.
 */
export function withPrimes(given: Numbers): Numbers {
  if (given.e.length === 0) return withPrimes({ ...given, e: octets(publicExponent(given)) });
  if (PARTS.every((part) => given[part].length > 0)) return given;
  const [n, e, d] = [integer(given.n), integer(given.e), integer(given.d)];
  if (e % 2n === 0n || e >> BigInt(MOST_EXPONENT_BITS) !== 0n)
    throw refuse("BAD_REQUEST", "the primes are found from an odd public exponent below 2^256");
  const found = factors(n, e, d);
  if (found === undefined) throw refuse("BAD_REQUEST", "these exponents do not belong to this modulus");
  const [first, second] = integer(given.p) === found[1] || integer(given.q) === found[0] ? found.toReversed() : found;
  const [p, q] = [first as bigint, second as bigint];
  const whole: Readonly<Record<Part, bigint>> = { p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) };
  for (const part of PARTS)
    if (given[part].length > 0 && integer(given[part]) !== whole[part])
      throw refuse("BAD_REQUEST", `the number ${part} does not belong to this modulus`);
  const made = Object.fromEntries(PARTS.map((part) => [part, octets(whole[part])])) as Record<Part, Uint8Array>;
  return { n: given.n, e: given.e, d: given.d, ...made };
}
