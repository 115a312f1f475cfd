import { useWarnings } from "../catalogue/key-view.ts";
import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { checkBatch, inputsDigest, settle } from "./batch.ts";
import { schemeOf, signSchemes } from "./schemes.ts";
import { facet, select } from "./select.ts";

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
      // Without padding a signature is a decryption.
      if (scheme === "rsa-raw" && record.usages.includes("encrypt"))
        core.guard.authorizeKey(caller, "key.decrypt", entry);
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
