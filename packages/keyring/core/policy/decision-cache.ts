import type { Decision } from "../types.ts";

interface Entry {
  readonly revision: number;
  readonly decision: Decision;
}

/** Keeps the decisions asked for lately: two generations, the older dropped when the younger is full, so nothing is ever sorted. */
export class DecisionCache {
  readonly #limit: number;
  #young = new Map<string, Entry>();
  #old = new Map<string, Entry>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: string, revision: number): Decision | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young.revision === revision ? young.decision : undefined;
    const old = this.#old.get(key);
    if (old === undefined || old.revision !== revision) return undefined;
    this.#keep(key, old);
    return old.decision;
  }

  set(key: string, revision: number, decision: Decision): void {
    this.#keep(key, { revision, decision });
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
  }

  #keep(key: string, entry: Entry): void {
    if (this.#young.size >= this.#limit) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, entry);
  }
}
