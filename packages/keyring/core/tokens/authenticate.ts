import type { CasemateError } from "@casemate/foundation/errors";
import { constantTimeEqual } from "@casemate/foundation/secrets";
import type { Core } from "../core.ts";
import type { Caller, Keyring } from "../types.ts";
import { tokenRefusal } from "./still-valid.ts";
import type { TokenEntry } from "./token-cache.ts";
import { parseToken } from "./token-text.ts";

interface Examined {
  readonly parsed: ReturnType<typeof parseToken>;
  readonly entry: TokenEntry | undefined;
  readonly refusal: CasemateError | undefined;
}

async function examine(core: Core, token: string): Promise<Examined> {
  const parsed = parseToken(token);
  let entry: TokenEntry | undefined;
  if (parsed !== undefined) entry = core.tokens.peek(parsed.id) ?? (await core.tokens.load(parsed.id));
  const matches = parsed !== undefined && entry !== undefined && constantTimeEqual(parsed.hash, entry.record.hash);
  return { parsed, entry, refusal: tokenRefusal(matches ? entry : undefined, core.clock.now()) };
}

/** Why a token would be refused, without a record of its use: for whoever keeps it. */
export function tokenProblem(core: Core) {
  return async (token: string): Promise<string | undefined> => (await examine(core, token)).refusal?.message;
}

/**
 * A refusal is always recorded; success once per token and source while the token stays cached: each use case
 * that follows records the token anyway.
 */
export function authenticate(core: Core): Keyring["authenticate"] {
  return async (token, source, requestId) => {
    const { parsed, entry, refusal } = await examine(core, token);
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
      ...(record.expiresAt === undefined ? {} : { expiresAt: record.expiresAt }),
      ...(requestId === undefined ? {} : { requestId }),
    };
    (entry as TokenEntry).lastUsedAt = core.clock.now();
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
