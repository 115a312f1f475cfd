/** The contract's witness facet over the wire of protocols/hsm. */
import type { WitnessFacet } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import { LIMITS } from "@casemate/protocols/hsm";
import type { Call } from "./calls.ts";
import { checkRef } from "./facets.ts";

const HASH_BYTES = 32;

export function witnessFacet(call: Call): WitnessFacet {
  return {
    async logs() {
      const logs = await call("witnessedLogs", {});
      return logs.map(({ publicKey, origin, size, before, root }) => ({
        publicKey: publicKey.slice(),
        origin,
        size: Number(size),
        before: Number(before),
        root: root.slice(),
      }));
    },
    async sign(ref, { origin, size, root }, proof) {
      checkRef(ref);
      if (Buffer.byteLength(origin) > LIMITS.origin)
        throw new CasemateError("BAD_REQUEST", `the origin of a log has at most ${LIMITS.origin} bytes`);
      if (!Number.isSafeInteger(size) || size < 0)
        throw new CasemateError("BAD_REQUEST", `${size} is no number of records`);
      if (proof.length > LIMITS.proof || [root, ...proof].some(({ length }) => length !== HASH_BYTES))
        throw new CasemateError("BAD_REQUEST", `a root and at most ${LIMITS.proof} hashes of ${HASH_BYTES} bytes`);
      return (await call("signCheckpoint", { ref, origin, size: BigInt(size), root, proof: [...proof] })).bytes;
    },
  };
}
