/** 100 000 keys against 100: a page of the list, the record and the use of one key, and start-up. Fake device, real storage. */
import assert from "node:assert/strict";
import { toUtf8 } from "@casemate/foundation/bytes";
import type { Change, Store } from "@casemate/keyring/core";
import { temporaryKeyring, type TemporaryKeyring } from "@casemate/testkit/fakes";
import { fromRow, toRow, type KeyRecord } from "../packages/keyring/core/catalogue/key-record.ts";

const MANY = 100_000;
const input = toUtf8("x");

/** Copies one real key under many names, straight into the store: what matters here is the size of the catalogue. */
async function populate(store: Store, audit: TemporaryKeyring["audit"], count: number): Promise<void> {
  const row = await store.get("key", "name", "sample");
  assert.ok(row);
  const sample = fromRow(row);
  for (let start = 0; start < count; start += 10_000) {
    const changes = Array.from({ length: Math.min(10_000, count - start) }, (_, offset): Change => {
      const number = String(start + offset).padStart(6, "0");
      const record: KeyRecord = { ...sample, id: `id-${number}`, name: `key-${number}`, revision: 1 };
      return { kind: "put", collection: "key", row: toRow(record) };
    });
    await store.commit(changes, audit.head);
  }
}

/** Best of several rounds, in ms: noise only ever adds. */
async function best(work: () => Promise<unknown>, rounds: number): Promise<number> {
  let least = Infinity;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    await work();
    least = Math.min(least, performance.now() - start);
  }
  return least;
}

interface Figures {
  readonly page: number;
  readonly get: number;
  readonly sign: number;
  readonly start: number;
}

async function measure(count: number): Promise<Figures> {
  let store: Store | undefined;
  await using t = await temporaryKeyring({ wrapStore: (inner) => (store = inner), cacheSize: 10 });
  await t.keyring.createKey(t.admin, { name: "sample", algorithm: "ed25519" });
  assert.ok(store);
  await populate(store, t.audit, count);
  await t.reopen();
  const start = await best(() => t.reopen(), 3);
  const { keyring, admin } = t;
  let turn = 0;
  // Another key each time, far apart, and a small cache: the store answers, for few keys and for many.
  const anyName = (): string => `key-${String((turn++ * 7919) % count).padStart(6, "0")}`;
  const page = await best(() => keyring.listKeys(admin, { limit: 100, prefix: "key-" }), 40);
  const get = await best(() => Promise.all(Array.from({ length: 20 }, () => keyring.getKey(admin, anyName()))), 40);
  const request = { kind: "message", inputs: [input] } as const;
  const sign = await best(
    () => Promise.all(Array.from({ length: 20 }, () => keyring.sign(admin, anyName(), request))),
    20,
  );
  return { page, get, sign, start };
}

export interface CatalogueFigure {
  readonly what: string;
  /** Milliseconds, best of several rounds. */
  readonly few: number;
  readonly many: number;
}

export async function catalogueFigures(): Promise<readonly CatalogueFigure[]> {
  const few = await measure(100);
  const many = await measure(MANY);
  const names = { page: "page of 100", get: "20 keys read", sign: "20 keys used", start: "start-up" } as const;
  return (Object.keys(names) as (keyof Figures)[]).map((figure) => ({
    what: names[figure],
    few: few[figure],
    many: many[figure],
  }));
}
