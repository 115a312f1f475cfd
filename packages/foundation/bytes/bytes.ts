// Small helpers over Uint8Array. Nothing here is constant-time: secrets compare through foundation/secrets.

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true });

/** One new array holding all parts in order. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}

/** Equality of public bytes; leaves early at the first difference. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

export function toUtf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** @throws TypeError when the bytes are not well-formed UTF-8. */
export function fromUtf8(bytes: Uint8Array): string {
  return strictDecoder.decode(bytes);
}

export function toHex(bytes: Uint8Array): string {
  return bytes.toHex();
}

/** @throws SyntaxError when the text is not an even number of hexadecimal digits. */
export function fromHex(text: string): Uint8Array {
  return Uint8Array.fromHex(text);
}

export function toBase64(bytes: Uint8Array): string {
  return bytes.toBase64();
}

/** Strict base64 (RFC 4648 §4) with padding. @throws SyntaxError on anything else. */
export function fromBase64(text: string): Uint8Array {
  if (text.length % 4 !== 0 || /\s/.test(text)) throw new SyntaxError("not padded base64");
  return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
}

export function toBase64Url(bytes: Uint8Array): string {
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/** Strict base64url (RFC 4648 §5) without padding. @throws SyntaxError on anything else. */
export function fromBase64Url(text: string): Uint8Array {
  if (/[\s=]/.test(text)) throw new SyntaxError("not unpadded base64url");
  return Uint8Array.fromBase64(text, { alphabet: "base64url" });
}
