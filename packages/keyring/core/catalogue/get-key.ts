import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { viewOf } from "./save.ts";

export function getKey(core: Core): Keyring["getKey"] {
  return (caller, name) => core.guard.key(caller, "key.read", name, ({ record }) => viewOf(core, record));
}
