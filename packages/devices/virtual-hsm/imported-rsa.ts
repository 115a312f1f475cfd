// Implements: SP 800-56B §6.4.1, what must hold between the numbers of an RSA private key (RFC 8017 §A.1.2) that comes from elsewhere.
import { refuse } from "./refuse.ts";

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const OCTET_STRING = 0x04;

/** The content of the DER element at `at`, and where it ends. Only called on what OpenSSL has just written. */
function element(der: Uint8Array, at: number): { readonly tag: number; readonly from: number; readonly to: number } {
  const tag = der[at] ?? 0;
  let length = der[at + 1] ?? 0;
  let from = at + 2;
  if (length >= 0x80) {
    const count = length & 0x7f;
    length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + (der[from + i] ?? 0);
    from += count;
  }
  return { tag, from, to: from + length };
}

/** Whether `bytes` is one DER SEQUENCE and nothing behind it. */
export function isOneSequence(bytes: Uint8Array): boolean {
  const { tag, to } = element(bytes, 0);
  return tag === SEQUENCE && to === bytes.length;
}

/** The integers of a PKCS#8 RSAPrivateKey: version, n, e, d, p, q, dP, dQ, qInv. */
function integersOf(pkcs8: Uint8Array): bigint[] {
  let at = element(pkcs8, 0).from;
  let octets = element(pkcs8, at);
  while (octets.tag !== OCTET_STRING) {
    at = octets.to;
    octets = element(pkcs8, at);
  }
  const sequence = element(pkcs8, octets.from);
  const numbers: bigint[] = [];
  for (let next = sequence.from; next < sequence.to;) {
    const { tag, from, to } = element(pkcs8, next);
    if (tag !== INTEGER) break;
    numbers.push(BigInt(`0x${pkcs8.subarray(from, to).toHex()}`));
    next = to;
  }
  return numbers;
}

/** @throws BAD_REQUEST for more than two primes, or numbers that do not belong together. */
export function checkRsaNumbers(pkcs8: Uint8Array): void {
  const [version, n = 0n, e = 0n, d = 0n, p = 0n, q = 0n, dp, dq, qInv = 0n] = integersOf(pkcs8);
  const holds =
    version === 0n &&
    p > 1n &&
    q > 1n &&
    p * q === n &&
    (d * e) % (p - 1n) === 1n &&
    (d * e) % (q - 1n) === 1n &&
    dp === d % (p - 1n) &&
    dq === d % (q - 1n) &&
    (qInv * q) % p === 1n;
  if (!holds) throw refuse("BAD_REQUEST", "the numbers of the RSA key inside the wrapping do not belong together");
}
