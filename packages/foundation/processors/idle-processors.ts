// The kernel's bound on how long an idle processor may take to wake: Documentation/power/pm_qos_interface.rst, "From user space".
import { closeSync, openSync, writeSync } from "node:fs";

/** Idle processors as this process asks the kernel to treat them. */
export interface IdleProcessors {
  /** Keeps them from being stopped, until `release`. False where the kernel does not let this process ask for that. */
  hold(): boolean;
  release(): void;
}

export const LATENCY_FILE = "/dev/cpu_dma_latency";
/** A signed integer of 32 bits, in microseconds. */
const NO_LATENCY = new Uint8Array(4);

/** The request lasts as long as the file is open, so it ends with the process. `path` is for tests. */
export function idleProcessors(path = LATENCY_FILE): IdleProcessors {
  let held: number | undefined;
  let refused = false;
  return {
    hold() {
      if (held !== undefined) return true;
      if (refused) return false;
      let file: number | undefined;
      try {
        file = openSync(path, "r+");
        writeSync(file, NO_LATENCY);
        held = file;
      } catch {
        // Not this kernel, or not for this account: that does not change while the process runs.
        refused = true;
        if (file !== undefined) closeSync(file);
      }
      return held !== undefined;
    },
    release() {
      if (held === undefined) return;
      const file = held;
      held = undefined;
      closeSync(file);
    },
  };
}
