import { createHash } from "node:crypto";
import { CasemateError } from "@casemate/foundation/errors";
import { commit, type Core } from "../core.ts";
import type { Change, Row, Store } from "../store.ts";
import { checkWellFormed } from "../text.ts";
import type { Caller, Keyring } from "../types.ts";

const MAX_POLICIES = 1000;

/** Holds for every decision after it resolves. */
export function setPolicy(core: Core): Keyring["setPolicy"] {
  return (caller, id, text) =>
    core.locks.run("policy", () =>
      core.guard.keyring(caller, "policy.set", `policy/${id.slice(0, 128)}`, async (note) => {
        note.details = { bytes: text.length, sha256: createHash("sha256").update(text).digest("hex") };
        checkWellFormed("a policy", text);
        if (core.policy.list().some((policy) => policy.builtIn && policy.id === id))
          throw new CasemateError("BAD_REQUEST", `policy ${id} is built in and stays as it is`, {
            hint: "Write a policy of your own beside it; forbid wins.",
          });
        const row = await core.store.get("policy", "id", id);
        const removing = text.trim() === "";
        if (removing && row === undefined)
          throw new CasemateError("NOT_FOUND", `no policy is called ${id.slice(0, 128)}`);
        if (!removing) {
          core.policy.validate(id, text);
          refuseLockOut(core, caller, id, text);
        }
        const generation = await commit(core, [change(id, text, removing, row)]);
        note.details = { ...note.details, generation };
        await loadPolicies(core.store, core.policy);
        core.changes.tell({ what: "all" });
      }),
    );
}

/** Whoever sets a policy must be able to take it back. */
function refuseLockOut(core: Core, caller: Caller, id: string, text: string): void {
  const [after] = core.policy.tryOut(text, [{ caller, action: "policy.set", resource: { type: "keyring" } }]);
  if (after?.allowed === true) return;
  throw new CasemateError(
    "CONFIG_INVALID",
    `policy ${id} would forbid ${caller.principal} to set policies: it could not be taken back`,
    {
      hint: 'Except those who administer, for example: unless { principal in Role::"admin" }.',
    },
  );
}

export async function loadPolicies(store: Store, policy: Core["policy"]): Promise<void> {
  const rows = await store.find("policy", { order: "id", limit: MAX_POLICIES });
  policy.replace(rows.map((row) => ({ id: row.id, text: (JSON.parse(row.body) as { text: string }).text })));
}

function change(id: string, text: string, removing: boolean, row: Row | undefined): Change {
  const revision = row?.revision ?? 0;
  if (removing) return { kind: "delete", collection: "policy", id, revision };
  return {
    kind: "put",
    collection: "policy",
    row: { id, revision: revision + 1, body: JSON.stringify({ text }), index: {} },
  };
}
