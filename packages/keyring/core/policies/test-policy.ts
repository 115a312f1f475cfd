import type { Core } from "../core.ts";
import { checkWellFormed } from "../text.ts";
import type { Keyring } from "../types.ts";
import { requestOf } from "./policy-checks.ts";

export function testPolicy(core: Core): Keyring["testPolicy"] {
  return (caller, text, checks) =>
    core.guard.keyring(caller, "policy.test", "", async (note) => {
      note.details = { checks: checks.length };
      checkWellFormed("a policy", text);
      core.policy.validate("try-out", text);
      const requests = await Promise.all(checks.map((check) => requestOf(core, check)));
      return core.policy.tryOut(text, requests);
    });
}
