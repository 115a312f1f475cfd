import { CasemateError } from "@casemate/foundation/errors";
import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { facet, select } from "./select.ts";

/** ML-KEM-1024 has 1568 bytes. */
const MAX_CIPHERTEXT = 4096;

export function encapsulate(core: Core): Keyring["encapsulate"] {
  return (caller, name, wanted) =>
    core.guard.key(caller, "key.encapsulate", name, async ({ record }, note) => {
      const { version, device, ref } = select(core, record, "encapsulate", wanted);
      note.details = { version: version.version };
      const reserved = core.counters.take(record, version, 1);
      if (reserved !== undefined) await reserved;
      return { version: version.version, ...(await facet(device, device.kem, "encapsulate secrets").encapsulate(ref)) };
    });
}

export function decapsulate(core: Core): Keyring["decapsulate"] {
  return (caller, name, ciphertext, wanted) =>
    core.guard.key(caller, "key.decapsulate", name, async ({ record }, note) => {
      if (ciphertext.length === 0 || ciphertext.length > MAX_CIPHERTEXT)
        throw new CasemateError("BAD_REQUEST", `the ciphertext has 1 to ${MAX_CIPHERTEXT} bytes`);
      const { version, device, ref } = select(core, record, "decapsulate", wanted);
      note.details = { version: version.version };
      const sharedSecret = await facet(device, device.kem, "decapsulate secrets").decapsulate(ref, ciphertext);
      return { version: version.version, sharedSecret };
    });
}
