import { commit, type Core } from "../core.ts";
import { tokenToRow } from "./token-record.ts";

/** Writes when tokens were last used, for those that moved by `byMs`. */
export async function flushTokens(core: Core, byMs: number): Promise<void> {
  if (core.store.state === "sealed") return;
  await core.locks.run("token", async () => {
    const entries = core.tokens.moved(byMs);
    if (entries.length === 0) return;
    const next = entries.map(({ record, lastUsedAt }) => ({
      ...record,
      revision: record.revision + 1,
      ...(lastUsedAt === undefined ? {} : { lastUsedAt }),
    }));
    await commit(
      core,
      next.map((record) => ({ kind: "put", collection: "token", row: tokenToRow(record) })),
    );
    for (const record of next) core.tokens.replace(record);
  });
}
