import type { Clock } from "@casemate/foundation/effects";
import { CasemateError } from "@casemate/foundation/errors";
import { iso } from "../time.ts";
import type { Caller } from "../types.ts";
import type { TokenCache, TokenEntry } from "./token-cache.ts";

/**
 * Whether a caller's token holds at this moment: sessions keep callers for long, revocation and expiry must reach
 * them. undefined when it does and was at hand. @throws UNAUTHENTICATED, TOKEN_EXPIRED.
 */
export function stillValid(tokens: TokenCache, clock: Clock): (caller: Caller) => Promise<void> | undefined {
  const check = (entry: TokenEntry | undefined): void => {
    const refusal = tokenRefusal(entry, clock.now());
    if (refusal !== undefined) throw refusal;
  };
  return ({ token }) => {
    if (token === undefined) return undefined;
    const entry = tokens.peek(token);
    if (entry === undefined) return tokens.load(token).then(check);
    check(entry);
    return undefined;
  };
}

export function tokenRefusal(entry: TokenEntry | undefined, now: number): CasemateError | undefined {
  if (entry === undefined)
    return new CasemateError("UNAUTHENTICATED", "the token is not known", {
      hint: "Pass a token that casemate token create printed.",
    });
  const { expiresAt, revokedAt } = entry.record;
  if (revokedAt !== undefined)
    return new CasemateError("UNAUTHENTICATED", `the token was revoked at ${iso(revokedAt)}`, {
      hint: "Ask an administrator for a new one.",
    });
  if (expiresAt !== undefined && now >= expiresAt)
    return new CasemateError("TOKEN_EXPIRED", `the token expired at ${iso(expiresAt)}`, {
      hint: "Ask an administrator for a new one.",
    });
  return undefined;
}
