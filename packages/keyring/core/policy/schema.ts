/** Implements: Cedar policy language, schema grammar (human-readable form). */
import { ACTIONS } from "../actions.ts";
import { ACTION_GROUPS, ACTION_TABLE } from "./actions-table.ts";
import { CONTEXT_TYPE } from "./context.ts";

const PRINCIPALS = "[User, Service, Device, Enclave]";
const RESOURCES = { key: "[Key]", keyring: "[Keyring]", both: "[Key, Keyring]" } as const;

/** The schema every policy is checked against when it is saved. Labels of a key are its Cedar tags. */
export function policySchema(): string {
  const actions = ACTIONS.map((action) => {
    const { group, on } = ACTION_TABLE[action];
    const applies = `{ principal: ${PRINCIPALS}, resource: ${RESOURCES[on]}, context: Context }`;
    return `action "${action}" in ["${group}"] appliesTo ${applies};`;
  });
  return [
    `entity Role enum ["admin", "operator", "user", "auditor"];`,
    `entity User, Service, Device, Enclave in [Role] = { name: String };`,
    `entity Keyring;`,
    `entity Key in [Keyring] = {`,
    `  name: String, algorithm: String, device: String, deviceKind: String, state: String, createdBy: String`,
    `} tags String;`,
    `type Context = ${CONTEXT_TYPE};`,
    `action ${ACTION_GROUPS.map((group) => `"${group}"`).join(", ")};`,
    ...actions,
    "",
  ].join("\n");
}
