import type { Core } from "../core.ts";
import type { Note } from "../guard.ts";
import type { TokenView } from "../types.ts";
import { addToken } from "./create-token.ts";
import { tokenFromRow, type TokenRecord } from "./token-record.ts";

/**
 * An administrator token for whoever owns the data directory; earlier ones made so are revoked.
 * For the composition root alone: no interface reaches it.
 */
export function bootstrapAdmin(core: Core) {
  return (principal = "admin"): Promise<{ readonly token: string; readonly view: TokenView }> =>
    core.locks.run("token", async () => {
      const now = core.clock.now();
      const note: Note = { count: 1 };
      const rows = await core.store.find("token", { equals: { principal }, order: "id", limit: 1000 });
      const replaced = rows
        .map(tokenFromRow)
        .filter((record) => record.bootstrap === true && record.revokedAt === undefined)
        .map((record): TokenRecord => ({ ...record, revision: record.revision + 1, revokedAt: now }));
      const made = await addToken(
        core,
        {
          principal,
          kind: "user",
          roles: ["admin"],
          createdAt: now,
          createdBy: "casemate",
          note: "made at start for the owner of the data directory",
          bootstrap: true,
        },
        note,
        replaced,
      );
      await core.recorder.append({
        principal: "casemate",
        source: "start",
        action: "token.create",
        resource: note.resource ?? "",
        outcome: "ok",
        count: 1,
        details: { ...note.details, principal, roles: "admin", revoked: replaced.length },
      });
      return made;
    });
}
