/** For tests and the role matrix: a caller, a key, and a request for each action on what it is asked about. */
import type { Action } from "../actions.ts";
import type { PolicyRequest } from "../ports.ts";
import type { Role } from "../types.ts";
import { ACTION_TABLE } from "./actions-table.ts";

type KeyResource = Extract<PolicyRequest["resource"], { readonly type: "key" }>;

export function testKey(over: Partial<KeyResource> = {}): KeyResource {
  return {
    type: "key",
    name: "release",
    algorithm: "ec-p256",
    device: "hsm-1",
    deviceKind: "hsm",
    state: "active",
    labels: {},
    createdBy: "user/carol",
    ...over,
  };
}

export function requestFor(action: Action, roles: readonly Role[]): PolicyRequest {
  return {
    caller: { principal: "user/alice", kind: "user", roles, source: "rest" },
    action,
    resource: ACTION_TABLE[action].on === "keyring" ? { type: "keyring" } : testKey(),
  };
}
