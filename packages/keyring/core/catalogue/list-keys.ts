import { CasemateError } from "@casemate/foundation/errors";
import type { Core } from "../core.ts";
import { datedRecord } from "../lifecycle/dated.ts";
import { afterOf, limitOf, pageOf } from "../paging.ts";
import type { Keyring } from "../types.ts";
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
      const rows = await core.store.find("key", {
        equals: {
          ...(filter.device === undefined ? {} : { device: filter.device }),
          ...(filter.state === undefined ? {} : { state: filter.state }),
          ...(filter.algorithm === undefined ? {} : { algorithm: filter.algorithm }),
        },
        ...(filter.prefix === undefined ? {} : { prefix: { column: "name", text: filter.prefix } }),
        order: "name",
        ...afterOf(filter),
        limit: limit + 1,
      });
      const now = core.clock.now();
      const page = pageOf(
        rows,
        limit,
        (row) => String(row.index["name"]),
        (row) => datedRecord(fromRow(row), now),
      );
      // Built-in policies look at roles alone; only others can hide single keys.
      const custom = core.policy.list().some((policy) => !policy.builtIn);
      const { state } = filter;
      // A date may have passed since the schedule wrote the state down that the store was asked for.
      const fitting =
        state === undefined ? page.items : page.items.filter((record) => primaryOf(record).state === state);
      const visible = custom ? fitting.filter((record) => core.guard.sees(caller, keyEntry(record))) : fitting;
      note.details = { keys: visible.length };
      return { ...page, items: await Promise.all(visible.map((record) => viewOf(core, record))) };
    });
}
