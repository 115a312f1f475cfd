/** Where time comes from. Milliseconds since the epoch, and a monotonic reading for durations. */
export interface Clock {
  now(): number;
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

export interface ManualClock extends Clock {
  /** Moves both readings forward by `ms`. */
  advance(ms: number): void;
  /** Sets the wall clock alone, as an administrator or NTP would. */
  set(now: number): void;
}

/** A clock that moves only when told: for tests. */
export function manualClock(start = 0): ManualClock {
  let wall = start;
  let mono = 0;
  return {
    now: () => wall,
    monotonic: () => mono,
    advance(ms) {
      wall += ms;
      mono += ms;
    },
    set(now) {
      wall = now;
    },
  };
}
