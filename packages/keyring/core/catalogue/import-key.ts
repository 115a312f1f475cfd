import { createHash } from "node:crypto";
import { CasemateError } from "@casemate/foundation/errors";
import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { facet, select } from "../use/select.ts";
import { addKey } from "./add.ts";

/** What devices take. */
const MAX_WRAPPED = 16_384;

/** Foreign key material, unwrapped inside the device that holds the wrapping key. */
export function importKey(core: Core): Keyring["importKey"] {
  return async (caller, request) => {
    // The wrapping key decides the device, unless the caller names one; then they must agree.
    const known = await core.keys.load(request.wrappingKey).catch(() => undefined);
    const device = request.device ?? known?.primary.device;
    return addKey(
      core,
      caller,
      "key.import",
      { ...request, ...(device === undefined ? {} : { device }) },
      "imported",
      async (holder, draft, note) => {
        note.details = {
          ...note.details,
          wrappingKey: request.wrappingKey.slice(0, 128),
          scheme: request.scheme,
          bytes: request.wrapped.length,
          sha256: createHash("sha256").update(request.wrapped).digest("hex"),
        };
        if (request.wrapped.length === 0) throw new CasemateError("BAD_REQUEST", "the wrapped key is empty");
        if (request.wrapped.length > MAX_WRAPPED)
          throw new CasemateError("TOO_LARGE", `a wrapped key has at most ${MAX_WRAPPED} bytes`);
        const entry = await core.keys.load(request.wrappingKey);
        core.guard.authorizeKey(caller, "key.wrap", entry);
        const wrapping = select(core, entry.record, "unwrap");
        if (wrapping.device !== holder)
          throw new CasemateError(
            "BAD_REQUEST",
            `${request.wrappingKey} is in ${wrapping.version.device}, not in ${draft.device}`,
            {
              hint: "Import into the device that holds the wrapping key.",
            },
          );
        return facet(holder, holder.wrap, "import wrapped keys").import(wrapping.ref, request.scheme, request.wrapped, {
          algorithm: draft.algorithm,
          usages: draft.usages,
          exportable: draft.exportable,
          label: draft.name,
        });
      },
    );
  };
}
