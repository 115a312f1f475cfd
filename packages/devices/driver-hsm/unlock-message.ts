/** The sender's half of the virtual HSM unlock message v1: a passphrase encrypted to the boundary's one-time key. */
import {
  createCipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  hkdfSync,
  randomBytes,
  verify,
} from "node:crypto";
import { concat, toUtf8 } from "@casemate/foundation/bytes";
import { UNLOCK_CONTEXT, UNLOCK_INFO } from "@casemate/protocols/hsm";

/**
 * What `unlock` takes. `challenge` is the raw X25519 key of `UnlockFacet.challenge`. Run it where the passphrase is typed: everything
 * behind it sees ciphertext only.
 */
export function sealPassphrase(challenge: Uint8Array, passphrase: Uint8Array): Uint8Array {
  const peer = createPublicKey({ key: challenge, format: "raw-public", asymmetricKeyType: "x25519" });
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  const ephemeral = publicKey.export({ format: "raw-public" });
  const shared = diffieHellman({ privateKey, publicKey: peer });
  const key = new Uint8Array(hkdfSync("sha256", shared, concat(challenge, ephemeral), toUtf8(UNLOCK_INFO), 32));
  shared.fill(0);
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  key.fill(0);
  return concat(challenge, ephemeral, nonce, cipher.update(passphrase), cipher.final(), cipher.getAuthTag());
}

/** How people compare unlock keys: `SHA256:` and the unpadded base64 of the hash over the SPKI DER. */
export function unlockKeyFingerprint(signer: Uint8Array): string {
  return `SHA256:${hash("sha256", signer, "buffer").toBase64({ omitPadding: true })}`;
}

/** Whether the device with this unlock key (SPKI DER) issued the challenge. A malformed key is nobody's. */
export function isChallengeOf(signer: Uint8Array, challenge: Uint8Array, signature: Uint8Array): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(signer), format: "der", type: "spki" });
    return (
      key.asymmetricKeyType === "ed25519" && verify(null, concat(toUtf8(UNLOCK_CONTEXT), challenge), key, signature)
    );
  } catch {
    return false;
  }
}
