/** Keeps the event loop responsive: fast work runs at once until it has taken its share, the rest gives way between slices. */

/** What may be spent on work without a pause before others get a turn, in milliseconds. */
const BUDGET_MS = 3;
/** Without work for longer than this there was nothing to do: a new budget begins. Reading the next message takes less. */
const PAUSE_MS = 0.05;
/** Operations of one batch that wait for the thread pool at the same time: the pool's own size. */
const POOL_WIDTH = 4;
/** Threads of the pool that work of tenths of seconds (key generation, SLH-DSA) may hold: the others stay for shorter work. */
const LONG_WIDTH = 2;

export interface Scheduler {
  /**
   * Whether nothing else is to be done: there was no work just before, and the thread pool has none. Then a thread of the
   * pool would add a hand-over and win nothing.
   */
  alone(): boolean;
  /** `work` on every item, in order of the answers; errors stay with their item. A plain array when no waiting was needed. */
  each<I, R>(items: readonly I[], work: (item: I) => R): (R | Error)[] | Promise<(R | Error)[]>;
  /** The same for work that waits for the thread pool. */
  pooled<I, R>(items: readonly I[], work: (item: I) => Promise<R>): Promise<(R | Error)[]>;
  /** Work that holds a thread of the pool for long: in turn, so that it never holds all of them. */
  long<R>(work: () => Promise<R>): Promise<R>;
}

export function createScheduler(now: () => number = () => performance.now()): Scheduler {
  let busySince = -Infinity;
  let lastWork = -Infinity;
  let turn: Promise<void> | undefined;

  const paused = (at: number): boolean => at - lastWork > PAUSE_MS;
  const exhausted = (): boolean => {
    const at = now();
    if (paused(at)) busySince = at;
    lastWork = at;
    return at - busySince > BUDGET_MS;
  };
  /** All who give way share the next turn and its budget. */
  const nextTurn = (): Promise<void> => {
    turn ??= new Promise((resolve) =>
      setImmediate(() => {
        turn = undefined;
        busySince = lastWork = now();
        resolve();
      }),
    );
    return turn;
  };

  const attempt = <I, R>(work: (item: I) => R, item: I): R | Error => {
    try {
      return work(item);
    } catch (error) {
      return error as Error;
    }
  };

  /** Items done in this turn are added to `results`; returns where it stopped. */
  const slice = <I, R>(items: readonly I[], work: (item: I) => R, results: (R | Error)[]): void => {
    while (results.length < items.length && !exhausted()) {
      results.push(attempt(work, items[results.length] as I));
      lastWork = now();
    }
  };

  let pooledRunning = 0;
  let longRunning = 0;
  const longWaiting: (() => void)[] = [];

  return {
    alone() {
      return pooledRunning === 0 && paused(now());
    },
    async long(work) {
      if (longRunning >= LONG_WIDTH) await new Promise<void>((resolve) => longWaiting.push(resolve));
      else longRunning += 1;
      try {
        return await work();
      } finally {
        const next = longWaiting.shift();
        if (next === undefined) longRunning -= 1;
        else next();
      }
    },
    each(items, work) {
      const results: ReturnType<typeof work>[] = [];
      slice(items, work, results);
      if (results.length === items.length) return results;
      return (async () => {
        while (results.length < items.length) {
          // oxlint-disable-next-line no-await-in-loop -- the point is to give way
          await nextTurn();
          slice(items, work, results);
        }
        return results;
      })();
    },
    async pooled<I, R>(items: readonly I[], work: (item: I) => Promise<R>) {
      const results: (R | Error)[] = Array.from({ length: items.length });
      let next = 0;
      const worker = async (): Promise<void> => {
        while (next < items.length) {
          const index = next++;
          // oxlint-disable-next-line no-await-in-loop -- a few workers share the items
          results[index] = await work(items[index] as I).catch((error: unknown) => error as Error);
        }
      };
      pooledRunning += 1;
      try {
        await Promise.all(Array.from({ length: Math.min(POOL_WIDTH, items.length) }, worker));
      } finally {
        pooledRunning -= 1;
      }
      return results;
    },
  };
}
