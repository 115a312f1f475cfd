import type { Core } from "../core.ts";
import { afterOf, limitOf, pageOf } from "../paging.ts";
import type { Keyring } from "../types.ts";
import { tokenFromRow, tokenView } from "./token-record.ts";

export function listTokens(core: Core): Keyring["listTokens"] {
  return (caller, page) =>
    core.guard.keyring(caller, "token.list", "", async () => {
      const limit = limitOf(page);
      const rows = await core.store.find("token", { order: "id", ...afterOf(page), limit: limit + 1 });
      return pageOf(
        rows,
        limit,
        (row) => row.id,
        (row) => {
          const record = tokenFromRow(row);
          const lastUsedAt = core.tokens.peek(row.id)?.lastUsedAt;
          return tokenView(lastUsedAt === undefined ? record : { ...record, lastUsedAt });
        },
      );
    });
}
