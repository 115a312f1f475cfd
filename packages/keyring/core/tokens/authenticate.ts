import { constantTimeEqual } from "@casemate/foundation/secrets";
import type { Core } from "../core.ts";
import type { Caller, Keyring } from "../types.ts";
import { tokenRefusal } from "./still-valid.ts";
import type { TokenEntry } from "./token-cache.ts";
import { parseToken } from "./token-text.ts";

/**
 * A refusal is always recorded; success once per token and source while the token stays cached: each use case
 * that follows records the token anyway.
 */
export function authenticate(core: Core): Keyring["authenticate"] {
  return async (token, source, requestId) => {
    const parsed = parseToken(token);
    let entry: TokenEntry | undefined;
    if (parsed !== undefined) entry = core.tokens.peek(parsed.id) ?? (await core.tokens.load(parsed.id));
    const now = core.clock.now();
    const matches = parsed !== undefined && entry !== undefined && constantTimeEqual(parsed.hash, entry.record.hash);
    const refusal = tokenRefusal(matches ? entry : undefined, now);
    if (refusal !== undefined) {
      core.metrics.add(`casemate_authentications_total{outcome="${refusal.code}"}`);
      await core.recorder.append({
        principal: entry?.record.principal ?? "",
        source,
        ...(parsed === undefined ? {} : { token: parsed.id }),
        ...(requestId === undefined ? {} : { requestId }),
        action: "authenticate",
        resource: parsed === undefined ? "" : `token/${parsed.id}`,
        outcome: refusal.code,
        count: 1,
      });
      throw refusal;
    }
    const { record, seen } = entry as TokenEntry;
    const caller: Caller = {
      principal: record.principal,
      kind: record.kind,
      roles: record.roles,
      source,
      token: record.id,
      ...(requestId === undefined ? {} : { requestId }),
    };
    (entry as TokenEntry).lastUsedAt = now;
    if (!seen.has(source)) {
      await core.recorder.appendIfRoom({
        principal: record.principal,
        source,
        token: record.id,
        ...(requestId === undefined ? {} : { requestId }),
        action: "authenticate",
        resource: `token/${record.id}`,
        outcome: "ok",
        count: 1,
      });
      core.metrics.add('casemate_authentications_total{outcome="ok"}');
      seen.add(source);
    }
    return caller;
  };
}
