/** Counters by Prometheus series name. No names of keys or people. */
export class Metrics {
  readonly #counters = new Map<string, number>();

  add(series: string, amount = 1): void {
    this.#counters.set(series, (this.#counters.get(series) ?? 0) + amount);
  }

  read(): Record<string, number> {
    return Object.fromEntries(this.#counters);
  }
}
