export interface Measured {
  readonly operations: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

interface Load {
  readonly seconds: number;
  readonly inFlight: number;
}

const WARM_UP = 20;

/** Runs `once` over and over, `inFlight` at a time, for `seconds`. Rejects with the first failure. */
export async function measure(once: () => Promise<unknown>, { seconds, inFlight }: Load): Promise<Measured> {
  for (let i = 0; i < WARM_UP; i++) await once();
  const times: number[] = [];
  const start = performance.now();
  const end = start + seconds * 1000;
  const worker = async (): Promise<void> => {
    for (let at = performance.now(); at < end;) {
      await once();
      const now = performance.now();
      times.push(now - at);
      at = now;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  const elapsed = (performance.now() - start) / 1000;
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { operations: times.length, perSecond: times.length / elapsed, p50Ms: at(0.5), p99Ms: at(0.99) };
}
