import type { Store } from "../store.ts";
import { tokenFromRow, type TokenRecord } from "./token-record.ts";

export interface TokenEntry {
  record: TokenRecord;
  /** Milliseconds; written to the store lazily. */
  lastUsedAt: number | undefined;
  /** Sources whose first authentication is on record. */
  readonly seen: Set<string>;
}

/** Tokens lately used. Holds hashes, never secrets; a revocation replaces the entry at once. */
export class TokenCache {
  readonly #store: Store;
  readonly #capacity: number;
  readonly #entries = new Map<string, TokenEntry>();
  /** Not in the store yet: nothing can be written to it while it is sealed. */
  #waiting: TokenEntry | undefined;
  #epoch = 0;

  constructor(store: Store, capacity: number) {
    this.#store = store;
    this.#capacity = capacity;
  }

  peek(id: string): TokenEntry | undefined {
    return this.#waiting?.record.id === id ? this.#waiting : this.#entries.get(id);
  }

  get waiting(): TokenRecord | undefined {
    return this.#waiting?.record;
  }

  /** Lets a token be used before it is kept, or no longer. */
  wait(record: TokenRecord | undefined): void {
    this.#waiting = record === undefined ? undefined : { record, lastUsedAt: undefined, seen: new Set() };
  }

  async load(id: string): Promise<TokenEntry | undefined> {
    const epoch = this.#epoch;
    const row = await this.#store.get("token", "id", id);
    if (row === undefined) return undefined;
    const record = tokenFromRow(row);
    const present = this.#entries.get(id);
    if (present !== undefined) return present;
    const entry = { record, lastUsedAt: record.lastUsedAt, seen: new Set<string>() };
    if (epoch !== this.#epoch) return entry;
    this.#entries.set(id, entry);
    if (this.#entries.size > this.#capacity) {
      const oldest = this.#entries.keys().next().value;
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    return entry;
  }

  /** A new state of a token that was just committed. */
  replace(record: TokenRecord): void {
    this.#epoch += 1;
    const entry = this.#entries.get(record.id);
    if (entry !== undefined) entry.record = record;
  }

  /** Entries used since their row was written. */
  moved(byMs: number): TokenEntry[] {
    return [...this.#entries.values()].filter(
      ({ record, lastUsedAt }) =>
        lastUsedAt !== undefined && lastUsedAt - (record.lastUsedAt ?? 0) >= byMs && record.revokedAt === undefined,
    );
  }

  clear(): void {
    this.#epoch += 1;
    this.#entries.clear();
  }
}
