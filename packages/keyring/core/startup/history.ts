import { CasemateError } from "@casemate/foundation/errors";
import { DATABASE_BEHIND_HINT, LOG_BEHIND_HINT } from "../audit/database-comparison.ts";
import type { Core } from "../core.ts";
import type { AuditLog } from "../ports.ts";
import type { Store } from "../store.ts";

const SLICE = 1000;

const DROP = "storage.drop";

/** Says that rows lose their MACs, before they do: `checkUnkeyed` looks for it. @throws STORAGE_FULL, STORAGE_FAILED. */
export function recordDrop(core: Core, reason: string): Promise<void> {
  const entry = {
    principal: "casemate",
    source: "keyring",
    action: DROP,
    resource: "",
    outcome: "ok",
    count: 1,
    details: { keyed: false, reason },
  };
  return core.recorder.append(entry, "reserved");
}

/** Newest records looked through for the last word on the storage key. */
const KEYED_SCAN = 5_000_000;

/**
 * A store without row MACs is right on a first start and after a zeroization alone; whoever stripped them to have a
 * changed database sealed anew is betrayed by the log, whose start records say that there was a key. Tells whether there was one that
 * went with its device. @throws TAMPER_DETECTED.
 */
export async function checkUnkeyed(audit: AuditLog): Promise<boolean> {
  let cursor: string | undefined;
  let unkeyed = false;
  for (let seen = 0; seen < KEYED_SCAN; seen += SLICE) {
    const page = await audit.records({ limit: SLICE, ...(cursor === undefined ? {} : { cursor }) });
    for (const { index, action, details } of page.items) {
      const keyed = details["keyed"];
      if (keyed === false && action === DROP) return true;
      unkeyed ||= keyed === false;
      if (keyed === true && !unkeyed)
        throw new CasemateError(
          "TAMPER_DETECTED",
          `the database was replaced or has lost its seals: record ${index} of the audit log says that it had them`,
          { hint: DATABASE_BEHIND_HINT, details: { record: index } },
        );
    }
    cursor = page.next;
    if (cursor === undefined) break;
  }
  return false;
}

/**
 * Database and audit log watch each other: each commit keeps the log's head, each record of a change names the
 * commit's generation. Whichever was put back to an older state no longer fits. @throws TAMPER_DETECTED.
 */
export async function checkHistory(store: Store, audit: AuditLog): Promise<void> {
  const { generation, audit: then } = await store.head();
  if (audit.head.size < then.size)
    throw new CasemateError(
      "TAMPER_DETECTED",
      `the audit log was cut or rolled back: it has ${audit.head.size} records, the database has seen ${then.size}`,
      { hint: LOG_BEHIND_HINT, details: { record: audit.head.size } },
    );
  if (then.size > 0) {
    const [seen] = (await audit.records({ from: then.size - 1, limit: 1 })).items;
    if (seen?.hash !== then.hash)
      throw new CasemateError(
        "TAMPER_DETECTED",
        `record ${then.size - 1} of the audit log is not the one that the database has seen`,
        { hint: LOG_BEHIND_HINT, details: { record: then.size - 1 } },
      );
  }
  let cursor: string | undefined;
  if (audit.head.size === then.size) return;
  do {
    const page = await audit.records({
      from: then.size,
      limit: SLICE,
      ...(cursor === undefined ? {} : { cursor }),
    });
    for (const { index, details } of page.items) {
      const known = details["generation"];
      if (typeof known === "number" && known > generation)
        throw new CasemateError(
          "TAMPER_DETECTED",
          `the database was rolled back: record ${index} of the audit log names its generation ${known}, it is at ${generation}`,
          { hint: DATABASE_BEHIND_HINT, details: { record: index } },
        );
    }
    cursor = page.next;
  } while (cursor !== undefined);
}
