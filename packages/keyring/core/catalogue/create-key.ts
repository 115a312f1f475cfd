import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { addKey } from "./add.ts";

export function createKey(core: Core): Keyring["createKey"] {
  return (caller, request) =>
    addKey(core, caller, "key.create", request, "generated", (device, draft) =>
      device.keys.generate({
        algorithm: draft.algorithm,
        usages: draft.usages,
        exportable: draft.exportable,
        label: draft.name,
      }),
    );
}
