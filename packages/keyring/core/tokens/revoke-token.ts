import { CasemateError } from "@casemate/foundation/errors";
import { commit, type Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { tokenFromRow, tokenToRow, tokenView } from "./token-record.ts";

/** Holds from the moment it resolves, for requests that are already on their way too. Revoking twice changes nothing. */
export function revokeToken(core: Core): Keyring["revokeToken"] {
  return (caller, id) =>
    core.locks.run("token", () =>
      core.guard.keyring(caller, "token.revoke", `token/${id.slice(0, 64)}`, async (note) => {
        const row = await core.store.get("token", "id", id);
        if (row === undefined)
          throw new CasemateError("NOT_FOUND", "no such token", { hint: "casemate token list --all shows their ids." });
        const record = tokenFromRow(row);
        if (record.revokedAt !== undefined) return tokenView(record);
        const lastUsedAt = core.tokens.peek(id)?.lastUsedAt ?? record.lastUsedAt;
        const next = {
          ...record,
          revision: record.revision + 1,
          revokedAt: core.clock.now(),
          ...(lastUsedAt === undefined ? {} : { lastUsedAt }),
        };
        const generation = await commit(core, [{ kind: "put", collection: "token", row: tokenToRow(next) }]);
        core.tokens.replace(next);
        core.changes.tell({ what: "token", name: id });
        note.details = { principal: record.principal, generation };
        return tokenView(next);
      }),
    );
}
