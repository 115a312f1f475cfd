import { ALGORITHMS } from "../algorithms.ts";
import { useWarnings } from "../catalogue/key-view.ts";
import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { checkBatch, settle } from "./batch.ts";
import { schemeOf } from "./schemes.ts";
import { facet, select } from "./select.ts";

export function mac(core: Core): Keyring["mac"] {
  return (caller, name, request) =>
    core.guard.key(caller, "key.mac", name, async ({ record }, note) => {
      const bytes = checkBatch(request.inputs);
      note.count = request.inputs.length;
      const chosen = select(core, record, "mac", request.version);
      const { version, device, ref } = chosen;
      const scheme = schemeOf(chosen, "mac", request.scheme, ALGORITHMS[record.algorithm].mac);
      note.details = { version: version.version, scheme, bytes };
      const reserved = core.counters.take(record, version, request.inputs.length);
      if (reserved !== undefined) await reserved;
      const results = await facet(device, device.mac, "make codes (MACs)").mac(ref, scheme, request.inputs);
      return {
        version: version.version,
        scheme,
        results: settle(note, results, request),
        warnings: useWarnings(record, version),
      };
    });
}

export function macVerify(core: Core): Keyring["macVerify"] {
  return (caller, name, request) =>
    core.guard.key(caller, "key.mac-verify", name, async ({ record }, note) => {
      const bytes = checkBatch(
        request.items.map((item) => item.input),
        request.items.map((item) => item.mac),
      );
      note.count = request.items.length;
      const chosen = select(core, record, "mac-verify", request.version);
      const { version, device, ref } = chosen;
      const scheme = schemeOf(chosen, "mac", request.scheme, ALGORITHMS[record.algorithm].mac);
      note.details = { version: version.version, scheme, bytes };
      const results = await facet(device, device.mac, "check codes (MACs)").check(ref, scheme, request.items);
      const invalid = results.filter((result) => result === false).length;
      if (invalid > 0) note.details = { ...note.details, invalid };
      return {
        version: version.version,
        scheme,
        results: settle(note, results, request),
        warnings: useWarnings(record, version),
      };
    });
}
