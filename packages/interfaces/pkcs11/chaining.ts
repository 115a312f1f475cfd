// Implements: NIST SP 800-38A §6, what one piece of data leaves behind for the next one.
import { concat } from "@casemate/foundation/bytes";
import type { CipherRequest } from "@casemate/protocols/session-keys";

/** The modes that a key's holder runs in one go. */
export type BlockMode = CipherRequest["mode"];

export function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length);
  for (let i = 0; i < a.length; i++) out[i] = (a[i] ?? 0) ^ (b[i] ?? 0);
  return out;
}

/** The chaining value after `input` became `output`: the end of the ciphertext, or of the key stream for OFB. */
export function nextChain(
  mode: BlockMode,
  encrypt: boolean,
  chain: Uint8Array,
  input: Uint8Array,
  output: Uint8Array,
): Uint8Array {
  const size = chain.length;
  if (mode === "ecb") return chain;
  const end =
    mode === "ofb" ? xor(input.subarray(-size), output.subarray(-size)) : (encrypt ? output : input).subarray(-size);
  return end.length === size ? end.slice() : concat(chain.subarray(end.length), end);
}
