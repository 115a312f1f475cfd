/**
 * Casemate envelope, format 1: a payload of any size under a data key that only the device can unwrap.
 * `casemate-envelope/1\n`, u16 length (big-endian) and bytes of the wrapped data key, then pieces of 64 KiB (the last one shorter, perhaps
 * empty), each AES-256-GCM with its tag behind it. Nonce: u88 number of the piece, u8 1 for the last one and 0 else, so that pieces cannot be
 * reordered, left out or cut off. The data key is fresh for each payload; its context is bound in by the device.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { concat, equalBytes, toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";

export const PIECE_BYTES = 65_536;
/** What a device calls the cipher of the pieces. */
export const ENVELOPE_SCHEME = "aes-gcm";
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
const MAGIC = toUtf8("casemate-envelope/1\n");
/** A wrapped data key is 66 bytes; more is no envelope of ours. */
const MOST_WRAPPED_BYTES = 1024;

export type Source = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Whether a file begins as an envelope does. */
export function isEnvelope(start: Uint8Array): boolean {
  return start.length >= MAGIC.length && equalBytes(start.subarray(0, MAGIC.length), MAGIC);
}

function nonceOf(piece: number, last: boolean): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES);
  new DataView(nonce.buffer).setBigUint64(3, BigInt(piece));
  nonce[NONCE_BYTES - 1] = last ? 1 : 0;
  return nonce;
}

/** The source cut into pieces of exactly `size` bytes; the last one has less than or as much as that, and is marked. */
async function* pieces(source: Source, size: number): AsyncGenerator<{ piece: Uint8Array; last: boolean }> {
  let held: Uint8Array = new Uint8Array(0);
  for await (const part of source) {
    held = held.length === 0 ? part : concat(held, part);
    let at = 0;
    for (; held.length - at > size; at += size) yield { piece: held.subarray(at, at + size), last: false };
    held = held.slice(at);
  }
  yield { piece: held, last: true };
}

/** Encrypts under `dataKey` (32 bytes), whose wrapped form goes in front. */
export async function* seal(wrapped: Uint8Array, dataKey: Uint8Array, source: Source): AsyncGenerator<Uint8Array> {
  yield concat(MAGIC, Uint8Array.of(wrapped.length >> 8, wrapped.length & 0xff), wrapped);
  let number = 0;
  for await (const { piece, last } of pieces(source, PIECE_BYTES)) {
    const cipher = createCipheriv("aes-256-gcm", dataKey, nonceOf(number++, last));
    yield concat(cipher.update(piece), cipher.final(), cipher.getAuthTag());
  }
}

function damaged(what: string): CasemateError {
  return new CasemateError("DECRYPT_FAILED", `the envelope ${what}`, {
    hint: "Nothing of it should be used: get an undamaged copy.",
  });
}

/**
 * Decrypts; `unwrap` gives the data key for its wrapped form. Each piece is authentic when it is yielded, and that nothing is missing is known at the end.
 * @throws DECRYPT_FAILED for an envelope that was changed, cut or is none.
 */
export async function* open(
  source: Source,
  unwrap: (wrapped: Uint8Array) => Promise<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let head: Uint8Array = new Uint8Array(0);
  let dataKey: Uint8Array | undefined;
  const rest = async function* (): AsyncGenerator<Uint8Array> {
    for await (const part of source) {
      if (dataKey !== undefined) {
        yield part;
        continue;
      }
      head = concat(head, part);
      if (head.length < MAGIC.length + 2) continue;
      if (!isEnvelope(head)) throw damaged("has no valid beginning");
      const length = ((head[MAGIC.length] ?? 0) << 8) | (head[MAGIC.length + 1] ?? 0);
      const from = MAGIC.length + 2;
      if (length > MOST_WRAPPED_BYTES) throw damaged("has no valid beginning");
      if (head.length < from + length) continue;
      dataKey = await unwrap(head.subarray(from, from + length));
      yield head.slice(from + length);
    }
    if (dataKey === undefined) throw damaged("is cut off");
  };
  let number = 0;
  try {
    for await (const { piece, last } of pieces(rest(), PIECE_BYTES + TAG_BYTES)) {
      if (dataKey === undefined || piece.length < TAG_BYTES) throw damaged("is cut off");
      const decipher = createDecipheriv("aes-256-gcm", dataKey, nonceOf(number, last));
      decipher.setAuthTag(piece.subarray(piece.length - TAG_BYTES));
      const plain = decipher.update(piece.subarray(0, piece.length - TAG_BYTES));
      try {
        decipher.final();
      } catch {
        throw damaged(`was changed or cut at piece ${number}`);
      }
      number++;
      yield plain;
    }
  } finally {
    dataKey?.fill(0);
  }
}
