import { CasemateError } from "@casemate/foundation/errors";
import { ALGORITHMS } from "../algorithms.ts";
import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { select } from "../use/select.ts";

export function publicKey(core: Core): Keyring["publicKey"] {
  return (caller, name, version) =>
    core.guard.key(caller, "key.public", name, async ({ record }, note) => {
      if (!ALGORITHMS[record.algorithm].asymmetric)
        throw new CasemateError("NOT_SUPPORTED", `${name} is of ${record.algorithm}: it has no public half`, {
          hint: "Only keys of pairs have one, such as rsa-2048, ec-p256 or ed25519.",
        });
      const chosen = select(core, record, "public", version);
      note.details = { version: chosen.version.version };
      const known = chosen.version.publicKey ?? (await chosen.device.keys.publicKey(chosen.ref));
      return { version: chosen.version.version, publicKey: known, algorithm: record.algorithm };
    });
}
