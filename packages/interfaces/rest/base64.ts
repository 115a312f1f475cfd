// RFC 4648 §4: strict, padded base64 for bytes in JSON.
import { CasemateError } from "@casemate/foundation/errors";

const STRICT = { lastChunkHandling: "strict" } as const;

/**
 * Decodes strictly: padding needed, no white space, no stray bits.
 * @throws BAD_REQUEST naming `field`; TOO_LARGE above `limit` bytes.
 */
export function bytesFrom(text: string, field: string, limit: number): Uint8Array {
  const length = text.length;
  const padding = length > 0 && text.charCodeAt(length - 1) === 61 ? (text.charCodeAt(length - 2) === 61 ? 2 : 1) : 0;
  const expected = (length >> 2) * 3 - padding;
  if (expected > limit) {
    throw new CasemateError("TOO_LARGE", `${field} has ${expected} bytes, the limit is ${limit}`, {
      hint: "send less, or sign a digest of it with kind=digest",
      details: { field, limit },
    });
  }
  if ((length & 3) === 0) {
    try {
      const bytes = Uint8Array.fromBase64(text, STRICT);
      // White space is skipped by the decoder and shows as a shorter result.
      if (bytes.length === expected) return bytes;
    } catch {
      // Falls through to the one refusal below: the decoder's own words add nothing.
    }
  }
  throw new CasemateError("BAD_REQUEST", `${field} is not padded base64 (RFC 4648 §4)`, {
    hint: "encode the bytes with the alphabet A-Z a-z 0-9 + / and = padding, without line breaks",
    details: { field },
  });
}

export function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
