import { isCasemateError } from "@casemate/foundation/errors";
import type { Many } from "@casemate/devices/contract";
import type { KeyRecord } from "../catalogue/key-record.ts";
import { useWarnings } from "../catalogue/key-view.ts";
import type { Core } from "../core.ts";
import { ALLOWED } from "../lifecycle/states.ts";
import type { Keyring, VerifyRequest } from "../types.ts";
import { checkBatch, inputsDigest, settle } from "./batch.ts";
import { schemeOf, signSchemes } from "./schemes.ts";
import { facet, select, type Selected } from "./select.ts";

/** Older versions tried when no version is named and the primary one does not verify. */
const MAX_TRIES = 8;

export function verify(core: Core): Keyring["verify"] {
  return (caller, name, request) =>
    core.guard.key(caller, "key.verify", name, async ({ record }, note) => {
      const { items } = request;
      const inputs = items.map((item) => item.input);
      const bytes = checkBatch(
        inputs,
        items.map((item) => item.signature),
      );
      note.count = items.length;
      const first = select(core, record, "verify", request.version);
      const scheme = schemeOf(first, "sign", request.scheme, signSchemes(record.algorithm, request.kind, inputs[0]));
      note.details = {
        version: first.version.version,
        scheme,
        kind: request.kind,
        bytes,
        ...inputsDigest(request.kind, inputs),
      };
      let used = first;
      let results = await attempt(first, scheme, request);
      if (request.version === undefined && results.every((result) => result === false)) {
        for (const candidate of olderVersions(core, record, first)) {
          const again = await attempt(candidate, scheme, request);
          if (!again.includes(true)) continue;
          used = candidate;
          results = again;
          break;
        }
      }
      const valid = results.filter((result) => result === true).length;
      const invalid = results.length - valid;
      note.details = { ...note.details, version: used.version.version, ...(invalid > 0 ? { invalid } : {}) };
      return {
        version: used.version.version,
        scheme,
        results: settle(note, results, request),
        warnings: useWarnings(record, used.version),
      };
    });
}

async function attempt(
  chosen: Selected,
  scheme: NonNullable<VerifyRequest["scheme"]>,
  request: VerifyRequest,
): Promise<Many<boolean>> {
  const results = await facet(chosen.device, chosen.device.sign, "verify signatures").verify(
    chosen.ref,
    scheme,
    request.kind,
    request.items,
  );
  // A signature that cannot even be read is not valid; only errors about the key or device stay errors.
  return results.map((result) =>
    isCasemateError(result) && (result.code === "BAD_REQUEST" || result.code.startsWith("DECODE_")) ? false : result,
  );
}

function olderVersions(core: Core, record: KeyRecord, first: Selected): Selected[] {
  return record.versions
    .filter(
      (version) =>
        version !== first.version &&
        version.device === first.version.device &&
        ALLOWED[version.state].has("verify") &&
        !version.destroying &&
        version.ref !== undefined,
    )
    .toReversed()
    .slice(0, MAX_TRIES)
    .map((version) => select(core, record, "verify", version.version));
}
