// RFC 4648 §4: bytes in JSON. Works where Uint8Array has no base64 methods of its own yet.

export function toBase64(bytes: Uint8Array): string {
  if (typeof bytes.toBase64 === "function") return bytes.toBase64();
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

export function fromBase64(text: string): Uint8Array {
  if (typeof Uint8Array.fromBase64 === "function") return Uint8Array.fromBase64(text);
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Not by JSON.stringify's replacer: it would see what a Buffer's own toJSON made. */
function encoded(value: unknown): unknown {
  if (value instanceof Uint8Array) return toBase64(value);
  if (Array.isArray(value)) return value.map(encoded);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, encoded(part)]));
}

/** JSON text with every Uint8Array inside as base64. */
export function encodeBody(body: object): string {
  return JSON.stringify(encoded(body));
}

type Container = Record<string, unknown> | unknown[];

/** Replaces base64 text by bytes, in place, where the paths say so. Absent fields are left alone. */
export function decodeBytes(value: unknown, paths: readonly (readonly string[])[]): void {
  for (const path of paths) decodeAt(value, path);
}

function decodeAt(value: unknown, path: readonly string[]): void {
  const [step, ...rest] = path;
  if (typeof value !== "object" || value === null || step === undefined) return;
  const container = value as Container;
  const names = step === "*" ? Object.keys(container) : [step];
  for (const name of names) {
    const fields = container as Record<string, unknown>;
    const field = fields[name];
    if (rest.length > 0) decodeAt(field, rest);
    else if (typeof field === "string") fields[name] = fromBase64(field);
  }
}
