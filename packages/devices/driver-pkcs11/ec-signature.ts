// Implements: ECDSA-Sig-Value DER (RFC 3279 §2.2.3) to and from the r‖s of PKCS #11 v3.0 §2.3.1.
import { CasemateError } from "@casemate/foundation/errors";

const INTEGER = 0x02;
const SEQUENCE = 0x30;

function integer(half: Uint8Array): Uint8Array {
  let start = 0;
  while (start < half.length - 1 && half[start] === 0) start++;
  const value = half.subarray(start);
  const padded = ((value[0] ?? 0) & 0x80) !== 0;
  const out = new Uint8Array(2 + (padded ? 1 : 0) + value.length);
  out[0] = INTEGER;
  out[1] = out.length - 2;
  out.set(value, padded ? 3 : 2);
  return out;
}

/** `raw` is r‖s, both halves of equal length, at most 66 bytes each. @throws DEVICE_FAILED for anything else. */
export function toDer(raw: Uint8Array): Uint8Array {
  if (raw.length === 0 || raw.length % 2 !== 0 || raw.length > 132)
    throw new CasemateError("DEVICE_FAILED", `the token gave ${raw.length} bytes as an ECDSA signature`);
  const r = integer(raw.subarray(0, raw.length / 2));
  const s = integer(raw.subarray(raw.length / 2));
  const length = r.length + s.length;
  const head = length < 0x80 ? [SEQUENCE, length] : [SEQUENCE, 0x81, length];
  const out = new Uint8Array(head.length + length);
  out.set(head);
  out.set(r, head.length);
  out.set(s, head.length + r.length);
  return out;
}

/** r‖s with halves of `size` bytes; undefined for what is no strict DER of two positive integers that fit. */
export function fromDer(der: Uint8Array, size: number): Uint8Array | undefined {
  let offset = 0;
  const byte = (): number => der[offset++] ?? -1;
  if (byte() !== SEQUENCE) return undefined;
  let length = byte();
  if (length === 0x81) {
    length = byte();
    if (length < 0x80) return undefined;
  }
  if (length < 0 || length !== der.length - offset) return undefined;
  const out = new Uint8Array(size * 2);
  for (const end of [size, size * 2]) {
    if (byte() !== INTEGER) return undefined;
    const bytes = byte();
    if (bytes < 1 || bytes > 0x7f || bytes > der.length - offset) return undefined;
    let value = der.subarray(offset, offset + bytes);
    offset += bytes;
    if (((value[0] as number) & 0x80) !== 0) return undefined;
    if (value[0] === 0 && value.length > 1) {
      if (((value[1] as number) & 0x80) === 0) return undefined;
      value = value.subarray(1);
    }
    if (value.length > size) return undefined;
    out.set(value, end - value.length);
  }
  return offset === der.length ? out : undefined;
}
