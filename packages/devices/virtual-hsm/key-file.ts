/**
 * Root of trust in a file: 32 random bytes, then the big-endian counter of the newest sealed state (absent in a file
 * that only holds the root). The counter lives apart from the state, so putting back an older state shows.
 */
import type { Random } from "@casemate/foundation/effects";
import { refuse } from "./refuse.ts";
import { ROOT_BYTES, type RootFile } from "./root.ts";

const COUNTER_BYTES = 8;

export interface KeyFileContent {
  readonly root: Uint8Array;
  /** The newest state's counter when it was last acknowledged; 0 when the file does not say. */
  readonly counter: bigint;
}

/** Undefined for a file that is empty (the first start) or erased. @throws CONFIG_INVALID for a file that is neither. */
export function readKeyFile(file: RootFile): KeyFileContent | undefined {
  const content = file.read(ROOT_BYTES + COUNTER_BYTES + 1);
  // A longer one of zeros is neither: what is written into it would not be found to be a key file at the next start.
  const fits = content.length <= ROOT_BYTES + COUNTER_BYTES;
  if (fits && content.every((byte) => byte === 0)) return undefined;
  if (!fits || (content.length !== ROOT_BYTES && content.length !== ROOT_BYTES + COUNTER_BYTES)) {
    throw refuse(
      "CONFIG_INVALID",
      `the key file has ${file.size()} bytes; a root key file has ${ROOT_BYTES} or ${ROOT_BYTES + COUNTER_BYTES}`,
      "Restore the key file from its backup.",
    );
  }
  const root = content.slice(0, ROOT_BYTES);
  const counter =
    content.length === ROOT_BYTES ? 0n : new DataView(content.buffer, content.byteOffset + ROOT_BYTES).getBigUint64(0);
  content.fill(0);
  return { root, counter };
}

/** Makes the root of a new device. The host syncs the file before it confirms the first saved state. */
export function createKeyFile(file: RootFile, random: Random): KeyFileContent {
  const root = random.bytes(ROOT_BYTES);
  file.write(root);
  return { root, counter: 0n };
}

/** Remembers the newest acknowledged state. Not synced: a counter that lags behind accuses nobody wrongly. */
export function noteCounter(file: RootFile, root: Uint8Array, counter: bigint): void {
  const content = new Uint8Array(ROOT_BYTES + COUNTER_BYTES);
  content.set(root);
  new DataView(content.buffer).setBigUint64(ROOT_BYTES, counter);
  file.write(content);
  content.fill(0);
}

export function eraseKeyFile(file: RootFile): void {
  file.write(new Uint8Array(ROOT_BYTES + COUNTER_BYTES));
}
