import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";

export function sessionKey(core: Core): Keyring["sessionKey"] {
  return (caller, action, { number, details }, work) =>
    core.guard.keyring(caller, action, `session-key/${number}`, work, { ...details });
}
