import type { Action } from "../actions.ts";

/** What an action belongs to (usable in policies as `action in Action::"use"`) and which resources it is asked about. */
interface ActionRow {
  readonly group: ActionGroup;
  readonly on: "key" | "keyring" | "both";
}

export const ACTION_GROUPS = ["read", "use", "lifecycle", "administer", "audit"] as const;
type ActionGroup = (typeof ACTION_GROUPS)[number];

const row = (group: ActionGroup, on: ActionRow["on"]): ActionRow => ({ group, on });

/** A new action fails to compile until it is placed here. */
export const ACTION_TABLE: Readonly<Record<Action, ActionRow>> = {
  "key.create": row("lifecycle", "both"),
  "key.import": row("lifecycle", "both"),
  "key.adopt": row("lifecycle", "both"),
  "key.read": row("read", "both"),
  "key.list": row("read", "both"),
  "key.update": row("lifecycle", "key"),
  "key.rotate": row("lifecycle", "key"),
  "key.activate": row("lifecycle", "key"),
  "key.suspend": row("lifecycle", "key"),
  "key.resume": row("lifecycle", "key"),
  "key.deactivate": row("lifecycle", "key"),
  "key.compromise": row("lifecycle", "key"),
  "key.destroy": row("lifecycle", "key"),
  "key.destroy-now": row("administer", "key"),
  "key.restore": row("lifecycle", "key"),
  "key.public": row("read", "key"),
  "key.sign": row("use", "key"),
  "key.verify": row("use", "key"),
  "key.encrypt": row("use", "key"),
  "key.decrypt": row("use", "key"),
  "key.mac": row("use", "key"),
  "key.mac-verify": row("use", "key"),
  "key.agree": row("use", "key"),
  "key.encapsulate": row("use", "key"),
  "key.decapsulate": row("use", "key"),
  "key.wrap": row("lifecycle", "key"),
  "key.wrap-outside": row("administer", "key"),
  "key.export": row("lifecycle", "key"),
  "key.data-keys": row("use", "key"),
  "session-key.create": row("use", "keyring"),
  "session-key.use": row("use", "keyring"),
  "session-key.read": row("use", "keyring"),
  random: row("use", "keyring"),
  "device.list": row("read", "keyring"),
  "device.read": row("read", "keyring"),
  "device.unlock": row("lifecycle", "keyring"),
  "device.lock": row("lifecycle", "keyring"),
  "device.objects": row("lifecycle", "keyring"),
  "device.zeroize": row("administer", "keyring"),
  "token.create": row("administer", "keyring"),
  "token.list": row("administer", "keyring"),
  "token.revoke": row("administer", "keyring"),
  "policy.list": row("administer", "keyring"),
  "policy.set": row("administer", "keyring"),
  "policy.test": row("administer", "keyring"),
  "policy.explain": row("administer", "keyring"),
  "object.read": row("use", "both"),
  "object.write": row("lifecycle", "both"),
  "audit.read": row("audit", "keyring"),
  "audit.checkpoint": row("audit", "keyring"),
  "audit.prove": row("audit", "keyring"),
};
