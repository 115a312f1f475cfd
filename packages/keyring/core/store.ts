/** Where the keyring keeps its rows. Small on purpose: typed rows live in the core, tables and transactions behind this port. */
import type { AuditHead } from "./ports.ts";

/** Collections and their indexed columns, declared once. Values of these columns come from the core and are covered by the row's MAC. */
export const COLLECTIONS = {
  /** `due`: milliseconds of the next scheduled change; `ref`: SHA-256 of the newest key reference. */
  key: { name: "text", device: "text", state: "text", algorithm: "text", due: "integer", ref: "text" },
  /** Reserved uses of one key version; id `KEYID:VERSION`. */
  use: {},
  token: { principal: "text" },
  policy: {},
  object: { token_label: "text", class: "integer", label: "text", cka_id: "text" },
  /** Casemate's own keys. */
  internal: {},
} as const satisfies Record<string, Record<string, "text" | "integer">>;

export type Collection = keyof typeof COLLECTIONS;
export type Cell = string | number | null;

export interface Row {
  readonly id: string;
  /** 1 for a new row, then one more with each change. */
  readonly revision: number;
  /** JSON. */
  readonly body: string;
  readonly index: Readonly<Record<string, Cell>>;
}

/** A put of revision n replaces revision n-1 (or nothing, for 1); a delete names the revision it removes. */
export type Change =
  | { readonly kind: "put"; readonly collection: Collection; readonly row: Row }
  | { readonly kind: "delete"; readonly collection: Collection; readonly id: string; readonly revision: number };

export interface StoreQuery {
  readonly equals?: Readonly<Record<string, string | number>>;
  readonly prefix?: { readonly column: string; readonly text: string };
  /** Rows whose column is set and at most this; `rare` where few are, so that these are read and sorted, and no others. */
  readonly atMost?: { readonly column: string; readonly value: number; readonly rare?: boolean };
  /** Unique text column to walk along: `id` or a unique index. */
  readonly order: string;
  readonly after?: string;
  readonly limit: number;
}

export interface StoreHead {
  /** Grows by one with each commit. */
  readonly generation: number;
  /** Audit log as it stood at that commit. */
  readonly audit: AuditHead;
  readonly rows: number;
}

/**
 * `new`: no storage key was ever set, rows carry no MAC yet. `sealed`: the key is needed and not here: reads are
 * unverified, writes refused. `open`: every row read is verified.
 */
export type StoreState = "new" | "sealed" | "open";

/** All methods may reject with STORAGE_FAILED; reads of an open store with TAMPER_DETECTED naming the row. */
export interface Store {
  readonly state: StoreState;
  /** Sets the 32-byte key of row MACs, verifies the head, and seals all rows of a new store. @throws TAMPER_DETECTED. */
  useKey(key: Uint8Array): Promise<void>;
  /**
   * Back to `new`, because the device that held the storage key has lost it: rows lose their MACs until the next key.
   * Works while sealed too; `changes` are made in the same transaction.
   */
  dropKey(changes: readonly Change[], audit: AuditHead): Promise<void>;
  head(): Promise<StoreHead>;
  get(collection: Collection, column: string, value: string): Promise<Row | undefined>;
  find(collection: Collection, query: StoreQuery): Promise<readonly Row[]>;
  count(collection: Collection, equals?: Readonly<Record<string, string | number>>): Promise<number>;
  /** How many rows there are of each value of a column, in the order of values; not verified. */
  countBy(collection: Collection, column: string): Promise<ReadonlyMap<string, number>>;
  /** All or nothing; durable when it resolves with the new generation. @throws STORAGE_FULL, CONFLICT, ALREADY_EXISTS, DEVICE_LOCKED while sealed. */
  commit(changes: readonly Change[], audit: AuditHead): Promise<number>;
  /**
   * Reads every row in slices, looks it up through each index, and compares with the head. @throws TAMPER_DETECTED naming the first bad row
   * or index, or that rows are missing or old.
   */
  check(): Promise<void>;
  close(): Promise<void>;
}
