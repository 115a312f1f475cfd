import { commit, type Core } from "../core.ts";
import type { Caller, Role } from "../types.ts";
import { tokenFromRow, type TokenRecord } from "./token-record.ts";

const PAGE = 500;

/**
 * A caller for a part of the server itself, which no token stands for: nothing is stored, and nothing that could be stolen exists. Audited
 * like everybody. For the composition root alone: no interface reaches it.
 */
export function serviceCaller(core: Core) {
  return async (principal: string, roles: readonly Role[]): Promise<Caller> => {
    const removed = await core.locks.run("token", () => removeFormer(core, principal));
    await core.recorder.appendIfRoom({
      principal,
      source: principal,
      action: "authenticate",
      resource: "",
      outcome: "ok",
      count: 1,
      details: { roles: roles.join(), ...(removed > 0 ? { removed } : {}) },
    });
    return { principal, kind: "service", roles, source: principal };
  };
}

/** Earlier versions made two tokens at each start, for the service and for making that one, and left them behind, revoked or not. */
async function removeFormer(core: Core, principal: string): Promise<number> {
  const maker = `${principal}-start`;
  const made = (record: TokenRecord): boolean =>
    record.principal === maker ? record.bootstrap === true : record.createdBy === maker;
  let removed = 0;
  for (const name of [principal, maker]) {
    let after = "";
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- page after page
      const rows = await core.store.find("token", { equals: { principal: name }, order: "id", after, limit: PAGE });
      const gone = rows.map(tokenFromRow).filter(made);
      // oxlint-disable-next-line no-await-in-loop -- as above
      if (gone.length > 0)
        await commit(
          core,
          gone.map(({ id, revision }) => ({ kind: "delete", collection: "token", id, revision })),
        );
      removed += gone.length;
      after = rows.at(-1)?.id ?? "";
      if (rows.length < PAGE) break;
    }
  }
  if (removed > 0) core.tokens.clear();
  return removed;
}
