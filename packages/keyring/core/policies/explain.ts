import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { requestOf } from "./policy-checks.ts";

export function explain(core: Core): Keyring["explain"] {
  return (caller, check) =>
    core.guard.keyring(
      caller,
      "policy.explain",
      check.key === undefined ? "" : `key/${check.key.slice(0, 128)}`,
      async () => core.policy.decide(await requestOf(core, check)),
    );
}
