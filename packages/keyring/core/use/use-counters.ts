import { CasemateError } from "@casemate/foundation/errors";
import { primaryOf, type KeyRecord, type VersionRecord } from "../catalogue/key-record.ts";
import type { Locks } from "../locks.ts";
import type { Change, Store } from "../store.ts";

/** SP 800-38D §8.3: at most 2^32 encryptions with nonces chosen at random or by other devices under one AES key. */
const AES_LIMIT = 2 ** 32;
/** Most uses reserved by one durable write. */
const MAX_BLOCK = 65_536;

interface Counter {
  readonly id: string;
  revision: number;
  /** What the store says. With a limit it runs ahead of `used`, without it lags behind. */
  stored: number;
  used: number;
  limited: boolean;
}

/**
 * Uses per key version. Where a limit holds, a block of uses is reserved durably before the first of it happens, so a
 * crash may waste uses but never grants one twice. Without a limit the number is written now and then.
 */
export class UseCounters {
  readonly #store: Store;
  readonly #locks: Locks;
  readonly #commit: (changes: readonly Change[]) => Promise<number>;
  readonly #counters = new Map<string, Counter>();

  constructor(store: Store, locks: Locks, commit: (changes: readonly Change[]) => Promise<number>) {
    this.#store = store;
    this.#locks = locks;
    this.#commit = commit;
  }

  /** Takes `count` uses; undefined when they were at hand, else resolves once reserved. @throws KEY_LIMIT. */
  take(record: KeyRecord, version: VersionRecord, count: number): Promise<void> | undefined {
    const limit = limitOf(record);
    const id = `${record.id}:${version.version}`;
    const counter = this.#counters.get(id);
    if (counter !== undefined && (limit === undefined || (counter.limited && counter.used + count <= counter.stored))) {
      if (limit !== undefined && counter.used + count > limit) throw exhausted(record, limit);
      counter.used += count;
      return undefined;
    }
    return this.#locks.run("use", () => this.#reserve(record, id, limit, count));
  }

  /** Uses of the primary version. */
  async read(record: KeyRecord): Promise<number> {
    const id = `${record.id}:${primaryOf(record).version}`;
    const counter = this.#counters.get(id);
    if (counter !== undefined) return counter.used;
    const row = await this.#store.get("use", "id", id);
    return row === undefined ? 0 : usesOf(row.body);
  }

  /** Writes what lags behind; with `exact` also gives back what was reserved and not used, for an orderly end. */
  flush(exact = false): Promise<void> {
    return this.#locks.run("use", () => this.#flush(exact));
  }

  async #flush(exact: boolean): Promise<void> {
    if (this.#store.state === "sealed") return;
    const moved = [...this.#counters.values()].filter((counter) =>
      exact ? counter.used !== counter.stored : counter.used > counter.stored,
    );
    for (let start = 0; start < moved.length; start += 500) {
      const slice = moved.slice(start, start + 500);
      const values = slice.map((counter) => counter.used);
      await this.#commit(slice.map((counter, index) => put(counter, values[index] ?? counter.used)));
      slice.forEach((counter, index) => {
        counter.stored = values[index] ?? counter.used;
        counter.revision += 1;
      });
    }
    for (const counter of this.#counters.values()) {
      if (counter.used === counter.stored) this.#counters.delete(counter.id);
    }
  }

  clear(): void {
    this.#counters.clear();
  }

  async #reserve(record: KeyRecord, id: string, limit: number | undefined, count: number): Promise<void> {
    let counter = this.#counters.get(id);
    if (counter === undefined) {
      const row = await this.#store.get("use", "id", id);
      const stored = row === undefined ? 0 : usesOf(row.body);
      counter = { id, revision: row?.revision ?? 0, stored, used: stored, limited: false };
      this.#counters.set(id, counter);
    }
    if (limit === undefined) {
      counter.limited = false;
      counter.used += count;
      return;
    }
    const after = counter.used + count;
    if (after > limit) throw exhausted(record, limit);
    if (after > counter.stored || !counter.limited) {
      const block = Math.min(MAX_BLOCK, Math.max(count, Math.floor(limit / 100)));
      const reserved = Math.min(limit, counter.used + Math.max(block, count));
      await this.#commit([put(counter, reserved)]);
      counter.stored = reserved;
      counter.revision += 1;
      counter.limited = true;
    }
    counter.used += count;
  }
}

function put(counter: Counter, uses: number): Change {
  return {
    kind: "put",
    collection: "use",
    row: { id: counter.id, revision: counter.revision + 1, body: JSON.stringify({ uses }), index: {} },
  };
}

function usesOf(body: string): number {
  return (JSON.parse(body) as { uses: number }).uses;
}

function limitOf(record: KeyRecord): number | undefined {
  const own = record.algorithm.startsWith("aes-") && record.usages.includes("encrypt") ? AES_LIMIT : undefined;
  if (record.useLimit === undefined) return own;
  return own === undefined ? record.useLimit : Math.min(own, record.useLimit);
}

function exhausted(record: KeyRecord, limit: number): CasemateError {
  return new CasemateError("KEY_LIMIT", `${record.name} has reached its limit of ${limit} uses`, {
    hint: `Rotate it: casemate key rotate ${record.name}.`,
    details: { limit },
  });
}
