import { isCalendarDate } from "@casemate/foundation/codec";
import { CasemateError } from "@casemate/foundation/errors";
import { ACTIONS, type Action } from "../actions.ts";
import { primaryOf } from "../catalogue/key-record.ts";
import type { Core } from "../core.ts";
import type { PolicyRequest } from "../ports.ts";
import { checkWellFormed } from "../text.ts";
import { tokenFromRow } from "../tokens/token-record.ts";
import type { PolicyCheck, Role } from "../types.ts";

/** The request a check stands for. Without roles, those of the principal's living tokens. @throws BAD_REQUEST, NOT_FOUND. */
export async function requestOf(core: Core, check: PolicyCheck): Promise<PolicyRequest> {
  const action = actionOf(check.action);
  checkWellFormed("principal", check.principal);
  checkWellFormed("source", check.source);
  const caller = {
    principal: check.principal,
    kind: "user",
    roles: check.roles ?? (await rolesOf(core, check.principal)),
    source: check.source ?? "explain",
  } as const;
  const at = check.at === undefined ? {} : { at: timeOf(check.at) };
  if (check.key === undefined) return { caller, action, resource: { type: "keyring" }, ...at };
  const { record } = core.keys.peek(check.key) ?? (await core.keys.load(check.key));
  return {
    caller,
    action,
    resource: {
      type: "key",
      name: record.name,
      algorithm: record.algorithm,
      device: record.device,
      deviceKind: core.devices.get(record.device)?.identity.kind ?? "absent",
      state: primaryOf(record).state,
      labels: record.labels,
      createdBy: record.createdBy,
    },
    ...at,
  };
}

function timeOf(text: string): number {
  const time = isCalendarDate(text) ? Date.parse(text) : Number.NaN;
  if (Number.isFinite(time) && time >= 0) return time;
  throw new CasemateError("BAD_REQUEST", `at: ${JSON.stringify(text.slice(0, 64))} is no time since 1970 in ISO 8601`);
}

function actionOf(text: string): Action {
  const action = ACTIONS.find((known) => known === text);
  if (action === undefined)
    throw new CasemateError("BAD_REQUEST", `no action is called ${JSON.stringify(text.slice(0, 64))}`, {
      hint: `There are: ${ACTIONS.join(", ")}.`,
    });
  return action;
}

async function rolesOf(core: Core, principal: string): Promise<readonly Role[]> {
  const rows = await core.store.find("token", { equals: { principal }, order: "id", limit: 1000 });
  const now = core.clock.now();
  const living = rows
    .map(tokenFromRow)
    .filter((token) => token.revokedAt === undefined && (token.expiresAt ?? Infinity) > now);
  return [...new Set(living.flatMap((token) => token.roles))];
}
