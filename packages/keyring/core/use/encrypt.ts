import type { CipherScheme } from "@casemate/devices/contract";
import { isCasemateError } from "@casemate/foundation/errors";
import { ALGORITHMS } from "../algorithms.ts";
import { useWarnings } from "../catalogue/key-view.ts";
import type { Core } from "../core.ts";
import type { EncryptRequest, Keyring } from "../types.ts";
import { checkBatch, settle } from "./batch.ts";
import { sealHeader } from "./ciphertext.ts";
import { schemeOf } from "./schemes.ts";
import { facet, select } from "./select.ts";

const NOTHING = new Uint8Array(0);

const CHOSEN_BLOCKS =
  "Whoever chooses what goes through the block cipher can open ciphertexts and make codes of this key. Use aes-gcm, or leave the iv to the device.";

/**
 * Whether the caller chooses what goes through the block cipher. Who can have any block encrypted can open what the key's
 * counter modes (GCM among them, and data keys) protect, and make its CMACs: that takes the rights to do so.
 */
function givesOutBlocks(scheme: CipherScheme, items: EncryptRequest["items"]): boolean {
  if (scheme === "aes-ecb") return true;
  return (scheme === "aes-cbc" || scheme === "aes-ctr") && items.some((item) => item.iv !== undefined);
}

export function encrypt(core: Core): Keyring["encrypt"] {
  return (caller, name, request) =>
    core.guard.key(caller, "key.encrypt", name, async (entry, note) => {
      const { record } = entry;
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
      if (givesOutBlocks(scheme, items)) {
        core.guard.authorizeKey(caller, "key.decrypt", entry, CHOSEN_BLOCKS);
        if (record.usages.includes("mac")) core.guard.authorizeKey(caller, "key.mac", entry, CHOSEN_BLOCKS);
      }
      const reserved = core.counters.take(record, version, items.length);
      if (reserved !== undefined) await reserved;
      const results = settle(note, await facet(device, device.cipher, "encrypt").encrypt(ref, scheme, items), request);
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
