import { createHash } from "node:crypto";
import type { Many } from "@casemate/devices/contract";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import type { Note } from "../guard.ts";

/** Items per request; interfaces name it in their documents. */
export const MAX_BATCH = 1000;
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

/** SHA-256 over the inputs, each behind its length: says what was signed without keeping it. */
export function inputsDigest(inputs: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  const prefix = new Uint8Array(4);
  const view = new DataView(prefix.buffer);
  for (const input of inputs) {
    view.setUint32(0, input.length);
    hash.update(prefix).update(input);
  }
  return hash.digest("hex");
}

/** Puts the number of failed items into the record; a request of one item that failed fails as a whole. */
export function settle<T>(note: Note, results: Many<T>): Many<T> {
  let failed = 0;
  for (const result of results) if (isCasemateError(result)) failed += 1;
  if (failed > 0) {
    note.details = { ...note.details, failed };
    const [only] = results;
    if (results.length === 1 && isCasemateError(only)) throw only;
  }
  return results;
}
