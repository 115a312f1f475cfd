import type { Action } from "../actions.ts";
import { commit, type Core } from "../core.ts";
import type { Note } from "../guard.ts";
import { datedRecord, datesDone } from "../lifecycle/dated.ts";
import type { Caller, KeyView } from "../types.ts";
import { keyEntry } from "./key-cache.ts";
import { toRow, type KeyRecord } from "./key-record.ts";
import { keyView } from "./key-view.ts";

/** Makes a new state durable, then visible. `record.revision` is the one it replaces; the answer carries the next. */
export async function saveKey(core: Core, record: KeyRecord, note?: Note): Promise<KeyRecord> {
  const next = { ...record, revision: record.revision + 1 };
  try {
    const generation = await commit(core, [{ kind: "put", collection: "key", row: toRow(next) }]);
    if (note !== undefined) note.details = { ...note.details, generation };
  } catch (error) {
    core.keys.forget(record.name);
    throw error;
  }
  core.keys.put(keyEntry(next));
  core.changes.tell({ what: "key", name: next.name });
  return next;
}

/** Work that changes one key: alone on that name, authorized, recorded. */
export function alone<T>(
  core: Core,
  caller: Caller,
  action: Action,
  name: string,
  work: (record: KeyRecord, note: Note) => Promise<T>,
): Promise<T> {
  return core.locks.run(`key/${name}`, () =>
    core.guard.key(caller, action, name, async ({ record }, note) => work(await settleDates(core, record), note)),
  );
}

/** A date that passed since the schedule ran is written down and put on record before a change that would otherwise hide it. */
async function settleDates(core: Core, record: KeyRecord): Promise<KeyRecord> {
  const stored = await core.keys.stored(record.name);
  const dated = datedRecord(stored, core.clock.now());
  if (dated === stored) return record;
  const note: Note = { count: 1 };
  const saved = await saveKey(core, dated, note);
  await recordSchedule(core, record.name, "ok", note, datesDone(stored, dated));
  return saved;
}

/** What a key's dates did, as its audit record. */
export function recordSchedule(
  core: Core,
  name: string,
  outcome: string,
  note: Note,
  done: readonly string[],
): Promise<void> {
  core.metrics.add(`casemate_schedule_total{outcome="${outcome}"}`);
  const entry = {
    principal: "casemate",
    source: "schedule",
    action: "schedule",
    resource: `key/${name}`,
    outcome,
    count: 1,
    details: { ...note.details, done: done.join(",") },
  };
  const changed = done.length > 0 || note.details?.["generation"] !== undefined;
  return core.recorder.append(entry, changed ? "reserved" : "durable");
}

/** A change of one key that is saved as a whole. */
export function changeKey(
  core: Core,
  caller: Caller,
  action: Action,
  name: string,
  change: (record: KeyRecord, note: Note) => Promise<KeyRecord> | KeyRecord,
): Promise<KeyView> {
  return alone(core, caller, action, name, async (record, note) =>
    viewOf(core, await saveKey(core, await change(record, note), note)),
  );
}

export async function viewOf(core: Core, record: KeyRecord): Promise<KeyView> {
  return keyView(record, await core.counters.read(record));
}
