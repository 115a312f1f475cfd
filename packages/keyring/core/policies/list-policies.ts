import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";

export function listPolicies(core: Core): Keyring["listPolicies"] {
  return (caller) => core.guard.keyring(caller, "policy.list", "", async () => core.policy.list());
}
