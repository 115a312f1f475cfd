import { createHash } from "node:crypto";
import { CasemateError } from "@casemate/foundation/errors";
import { originOf } from "../catalogue/key-record.ts";
import { useWarnings } from "../catalogue/key-view.ts";
import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { facet, select } from "./select.ts";

const LAWFUL =
  "Use it through Casemate, take its public half, or create a key as exportable: that one leaves wrapped under another key.";

const OUTSIDE =
  "The value of the wrapping key came from outside: whoever knows it would know what is wrapped under it. Wrap under a key that the device made.";

/** Authorized on both keys: `key.wrap` on the one that leaves and on the one that wraps, `key.wrap-outside` on one that came from outside. */
export function wrapKey(core: Core): Keyring["wrapKey"] {
  return (caller, name, request) =>
    core.guard.key(caller, "key.wrap", name, async (target, note) => {
      note.details = { wrappingKey: request.wrappingKey.slice(0, 128), scheme: request.scheme };
      const entry = await core.keys.load(request.wrappingKey);
      core.guard.authorizeKey(caller, "key.wrap", entry);
      if (!target.record.exportable)
        throw new CasemateError("NOT_EXPORTABLE", `${name} was not created exportable: it never leaves its device`, {
          hint: LAWFUL,
        });
      const chosen = select(core, target.record, "export", request.version);
      const wrapping = select(core, entry.record, "wrap");
      if (wrapping.device !== chosen.device)
        throw new CasemateError("BAD_REQUEST", `${name} and ${request.wrappingKey} are in different devices`, {
          hint: "Wrap under a key of the same device.",
        });
      // Whoever brought the wrapping key's value may know it, and with it everything that is wrapped under it.
      if (originOf(entry.record, wrapping.version) !== "generated")
        core.guard.authorizeKey(caller, "key.wrap-outside", entry, OUTSIDE);
      const reserved = core.counters.take(entry.record, wrapping.version, 1);
      if (reserved !== undefined) await reserved;
      const facets = facet(chosen.device, chosen.device.wrap, "wrap keys");
      const wrapped = await facets.export(wrapping.ref, request.scheme, chosen.ref);
      note.details = {
        ...note.details,
        version: chosen.version.version,
        bytes: wrapped.length,
        sha256: createHash("sha256").update(wrapped).digest("hex"),
      };
      return { version: chosen.version.version, wrapped, warnings: useWarnings(target.record, chosen.version) };
    });
}

/** There is no way to plaintext: what remains is to say so, and to have it on record who asked. */
export function exportKey(core: Core): Keyring["exportKey"] {
  return (caller, name) =>
    core.guard.key(caller, "key.export", name, async ({ record }) => {
      throw new CasemateError("NOT_EXPORTABLE", `${name} is inside ${record.device} and never leaves it in plaintext`, {
        hint: LAWFUL,
      });
    });
}
