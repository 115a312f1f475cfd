import { CasemateError } from "@casemate/foundation/errors";
import type { Clock } from "@casemate/foundation/effects";
import { datedRecord, nextDate } from "../lifecycle/dated.ts";
import type { Store } from "../store.ts";
import { fromRow, primaryOf, type KeyRecord, type VersionRecord } from "./key-record.ts";

/** A key ready for use, with what the hot path would otherwise look up each time. Never changed, only replaced. */
export interface KeyEntry {
  readonly record: KeyRecord;
  readonly primary: VersionRecord;
  /** `key/NAME`, as audit names it. */
  readonly resource: string;
  /** When a date changes the state of a version next; Infinity for never. */
  readonly dueAt: number;
}

export function keyEntry(record: KeyRecord): KeyEntry {
  return {
    record,
    primary: primaryOf(record),
    resource: `key/${record.name}`,
    dueAt: Math.min(...record.versions.map(nextDate)),
  };
}

/** Hot keys by name, least recently used out first. Holds references and public facts only. */
export class KeyCache {
  readonly #store: Store;
  readonly #capacity: number;
  readonly #clock: Pick<Clock, "now">;
  readonly #entries = new Map<string, KeyEntry>();
  readonly #loads = new Map<string, Promise<KeyEntry>>();

  constructor(store: Store, capacity: number, clock: Pick<Clock, "now">) {
    this.#store = store;
    this.#clock = clock;
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The entry if it is here, without waiting. */
  peek(name: string): KeyEntry | undefined {
    const entry = this.#entries.get(name);
    // Moving to the end on each hit would dominate a cache that rarely overflows; do it only near the limit.
    if (entry !== undefined && this.#entries.size > this.#capacity / 2) {
      this.#entries.delete(name);
      this.#entries.set(name, entry);
    }
    return entry === undefined ? undefined : this.#current(entry);
  }

  /** States follow their dates at the moment of use; the schedule writes them down later. */
  #current(entry: KeyEntry): KeyEntry {
    if (entry.dueAt === Infinity) return entry;
    const now = this.#clock.now();
    return entry.dueAt > now ? entry : keyEntry(datedRecord(entry.record, now));
  }

  /** As it is stored, before its dates are looked at. @throws NOT_FOUND, TAMPER_DETECTED, STORAGE_FAILED. */
  async stored(name: string): Promise<KeyRecord> {
    return (await this.#read(name)).record;
  }

  /** @throws NOT_FOUND, TAMPER_DETECTED, STORAGE_FAILED. */
  async load(name: string): Promise<KeyEntry> {
    return this.#current(await this.#load(name));
  }

  async #load(name: string): Promise<KeyEntry> {
    const running = this.#loads.get(name);
    if (running !== undefined) return running;
    const load = this.#read(name);
    this.#loads.set(name, load);
    try {
      const entry = await load;
      // A change meanwhile has put newer state, or asked to forget.
      if (this.#loads.get(name) === load) this.put(entry);
      return entry;
    } finally {
      if (this.#loads.get(name) === load) this.#loads.delete(name);
    }
  }

  put(entry: KeyEntry): void {
    this.forget(entry.record.name);
    this.#entries.set(entry.record.name, entry);
    if (this.#entries.size > this.#capacity) {
      const oldest = this.#entries.keys().next().value;
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
  }

  forget(name: string): void {
    this.#loads.delete(name);
    this.#entries.delete(name);
  }

  clear(): void {
    this.#loads.clear();
    this.#entries.clear();
  }

  async #read(name: string): Promise<KeyEntry> {
    const row = await this.#store.get("key", "name", name);
    if (row === undefined)
      throw new CasemateError("NOT_FOUND", `no key is called ${JSON.stringify(name.slice(0, 128))}`, {
        hint: "casemate key list shows the keys that you may see.",
      });
    return keyEntry(fromRow(row));
  }
}
