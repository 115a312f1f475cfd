// Implements: RFC 7468 §3, textual encoding, for reading.

/** The first block of a PEM text; anything else is taken as DER as it is. */
export function derOf(content: Uint8Array): Uint8Array {
  const block = /-----BEGIN [A-Z ]+-----([A-Za-z0-9+/=\s]+)-----END /.exec(new TextDecoder().decode(content));
  return block?.[1] === undefined ? content : Uint8Array.fromBase64(block[1]);
}
