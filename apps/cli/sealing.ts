// Implements: virtual HSM unlock message v1 (packages/protocols/hsm): X25519 to a one-time key, HKDF-SHA256, AES-256-GCM.
import {
  createCipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  randomBytes,
} from "node:crypto";
import { concat, toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import type { SecretBytes } from "@casemate/foundation/secrets";
import { UNLOCK_INFO } from "@casemate/protocols/hsm";

const X25519_BYTES = 32;
const NONCE_BYTES = 12;

/**
 * Encrypts a secret to a device's one-time X25519 key (32 bytes raw), so that the server only relays ciphertext.
 * @throws BAD_REQUEST for a challenge that is not a usable key.
 */
export function sealFor(challenge: Uint8Array, secret: SecretBytes): Uint8Array {
  if (challenge.length !== X25519_BYTES) {
    throw new CasemateError("BAD_REQUEST", `the device's challenge has ${challenge.length} bytes, not ${X25519_BYTES}`);
  }
  const { publicKey, privateKey } = generateKeyPairSync("x25519");
  const ephemeral = new Uint8Array(publicKey.export({ format: "raw-public" }));
  const peer = createPublicKey({ key: Buffer.from(challenge), format: "raw-public", asymmetricKeyType: "x25519" });
  const shared = diffieHellman({ privateKey, publicKey: peer });
  const salt = concat(challenge, ephemeral);
  const key = new Uint8Array(hkdfSync("sha256", shared, salt, toUtf8(UNLOCK_INFO), 32));
  shared.fill(0);
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  key.fill(0);
  const sealed = concat(cipher.update(secret.reveal()), cipher.final(), cipher.getAuthTag());
  return concat(salt, nonce, sealed);
}
