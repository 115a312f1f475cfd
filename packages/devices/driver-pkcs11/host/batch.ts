/** How every operation uses a key: found by reference, item by item, errors where they belong. */
import type { KeyRef } from "@casemate/devices/contract";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { ModuleError, NOT_WITH_THIS_KEY, STALE, explained, hasRv, isLost, isStale, sessionEnded } from "../status.ts";
import type { Key, KeyStore } from "./keys.ts";

/** Errors of the key or the token rather than of one item: the whole call fails with them. */
const WHOLE = [...STALE, ...NOT_WITH_THIS_KEY];

/** Runs `work` with the key; once more when the token does not know its handle any more. */
export function withKey<T>(keys: KeyStore, ref: KeyRef, work: (key: Key) => T): T {
  try {
    return work(keys.resolve(ref));
  } catch (error) {
    if (!isStale(error)) throw error;
    keys.drop(ref);
    return work(keys.resolve(ref));
  }
}

/** One answer per item. `failed` turns a module's error about an item into its answer; undefined leaves the general meaning. */
export function eachItem<I, R>(
  items: readonly I[],
  work: (item: I) => R,
  failed: (error: ModuleError) => R | CasemateError | undefined = () => undefined,
): (R | CasemateError)[] {
  return items.map((item) => {
    try {
      return work(item);
    } catch (error) {
      if (isCasemateError(error)) return error;
      if (!(error instanceof ModuleError) || isLost(error) || sessionEnded(error) || hasRv(error, ...WHOLE))
        throw error;
      return failed(error) ?? (explained(error) as CasemateError);
    }
  });
}

/** @throws KEY_USAGE when the token says that the key may not; when it says nothing, it decides itself. */
export function mustAllow(allowed: boolean | undefined, use: string): void {
  if (allowed !== false) return;
  throw new CasemateError("KEY_USAGE", `the key was not made to ${use}`);
}

const EMPTY = Buffer.alloc(1);

/** A Buffer over the same bytes. An empty one still points somewhere: modules take a null pointer for something else. */
export function buffer(bytes: Uint8Array): Buffer {
  return bytes.length === 0 ? EMPTY.subarray(0, 0) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
