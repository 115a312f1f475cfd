import type { Core } from "../core.ts";
import type { Note } from "../guard.ts";
import type { TokenView } from "../types.ts";
import { draftToken, keepToken } from "./create-token.ts";
import { tokenFromRow, tokenView, type TokenRecord } from "./token-record.ts";

/**
 * An administrator token for whoever owns the data directory; earlier ones made so are revoked. While the store is sealed nothing can be
 * written to it: the token then holds in this process, which can be told to unlock by it, and is kept with the unlocking.
 * For the composition root alone: no interface reaches it.
 */
export function bootstrapAdmin(core: Core) {
  return (principal = "admin"): Promise<{ readonly token: string; readonly view: TokenView }> =>
    core.locks.run("token", async () => {
      const { token, record } = draftToken(core, {
        principal,
        kind: "user",
        roles: ["admin"],
        createdAt: core.clock.now(),
        createdBy: "casemate",
        note: "made at start for the owner of the data directory",
        bootstrap: true,
      });
      if (core.store.state === "sealed") {
        await recordMade(core, record, { waiting: true }, `token/${record.id}`);
        core.tokens.wait(record);
      } else await keep(core, record);
      return { token, view: tokenView(record) };
    });
}

/** Keeps the token that was made while the store was sealed. */
export function keepWaitingToken(core: Core): Promise<void> {
  return core.locks.run("token", async () => {
    const { waiting } = core.tokens;
    if (waiting === undefined) return;
    await keep(core, waiting);
    core.tokens.wait(undefined);
  });
}

async function keep(core: Core, record: TokenRecord): Promise<void> {
  const now = core.clock.now();
  const { principal } = record;
  const rows = await core.store.find("token", { equals: { principal }, order: "id", limit: 1000 });
  const replaced = rows
    .map(tokenFromRow)
    .filter((old) => old.bootstrap === true && old.revokedAt === undefined)
    .map((old): TokenRecord => ({ ...old, revision: old.revision + 1, revokedAt: now }));
  const note: Note = { count: 1 };
  await keepToken(core, record, note, replaced);
  await recordMade(core, record, { ...note.details, revoked: replaced.length }, note.resource ?? "");
}

async function recordMade(core: Core, record: TokenRecord, details: Note["details"], resource: string): Promise<void> {
  await core.recorder.append({
    principal: "casemate",
    source: "start",
    action: "token.create",
    resource,
    outcome: "ok",
    count: 1,
    details: { ...details, principal: record.principal, roles: record.roles.join(",") },
  });
}
