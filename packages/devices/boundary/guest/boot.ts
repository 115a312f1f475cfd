import { fromHex } from "@casemate/foundation/bytes";
import { BOOT_SYMBOL, type BootMessage } from "../boot.ts";

export interface GuestBoot {
  readonly secureHeapBytes: number;
  /** Descriptors the host passed on: 4, 5, … */
  readonly descriptors: readonly number[];
  /** Only guests built for tests may look at it. */
  readonly testSeed?: Uint8Array;
}

/** What the host said at start. @throws TypeError outside a boundary process. */
export function guestBoot(): GuestBoot {
  const found = (globalThis as Record<symbol, unknown>)[Symbol.for(BOOT_SYMBOL)];
  if (found === undefined) throw new TypeError("this module runs only in a process started by launchBoundary");
  const { secureHeapBytes, descriptors, testSeed } = found as BootMessage["guest"];
  return { secureHeapBytes, descriptors, ...(testSeed === undefined ? {} : { testSeed: fromHex(testSeed) }) };
}
