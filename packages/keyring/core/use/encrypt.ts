import { isCasemateError } from "@casemate/foundation/errors";
import { ALGORITHMS } from "../algorithms.ts";
import { useWarnings } from "../catalogue/key-view.ts";
import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { checkBatch, settle } from "./batch.ts";
import { sealHeader } from "./ciphertext.ts";
import { schemeOf } from "./schemes.ts";
import { facet, select } from "./select.ts";

const NOTHING = new Uint8Array(0);

export function encrypt(core: Core): Keyring["encrypt"] {
  return (caller, name, request) =>
    core.guard.key(caller, "key.encrypt", name, async ({ record }, note) => {
      const { items } = request;
      const bytes = checkBatch(
        items.map((item) => item.data),
        items.map((item) => item.context ?? NOTHING),
      );
      note.count = items.length;
      const chosen = select(core, record, "encrypt", request.version);
      const { version, device, ref } = chosen;
      const scheme = schemeOf(chosen, "cipher", request.scheme, ALGORITHMS[record.algorithm].cipher);
      note.details = { version: version.version, scheme, bytes };
      const reserved = core.counters.take(record, version, items.length);
      if (reserved !== undefined) await reserved;
      const results = settle(note, await facet(device, device.cipher, "encrypt").encrypt(ref, scheme, items));
      return {
        version: version.version,
        scheme,
        results:
          request.raw === true
            ? results
            : results.map((result) => (isCasemateError(result) ? result : sealHeader(version.version, result))),
        warnings: useWarnings(record, version),
      };
    });
}
