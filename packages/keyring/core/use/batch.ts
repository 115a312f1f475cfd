import { createHash, hash } from "node:crypto";
import type { InputKind, Many } from "@casemate/devices/contract";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import type { Note } from "../guard.ts";
import type { MayBeBatch } from "../types.ts";

/** Items per request; interfaces name it in their documents. */
export const MAX_BATCH = 1000;
/** SHA-512 and the 66 bytes of P-521 fit. */
const MAX_DIGEST = 66;
/** Bytes over all items of one request. */
export const MAX_BATCH_BYTES = 16 * 1024 * 1024;

/** `columns` run side by side, one entry per item. @throws BAD_REQUEST when empty, TOO_LARGE over the limits. Returns the total bytes. */
export function checkBatch(...columns: readonly (readonly Uint8Array[])[]): number {
  const count = columns[0]?.length ?? 0;
  if (count === 0) throw new CasemateError("BAD_REQUEST", "there is nothing to do: no items");
  if (count > MAX_BATCH) throw new CasemateError("TOO_LARGE", `${count} items, at most ${MAX_BATCH} allowed`);
  let bytes = 0;
  for (const column of columns) for (const part of column) bytes += part.length;
  if (bytes > MAX_BATCH_BYTES)
    throw new CasemateError("TOO_LARGE", `${bytes} bytes in all, at most ${MAX_BATCH_BYTES} allowed`);
  return bytes;
}

/**
 * Says in the record what was signed without keeping it: of one message its SHA-256, one digest as it is; of several
 * the SHA-256 over all, each behind its length as u32.
 */
export function inputsDigest(kind: InputKind, inputs: readonly Uint8Array[]): Readonly<Record<string, string>> {
  const [only] = inputs;
  if (only !== undefined && inputs.length === 1)
    return kind === "digest" ? { digest: only.subarray(0, MAX_DIGEST).toHex() } : { sha256: hash("sha256", only) };
  const prefix = new Uint8Array(4);
  const view = new DataView(prefix.buffer);
  const all = createHash("sha256");
  for (const input of inputs) {
    view.setUint32(0, input.length);
    all.update(prefix).update(input);
  }
  return { sha256: all.digest("hex") };
}

/** Puts the number of failed items into the record; a request of one item that failed fails as a whole, unless it is a batch. */
export function settle<T>(note: Note, results: Many<T>, { batch = false, unread = 0 }: MayBeBatch): Many<T> {
  let failed = unread;
  note.count += unread;
  for (const result of results) if (isCasemateError(result)) failed += 1;
  if (failed > 0) {
    note.details = { ...note.details, failed };
    const [only] = results;
    if (!batch && results.length === 1 && isCasemateError(only)) throw only;
  }
  return results;
}
