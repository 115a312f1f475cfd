// Implements: Casemate virtual HSM unlock message v1, so that `device unlock` serves both: X25519 to a one-time key, HKDF-SHA256, AES-256-GCM.
import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  constants,
  hkdfSync,
  publicEncrypt,
  randomBytes,
  type KeyObject,
} from "node:crypto";
import { concat, toUtf8 } from "@casemate/foundation/bytes";
import { decode, fixed, rest, struct } from "@casemate/foundation/codec";
import { CasemateError } from "@casemate/foundation/errors";
import { SecretBytes } from "@casemate/foundation/secrets";
import { UNLOCK_INFO } from "@casemate/protocols/hsm";

const TAG_BYTES = 16;

const messageCodec = struct("unlock message", "virtual HSM unlock v1", {
  challenge: fixed(32),
  ephemeral: fixed(32),
  nonce: fixed(12),
  sealed: rest,
});

function sharedKey(privateKey: KeyObject, peer: Uint8Array, challenge: Uint8Array, ephemeral: Uint8Array): Uint8Array {
  const publicKey = createPublicKey({ key: peer, format: "raw-public", asymmetricKeyType: "x25519" });
  const shared = diffieHellman({ privateKey, publicKey });
  const key = new Uint8Array(hkdfSync("sha256", shared, concat(challenge, ephemeral), toUtf8(UNLOCK_INFO), 32));
  shared.fill(0);
  return key;
}

/** Encrypts a PIN to a challenge, so that neither channel nor buffers carry it. Wipes nothing of the caller's. */
export function sealPin(challenge: Uint8Array, pin: SecretBytes): Uint8Array {
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  const ephemeral = publicKey.export({ format: "raw-public" });
  const key = sharedKey(privateKey, challenge, challenge, ephemeral);
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  key.fill(0);
  return concat(challenge, ephemeral, nonce, cipher.update(pin.reveal()), cipher.final(), cipher.getAuthTag());
}

/** What RSA-2048 with OAEP and SHA-256 carries. */
const MOST_KEPT_BYTES = 190;

/** Encrypts a PIN to a device that keeps it. @throws BAD_REQUEST for one that is too long to be kept. */
export function encryptPin(recipient: Uint8Array, label: Uint8Array, pin: SecretBytes): Uint8Array {
  if (pin.length > MOST_KEPT_BYTES)
    throw new CasemateError("BAD_REQUEST", `a PIN of at most ${MOST_KEPT_BYTES} bytes can be kept, not ${pin.length}`);
  const key = createPublicKey({ key: Buffer.from(recipient), format: "der", type: "spki" });
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  return publicEncrypt({ key, padding, oaepHash: "sha256", oaepLabel: label }, pin.reveal());
}

export interface PinReceiver {
  /** A new one-time public key, raw; an older one is forgotten. */
  issue(): Uint8Array;
  /** The PIN inside a message to the last challenge, which is used up. @throws BAD_REQUEST */
  open(message: Uint8Array): SecretBytes;
}

export function createPinReceiver(): PinReceiver {
  let waiting: { readonly raw: Uint8Array; readonly privateKey: KeyObject } | undefined;
  return {
    issue() {
      const { privateKey, publicKey } = generateKeyPairSync("x25519");
      waiting = { raw: publicKey.export({ format: "raw-public" }), privateKey };
      return waiting.raw;
    },
    open(message) {
      const { challenge, ephemeral, nonce, sealed } = decode(messageCodec, message);
      const asked = waiting;
      waiting = undefined;
      if (asked === undefined || Buffer.compare(asked.raw, challenge) !== 0)
        throw new CasemateError("BAD_REQUEST", "the unlock message answers no waiting challenge", {
          hint: "Ask for a new challenge.",
        });
      if (sealed.length < TAG_BYTES) throw new CasemateError("BAD_REQUEST", "the unlock message is too short");
      try {
        const key = sharedKey(asked.privateKey, ephemeral, challenge, ephemeral);
        const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
        key.fill(0);
        decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
        const plain = decipher.update(sealed.subarray(0, -TAG_BYTES));
        decipher.final();
        return SecretBytes.take(plain);
      } catch {
        throw new CasemateError("BAD_REQUEST", "the unlock message was not encrypted to its challenge");
      }
    },
  };
}
