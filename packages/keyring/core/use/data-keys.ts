import { DATA_KEY_BYTES } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import { useWarnings } from "../catalogue/key-view.ts";
import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { MAX_BATCH } from "./batch.ts";
import { sealHeader } from "./ciphertext.ts";
import { facet, select } from "./select.ts";

const MAX_CONTEXT = 4096;
const SIZES: readonly number[] = DATA_KEY_BYTES;

export function dataKeys(core: Core): Keyring["dataKeys"] {
  return (caller, name, request) =>
    core.guard.key(caller, "key.data-keys", name, async ({ record }, note) => {
      const { count, bytes, plaintext, context } = request;
      if (!Number.isInteger(count) || count < 1)
        throw new CasemateError("BAD_REQUEST", "count must be a whole number from 1");
      if (count > MAX_BATCH) throw new CasemateError("TOO_LARGE", `${count} data keys, at most ${MAX_BATCH} allowed`);
      if (!SIZES.includes(bytes)) throw new CasemateError("BAD_REQUEST", `bytes must be one of ${SIZES.join(", ")}`);
      if ((context?.length ?? 0) > MAX_CONTEXT)
        throw new CasemateError("TOO_LARGE", `a context has at most ${MAX_CONTEXT} bytes`);
      note.count = count;
      const { version, device, ref } = select(core, record, "data-keys");
      note.details = { version: version.version, bytes, plaintext };
      const reserved = core.counters.take(record, version, count);
      if (reserved !== undefined) await reserved;
      const keys = await facet(device, device.dataKeys, "make data keys").generate(ref, {
        count,
        bytes,
        plaintext,
        ...(context === undefined ? {} : { context }),
      });
      // The wrapped form is a ciphertext like any other: `decrypt` finds its version and opens it.
      return {
        version: version.version,
        warnings: useWarnings(record, version),
        keys: keys.map((key) => ({ ...key, wrapped: sealHeader(version.version, key.wrapped) })),
      };
    });
}
