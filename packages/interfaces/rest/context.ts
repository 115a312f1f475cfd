/** What belongs to one server, and what belongs to one request, handed along instead of looked up. */
import { asCasemateError, type CasemateError } from "@casemate/foundation/errors";
import type { Clock } from "@casemate/foundation/effects";
import type { Caller, Keyring } from "@casemate/keyring/core";
import { randomBytes } from "node:crypto";
import type { Authenticator, Connection, Connections } from "./connection.ts";
import type { IdempotencyStore } from "./idempotency.ts";
import type { RestLog } from "./log.ts";
import type { RestMetrics, OperationCounter } from "./metrics.ts";
import { problemOf, STATUS_OF, type Problem } from "./problem.ts";
import type { Refusals } from "./refusals.ts";

export interface Services {
  readonly keyring: Keyring;
  readonly version: string;
  readonly clock: Clock;
  readonly log: RestLog;
  readonly connections: Connections;
  readonly authenticator: Authenticator;
  readonly refusals: Refusals;
  readonly metrics: RestMetrics;
  readonly idempotency: IdempotencyStore;
  readonly requestId: (given: string | readonly string[] | undefined) => string;
  readonly state: { closing: boolean };
}

/** Sent with every answer. The interface serves data, never pages. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

export const PROBLEM_TYPE = "application/problem+json";
export const JSON_TYPE = "application/json; charset=utf-8";

const GOOD_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** The caller's X-Request-Id when it is a harmless word, else one of our own that no other process makes. */
export function requestIds(): (given: string | readonly string[] | undefined) => string {
  const prefix = randomBytes(6).toString("base64url");
  let next = 0;
  return (given) => (typeof given === "string" && GOOD_ID.test(given) ? given : `${prefix}-${(next++).toString(36)}`);
}

/** One request on its way through. */
export class Context {
  readonly connection: Connection;
  readonly requestId: string;
  /** Name for audit records of a refusal. */
  readonly action: string;
  readonly counter: OperationCounter;
  readonly startedAt: number;
  caller: Caller | undefined;
  /** From here on the keyring audits: the token check or the use case has begun. */
  auditedByKeyring = false;

  constructor(connection: Connection, requestId: string, action: string, counter: OperationCounter, startedAt: number) {
    this.connection = connection;
    this.requestId = requestId;
    this.action = action;
    this.counter = counter;
    this.startedAt = startedAt;
  }
}

/** Audits a refusal unless the keyring did, logs bugs, and gives the problem to answer with. */
export async function refusal(services: Services, context: Context, error: unknown, status?: number): Promise<Problem> {
  const known: CasemateError = asCasemateError(error);
  if (!context.auditedByKeyring) {
    const { caller, requestId } = context;
    await services.refusals.record(
      caller && { ...caller, requestId },
      context.connection.source,
      context.action,
      known,
    );
  }
  if (known.code === "INTERNAL") {
    services.log.error({ err: known.cause ?? known, requestId: context.requestId }, "a request failed unexpectedly");
  }
  return problemOf(known, context.requestId, status ?? STATUS_OF[known.code]);
}

/** Headers that a problem adds. */
export function problemHeaders(problem: Problem): Readonly<Record<string, string>> {
  return {
    ...(problem.status === 401 ? { "www-authenticate": 'Bearer realm="casemate"' } : {}),
    ...(problem.retryable && problem.status >= 429 ? { "retry-after": "1" } : {}),
  };
}

/** Asks the keyring who it is. @throws UNAUTHENTICATED, TOKEN_EXPIRED, RATE_LIMITED. */
export async function authenticateRequest(
  { authenticator }: Services,
  context: Context,
  header: string | undefined,
): Promise<Caller> {
  const token = authenticator.tokenFrom(header);
  authenticator.admit(context.connection, token);
  context.auditedByKeyring = true;
  const caller = await authenticator.authenticate(context.connection, header ?? "", token, context.requestId);
  context.auditedByKeyring = false;
  context.caller = caller;
  return caller;
}
