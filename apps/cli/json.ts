/** JSON with every Uint8Array as base64, as the REST interface writes bytes. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(
    value,
    function (this: Readonly<Record<string, unknown>>, name, part: unknown) {
      // A Buffer has already become something else in `part`.
      const original = this[name];
      return original instanceof Uint8Array ? original.toBase64() : part;
    },
    indent,
  );
}
