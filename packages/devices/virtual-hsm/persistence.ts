/** Getting state to the host and knowing that it is durable: many changes share one save. */
import type { SaveOutcome } from "@casemate/protocols/hsm";
import { refuse } from "./refuse.ts";

export interface Persistence {
  /** Resolves when a state with everything changed until now is durable. @throws STORAGE_FULL, STORAGE_FAILED */
  save(): Promise<void>;
  /** The host's word on a save. */
  settled(sequence: bigint, outcome: SaveOutcome): void;
}

interface Options {
  /** The state as it is now, sealed. Called once for each save. */
  seal(): { readonly bytes: Uint8Array; readonly onKept: () => void };
  send(sequence: bigint, sealed: Uint8Array): void;
}

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

export function createPersistence(options: Options): Persistence {
  let sequence = 0n;
  let inFlight: { readonly sequence: bigint; readonly waiters: Waiter[]; readonly onKept: () => void } | undefined;
  let waiting: Waiter[] = [];

  const start = (): void => {
    const waiters = waiting;
    waiting = [];
    try {
      const { bytes, onKept } = options.seal();
      sequence += 1n;
      inFlight = { sequence, waiters, onKept };
      options.send(sequence, bytes);
    } catch (error) {
      inFlight = undefined;
      for (const waiter of waiters) waiter.reject(error);
    }
  };

  return {
    save() {
      return new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        // At the end of the tick, so that one save carries all that this tick changes.
        if (inFlight === undefined && waiting.length === 1)
          queueMicrotask(() => {
            if (inFlight === undefined && waiting.length > 0) start();
          });
      });
    },
    settled(settledSequence, outcome) {
      if (inFlight?.sequence !== settledSequence) {
        throw refuse("BAD_REQUEST", `no save ${settledSequence} is waiting for an answer`);
      }
      const { waiters, onKept } = inFlight;
      inFlight = undefined;
      if (outcome === "kept") onKept();
      for (const waiter of waiters) {
        if (outcome === "kept") waiter.resolve();
        else if (outcome === "full")
          waiter.reject(
            refuse("STORAGE_FULL", "the disk is full: the device's state was not saved", "Free space, then try again."),
          );
        else waiter.reject(refuse("STORAGE_FAILED", "the device's state was not saved", "See the server's log."));
      }
      if (waiting.length > 0) start();
    },
  };
}
