// Implements: SP 800-56B §6.4.1, what must hold between the numbers of an RSA private key (RFC 8017 §A.1.2) that comes from elsewhere.
import { element, privateKeyIn } from "./foreign-der.ts";
import { refuse } from "./refuse.ts";

const INTEGER = 0x02;

/** The integers of a PKCS#8 RSAPrivateKey: version, n, e, d, p, q, dP, dQ, qInv. */
function integersOf(pkcs8: Uint8Array): bigint[] {
  const rsa = privateKeyIn(pkcs8);
  const sequence = element(rsa, 0);
  const numbers: bigint[] = [];
  for (let next = sequence.from; next < sequence.to;) {
    const { tag, from, to } = element(rsa, next);
    if (tag !== INTEGER) break;
    numbers.push(BigInt(`0x${rsa.subarray(from, to).toHex()}`));
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
