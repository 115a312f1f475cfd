/** The way of a passphrase into the boundary: X25519 to a one-time key, HKDF-SHA256, AES-256-GCM. Virtual HSM unlock message v1. */
import {
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  type KeyObject,
} from "node:crypto";
import { concat, toHex, toUtf8 } from "@casemate/foundation/bytes";
import { decode, fixed, rest, struct } from "@casemate/foundation/codec";
import type { Random } from "@casemate/foundation/effects";
import { SecretBytes } from "@casemate/foundation/secrets";
import { UNLOCK_INFO } from "@casemate/protocols/hsm";
import { refuse } from "./refuse.ts";

/** Challenges that may wait for their answer at the same time; older ones are forgotten. */
const MAX_WAITING = 16;

const messageCodec = struct("unlock message", "virtual HSM unlock v1", {
  challenge: fixed(32),
  ephemeral: fixed(32),
  nonce: fixed(12),
  sealed: rest,
});

export interface Challenges {
  /** A new one-time public key, raw. */
  issue(): Uint8Array;
  /** The passphrase inside a message. Its challenge is used up. @throws BAD_REQUEST */
  open(message: Uint8Array): SecretBytes;
  clear(): void;
}

export function createChallenges(random: Random): Challenges {
  const waiting = new Map<string, KeyObject>();
  return {
    issue() {
      const key = random.bytes(32);
      const privateKey = createPrivateKey({ key, format: "raw-private", asymmetricKeyType: "x25519" });
      key.fill(0);
      const raw = createPublicKey(privateKey).export({ format: "raw-public" });
      waiting.set(toHex(raw), privateKey);
      for (const oldest of waiting.keys()) {
        if (waiting.size <= MAX_WAITING) break;
        waiting.delete(oldest);
      }
      return raw;
    },
    open(message) {
      const { challenge, ephemeral, nonce, sealed } = decode(messageCodec, message);
      const name = toHex(challenge);
      const privateKey = waiting.get(name);
      waiting.delete(name);
      if (privateKey === undefined)
        throw refuse("BAD_REQUEST", "the unlock message answers no waiting challenge", "Ask for a new challenge.");
      if (sealed.length < 16) throw refuse("BAD_REQUEST", "the unlock message is too short");
      try {
        const publicKey = createPublicKey({ key: ephemeral, format: "raw-public", asymmetricKeyType: "x25519" });
        const shared = diffieHellman({ privateKey, publicKey });
        const key = new Uint8Array(hkdfSync("sha256", shared, concat(challenge, ephemeral), toUtf8(UNLOCK_INFO), 32));
        shared.fill(0);
        const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
        key.fill(0);
        decipher.setAuthTag(sealed.subarray(sealed.length - 16));
        const plain = decipher.update(sealed.subarray(0, sealed.length - 16));
        decipher.final();
        return SecretBytes.take(plain);
      } catch {
        throw refuse("BAD_REQUEST", "the unlock message was not encrypted to its challenge");
      }
    },
    clear: () => waiting.clear(),
  };
}
