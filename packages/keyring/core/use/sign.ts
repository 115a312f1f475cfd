import { CasemateError } from "@casemate/foundation/errors";
import type { KeyEntry } from "../catalogue/key-cache.ts";
import { useWarnings } from "../catalogue/key-view.ts";
import type { Core } from "../core.ts";
import type { Guard } from "../guard.ts";
import type { Caller, Keyring } from "../types.ts";
import { checkBatch, inputsDigest, settle } from "./batch.ts";
import { schemeOf, signSchemes } from "./schemes.ts";
import { facet, select } from "./select.ts";

const DECRYPTS = "A raw RSA signature decrypts. Sign with a scheme that pads.";

/** Without padding a signature is a decryption. @throws KEY_USAGE for a key that wraps too, as earlier versions made them; FORBIDDEN. */
export function allowRaw(guard: Pick<Guard, "authorizeKey">, caller: Caller, entry: KeyEntry): void {
  const { name, usages } = entry.record;
  if (usages.includes("wrap"))
    throw new CasemateError("KEY_USAGE", `${name} wraps keys: a raw signature would hand out what it wraps`, {
      hint: "Sign with another scheme, or with a key that does not wrap.",
    });
  if (usages.includes("encrypt")) guard.authorizeKey(caller, "key.decrypt", entry, DECRYPTS);
}

export function sign(core: Core): Keyring["sign"] {
  return (caller, name, request) =>
    core.guard.key(caller, "key.sign", name, async (entry, note) => {
      const { record } = entry;
      const { inputs, kind } = request;
      const bytes = checkBatch(inputs);
      note.count = inputs.length;
      const chosen = select(core, record, "sign", request.version);
      const { version, device, ref } = chosen;
      const scheme = schemeOf(chosen, "sign", request.scheme, signSchemes(record.algorithm, kind, inputs[0]));
      if (scheme === "rsa-raw") allowRaw(core.guard, caller, entry);
      note.details = { bytes, ...inputsDigest(kind, inputs), kind, scheme, version: version.version };
      const reserved = core.counters.take(record, version, inputs.length);
      if (reserved !== undefined) await reserved;
      const results = await facet(device, device.sign, "sign").sign(ref, scheme, kind, inputs);
      return {
        version: version.version,
        scheme,
        results: settle(note, results, request),
        warnings: useWarnings(record, version),
      };
    });
}
