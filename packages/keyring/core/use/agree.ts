import { CasemateError } from "@casemate/foundation/errors";
import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { facet, select } from "./select.ts";

/** An SPKI of the largest curve is far below this. */
const MAX_PEER = 1024;

export function agree(core: Core): Keyring["agree"] {
  return (caller, name, peer, wanted) =>
    core.guard.key(caller, "key.agree", name, async ({ record }, note) => {
      if (peer.length === 0 || peer.length > MAX_PEER)
        throw new CasemateError("BAD_REQUEST", `the peer's public key is SPKI DER of 1 to ${MAX_PEER} bytes`);
      const { version, device, ref } = select(core, record, "agree", wanted);
      note.details = { version: version.version };
      if (version.state === "active") {
        const reserved = core.counters.take(record, version, 1);
        if (reserved !== undefined) await reserved;
      }
      return {
        version: version.version,
        secret: await facet(device, device.agree, "agree on secrets").agree(ref, peer),
      };
    });
}
