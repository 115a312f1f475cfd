import { CasemateError } from "@casemate/foundation/errors";
import type { Core } from "../core.ts";
import { datedRecord } from "../lifecycle/dated.ts";
import { afterOf, limitOf, pageOf } from "../paging.ts";
import type { Row } from "../store.ts";
import type { KeyFilter, Keyring } from "../types.ts";
import { keyEntry } from "./key-cache.ts";
import { fromRow, primaryOf } from "./key-record.ts";
import { viewOf } from "./save.ts";

const MAX_PREFIX = 128;

/** In order of names. A page may hold fewer than `limit` where policy hides keys; `next` says whether there is more. */
export function listKeys(core: Core): Keyring["listKeys"] {
  return (caller, filter) =>
    core.guard.keyring(caller, "key.list", "", async (note) => {
      const limit = limitOf(filter);
      if (filter.prefix !== undefined && filter.prefix.length > MAX_PREFIX)
        throw new CasemateError("BAD_REQUEST", `prefix is longer than ${MAX_PREFIX} characters`);
      const now = core.clock.now();
      const rows = await candidates(core, filter, limit + 1, now);
      const page = pageOf(
        rows,
        limit,
        (row) => String(row.index["name"]),
        (row) => datedRecord(fromRow(row), now),
      );
      // Built-in policies look at roles alone; only others can hide single keys.
      const custom = core.policy.list().some((policy) => !policy.builtIn);
      const { state } = filter;
      // A date may have passed since the schedule wrote down the state that the store was asked for.
      const fitting =
        state === undefined ? page.items : page.items.filter((record) => primaryOf(record).state === state);
      const visible = custom ? fitting.filter((record) => core.guard.sees(caller, keyEntry(record))) : fitting;
      note.details = { keys: visible.length };
      return { ...page, items: await Promise.all(visible.map((record) => viewOf(core, record))) };
    });
}

/**
 * The first rows, by name, that may fit. The state in the store is as old as the last run of the schedule: with a filter by state, those
 * whose date has passed since are candidates whatever state is written down. They are found by their date, and there are few of them.
 */
async function candidates(core: Core, filter: KeyFilter, limit: number, now: number): Promise<readonly Row[]> {
  const { device, algorithm, state, prefix } = filter;
  const equals = { ...(device === undefined ? {} : { device }), ...(algorithm === undefined ? {} : { algorithm }) };
  const query = {
    ...(prefix === undefined ? {} : { prefix: { column: "name", text: prefix } }),
    order: "name",
    ...afterOf(filter),
    limit,
  };
  if (state === undefined) return core.store.find("key", { ...query, equals });
  const [written, due] = await Promise.all([
    core.store.find("key", { ...query, equals: { ...equals, state } }),
    core.store.find("key", { ...query, equals, atMost: { column: "due", value: now, rare: true } }),
  ]);
  if (due.length === 0) return written;
  const byId = new Map([...written, ...due].map((row) => [row.id, row]));
  return [...byId.values()].toSorted(byName).slice(0, limit);
}

/** As the store orders them: names are ASCII. */
function byName(a: Row, b: Row): number {
  return String(a.index["name"]) < String(b.index["name"]) ? -1 : 1;
}
