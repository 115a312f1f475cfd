// Implements: X.690 §8.1 (DER elements) and RFC 5958 §2 (OneAsymmetricKey), as far as keys from elsewhere must be looked at beside OpenSSL.

const SEQUENCE = 0x30;
const OCTET_STRING = 0x04;
/** `publicKey [1] IMPLICIT BIT STRING`; the bit for a constructed encoding, which DER has not, is ignored. */
const PUBLIC_KEY = 0x81;
const CONSTRUCTED = 0x20;

interface Element {
  readonly tag: number;
  readonly from: number;
  readonly to: number;
}

/** The content of the DER element at `at`, and where it ends: maybe behind the bytes that there are. */
export function element(der: Uint8Array, at: number): Element {
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

function* membersOf(der: Uint8Array): Generator<Element> {
  const { from, to } = element(der, 0);
  for (let at = from; at < Math.min(to, der.length);) {
    const member = element(der, at);
    yield member;
    at = member.to;
  }
}

/** Content of the private key in a PKCS#8 that OpenSSL could read. */
export function privateKeyIn(pkcs8: Uint8Array): Uint8Array {
  const octets = membersOf(pkcs8).find(({ tag }) => tag === OCTET_STRING);
  return octets === undefined ? new Uint8Array() : pkcs8.subarray(octets.from, octets.to);
}

/** The public half that a PKCS#8 brings along, as the content of a BIT STRING. */
export function publicKeyIn(pkcs8: Uint8Array): Uint8Array | undefined {
  const bits = membersOf(pkcs8).find(({ tag }) => (tag & ~CONSTRUCTED) === PUBLIC_KEY);
  return bits === undefined ? undefined : pkcs8.subarray(bits.from, bits.to);
}

/** The content of the BIT STRING in a SubjectPublicKeyInfo that OpenSSL wrote (RFC 5280 §4.1). */
export function bitsOf(spki: Uint8Array): Uint8Array {
  const bits = element(spki, element(spki, element(spki, 0).from).to);
  return spki.subarray(bits.from, bits.to);
}
