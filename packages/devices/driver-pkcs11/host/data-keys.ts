/** Random bytes of the token, and data keys: random bytes that it wraps by AES-GCM. */
import { CasemateError } from "@casemate/foundation/errors";
import { CKK } from "@casemate/protocols/p11-rpc";
import type { Handlers } from "../wire.ts";
import { mustAllow, withKey } from "./batch.ts";
import { encryptor } from "./cipher.ts";
import type { KeyStore } from "./keys.ts";
import type { Lane } from "./lane.ts";

const SIZES: readonly number[] = [16, 24, 32, 64];
/** So many zeros come by chance once in 2^128. */
const TELLING = 16;
/** Some tokens give no more than 1024 at once, with what is too short to tell by itself. */
const RANDOM_AT_ONCE = 1024 - TELLING;

function randomOf({ cryptoki, session }: Lane, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length;) {
    const end = length - at < RANDOM_AT_ONCE + TELLING ? length : at + RANDOM_AT_ONCE;
    const some = bytes.subarray(at, end);
    session.run((open) => cryptoki.C_GenerateRandom(open, some));
    // A module that says all is well and gave nothing: keys are made of this.
    if (some.length >= TELLING && some.every((byte) => byte === 0))
      throw new CasemateError("DEVICE_FAILED", "the token gave zeros as random bytes");
    at = end;
  }
  return bytes;
}

export function dataKeyHandlers(lane: Lane, keys: KeyStore): Pick<Handlers, "random" | "dataKeys"> {
  return {
    random: ({ length }) => ({ bytes: randomOf(lane, length) }),
    dataKeys: ({ ref, count, bytes, plaintext, context }) =>
      withKey(keys, ref, (key) => {
        if (!SIZES.includes(bytes)) throw new CasemateError("BAD_REQUEST", `data keys have ${SIZES.join(", ")} bytes`);
        mustAllow(key.keyType === CKK.AES && key.may.decrypt, "encrypt");
        const encrypt = encryptor(lane, keys, key, "aes-gcm");
        return Array.from({ length: count }, () => {
          const value = randomOf(lane, bytes);
          try {
            const wrapped = encrypt({ data: value, context, iv: new Uint8Array() });
            return { wrapped, plaintext: plaintext ? Buffer.from(value) : undefined };
          } finally {
            value.fill(0);
          }
        });
      }),
  };
}
