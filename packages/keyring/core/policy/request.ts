import type { PolicyRequest } from "../ports.ts";
import { ACTION_TABLE } from "./actions-table.ts";
import { contextOf } from "./context.ts";

const PRINCIPAL_TYPES = { user: "User", service: "Service", device: "Device", enclave: "Enclave" } as const;
const KEYRING = { type: "Keyring", id: "keyring" } as const;

/** Whether the schema knows this action on this kind of resource. Policies are typed on that assumption. */
export function fitsSchema({ action, resource }: PolicyRequest): boolean {
  const { on } = ACTION_TABLE[action];
  return on === "both" || on === resource.type;
}

/**
 * The request as Cedar's entities. They conform to the schema because they are built here, so Cedar is not asked to
 * check them again: that would make a decision four times as expensive.
 */
export function cedarCall(request: PolicyRequest, now: number) {
  const { caller, resource } = request;
  const principal = { type: PRINCIPAL_TYPES[caller.kind], id: caller.principal };
  const subject = {
    uid: principal,
    attrs: { name: caller.principal },
    parents: caller.roles.map((role) => ({ type: "Role", id: role })),
  };
  const action = { type: "Action", id: request.action };
  const group = { uid: action, attrs: {}, parents: [{ type: "Action", id: ACTION_TABLE[request.action].group }] };
  const call = { principal, action, context: contextOf(caller.source, now), validateRequest: false };
  if (resource.type === "keyring") return { ...call, resource: KEYRING, entities: [subject, group] };
  const { type: _type, labels, ...attrs } = resource;
  const uid = { type: "Key", id: resource.name };
  const key = { uid, attrs, parents: [KEYRING], tags: { ...labels } };
  return { ...call, resource: uid, entities: [subject, group, key] };
}

/** For reasons: `key.sign on a key for user bob with the roles user`. Without the key's name: reasons are shared by a class. */
export function describeRequest({ caller, action, resource }: PolicyRequest): string {
  const roles = caller.roles.length === 0 ? "no role" : `the roles ${caller.roles.join(", ")}`;
  const on = resource.type === "key" ? "a key" : "the keyring";
  return `${action} on ${on} for ${caller.kind} ${caller.principal} with ${roles}`;
}
