/** The virtual HSM for tests: same engine, but its random source repeats itself for the seed it is given. Never for real keys. */
import { createCipheriv, hash } from "node:crypto";
import { guestBoot } from "@casemate/devices/boundary/guest";
import type { Random } from "@casemate/foundation/effects";
import { serve } from "./serve.ts";

/** AES-256-CTR over zeros. RSA and SLH-DSA keys come from OpenSSL's own generator and are not repeatable. */
function seededRandom(seed: Uint8Array): Random {
  const stream = createCipheriv("aes-256-ctr", hash("sha256", seed, "buffer"), new Uint8Array(16));
  return { bytes: (length) => Uint8Array.from(stream.update(new Uint8Array(length))) };
}

const { testSeed } = guestBoot();
serve({
  passphraseCost: { memoryKiB: 1024, passes: 1, lanes: 1 },
  ...(testSeed === undefined ? {} : { random: seededRandom(testSeed) }),
});
