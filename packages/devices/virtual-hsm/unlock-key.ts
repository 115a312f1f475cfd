/**
 * The key that signs unlock challenges: an Ed25519 seed of 32 bytes in a file of its own, because a locked device can open nothing else.
 * It opens no sealed state and proves nothing but that a challenge came from the process that was given the file.
 */
import { createPrivateKey, createPublicKey, hash, sign, type KeyObject } from "node:crypto";
import { concat, toUtf8 } from "@casemate/foundation/bytes";
import type { Random } from "@casemate/foundation/effects";
import { UNLOCK_CONTEXT } from "@casemate/protocols/hsm";
import { refuse } from "./refuse.ts";
import type { RootFile } from "./root.ts";

const SEED_BYTES = 32;

export interface UnlockKey {
  /** SPKI DER. */
  readonly publicKey: Uint8Array;
  /** `SHA256:` and the unpadded base64 of the hash over `publicKey`. */
  readonly fingerprint: string;
  /** Over a challenge's raw public key. */
  sign(challenge: Uint8Array): Uint8Array;
}

function unlockKey(seed: Uint8Array): UnlockKey {
  const key: KeyObject = createPrivateKey({ key: seed, format: "raw-private", asymmetricKeyType: "ed25519" });
  seed.fill(0);
  const publicKey = createPublicKey(key).export({ format: "der", type: "spki" });
  return {
    publicKey,
    fingerprint: `SHA256:${hash("sha256", publicKey, "buffer").toBase64({ omitPadding: true })}`,
    sign: (challenge) => sign(null, concat(toUtf8(UNLOCK_CONTEXT), challenge), key),
  };
}

/** Another key in place of the one there. The host syncs the file before it confirms the next saved state. */
export function makeUnlockKey(file: RootFile, random: Random): UnlockKey {
  const seed = random.bytes(SEED_BYTES);
  file.write(seed);
  return unlockKey(seed);
}

/** The key in the file, made when the file is empty. @throws CONFIG_INVALID for a file that holds something else. */
export function openUnlockKey(file: RootFile, random: Random): UnlockKey {
  const content = file.read(SEED_BYTES + 1);
  if (content.length <= SEED_BYTES && content.every((byte) => byte === 0)) return makeUnlockKey(file, random);
  if (content.length !== SEED_BYTES)
    throw refuse(
      "CONFIG_INVALID",
      `the unlock key file has ${file.size()} bytes, not ${SEED_BYTES}`,
      "Restore it from its backup; without it, empty it: clients then have to trust a new unlock key.",
    );
  return unlockKey(content.slice());
}
