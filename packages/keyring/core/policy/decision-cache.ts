import type { Decision } from "../types.ts";

/** Keeps the decisions asked for lately: two generations, the older dropped when the younger is full, so nothing is ever sorted. */
export class DecisionCache {
  readonly #limit: number;
  #young = new Map<string, Decision>();
  #old = new Map<string, Decision>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: string): Decision | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: string, decision: Decision): void {
    if (this.#young.size >= this.#limit) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, decision);
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
  }
}
