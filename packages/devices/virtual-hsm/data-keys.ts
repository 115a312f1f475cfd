/** Data keys for envelope encryption: AES-GCM under an AES key of the device, `context` as additional data. */
import type { Random } from "@casemate/foundation/effects";
import { LIMITS, type DataKeysRequest } from "@casemate/protocols/hsm";
import { gcmSeal } from "./cipher.ts";
import type { LoadedKey } from "./loaded-key.ts";
import type { Nonces } from "./nonces.ts";
import { refuse } from "./refuse.ts";
import { stateId } from "./sealed-state.ts";

const SIZES: readonly number[] = [16, 24, 32, 64];

interface DataKey {
  wrapped: Uint8Array;
  plaintext: Uint8Array | undefined;
}

/** What `decrypt` with aes-gcm and the same context opens. @throws KEY_USAGE, NOT_SUPPORTED, BAD_REQUEST, KEY_LIMIT */
export function makeDataKeys(
  key: LoadedKey,
  request: DataKeysRequest,
  tools: { readonly random: Random; readonly nonces: Nonces },
): DataKey[] | Promise<DataKey[]> {
  key.require("encrypt");
  if (key.row.family !== "aes") throw refuse("NOT_SUPPORTED", `${key.algorithm} wraps no data keys`, "Use an AES key.");
  if (!SIZES.includes(request.bytes))
    throw refuse("BAD_REQUEST", `a data key has ${SIZES.join(", ")} bytes, not ${request.bytes}`);
  if (request.count < 1 || request.count > LIMITS.dataKeys)
    throw refuse("BAD_REQUEST", `1 to ${LIMITS.dataKeys} data keys at once, not ${request.count}`);
  const seal = (nonces: readonly Uint8Array[]): DataKey[] =>
    nonces.map((nonce) => {
      const plaintext = tools.random.bytes(request.bytes);
      const wrapped = gcmSeal(key.secret, nonce, plaintext, request.context);
      if (request.plaintext) return { wrapped, plaintext };
      plaintext.fill(0);
      return { wrapped, plaintext: undefined };
    });
  const nonces = tools.nonces.take(stateId(key.id), request.count);
  return nonces instanceof Promise ? nonces.then(seal) : seal(nonces);
}
