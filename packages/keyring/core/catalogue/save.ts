import type { Action } from "../actions.ts";
import { commit, type Core } from "../core.ts";
import type { Note } from "../guard.ts";
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

/** A change of one key: alone on that name, authorized, saved, recorded. */
export function changeKey(
  core: Core,
  caller: Caller,
  action: Action,
  name: string,
  change: (record: KeyRecord, note: Note) => Promise<KeyRecord> | KeyRecord,
): Promise<KeyView> {
  return core.locks.run(`key/${name}`, () =>
    core.guard.key(caller, action, name, async (entry, note) => {
      const saved = await saveKey(core, await change(entry.record, note), note);
      return viewOf(core, saved);
    }),
  );
}

export async function viewOf(core: Core, record: KeyRecord): Promise<KeyView> {
  return keyView(record, await core.counters.read(record));
}
