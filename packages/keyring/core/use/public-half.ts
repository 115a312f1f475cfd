import type { Core } from "../core.ts";
import type { PublicHalfUseCase } from "./local-work.ts";
import { select } from "./select.ts";

const OPERATIONS = { "key.verify": "verify", "key.encrypt": "encrypt" } as const;

/**
 * What an interface does itself with the public half, because no device has the parameters that were asked for: the same
 * policy and audit as where a device does it.
 */
export function usePublicHalf(core: Core): PublicHalfUseCase {
  return (caller, name, { action, version, details }, work) =>
    core.guard.key(caller, action, name, async ({ record }, note) => {
      select(core, record, OPERATIONS[action], version);
      note.details = { ...details, version };
      return work();
    });
}
