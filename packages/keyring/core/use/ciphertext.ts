// Ciphertexts that `encrypt` hands out: 0xca, format 1, u32 key version (big-endian), then the device's bytes.
import { CasemateError } from "@casemate/foundation/errors";

const HEADER_BYTES = 6;
const MAGIC = 0xca;
const FORMAT = 1;

/** Not `DECODE_…`: who sends what is no ciphertext learns the same as who sends another key's. */
function noCiphertext(why: string): CasemateError {
  return new CasemateError("DECRYPT_FAILED", `this is no ciphertext that encrypt of Casemate made: ${why}`, {
    hint: "Give what encrypt answered, whole. A ciphertext from elsewhere is decrypted raw, with its key version (--raw --version N).",
  });
}

export function sealHeader(version: number, body: Uint8Array): Uint8Array {
  // From Buffer's pool, which is much cheaper than memory of its own; every byte is written here.
  const out = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  out[0] = MAGIC;
  out[1] = FORMAT;
  out.writeUInt32BE(version, 2);
  out.set(body, HEADER_BYTES);
  return out;
}

/** @throws DECRYPT_FAILED. */
export function openHeader(data: Uint8Array): { readonly version: number; readonly body: Uint8Array } {
  if (data.length < HEADER_BYTES) throw noCiphertext(`it has ${data.length} bytes, and the shortest has more`);
  if (data[0] !== MAGIC || data[1] !== FORMAT) throw noCiphertext("it begins otherwise");
  const version = new DataView(data.buffer, data.byteOffset, data.length).getUint32(2);
  return { version, body: data.subarray(HEADER_BYTES) };
}
