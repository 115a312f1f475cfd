/** Key agreement (SP 800-56A, RFC 7748) and key encapsulation (FIPS 203). */
import { createPublicKey, decapsulate, diffieHellman, encapsulate, type KeyObject } from "node:crypto";
import { isOneSequence } from "./foreign-der.ts";
import { refuse } from "./refuse.ts";
import type { LoadedKey } from "./loaded-key.ts";

function readPeer(der: Uint8Array): KeyObject {
  try {
    if (!isOneSequence(der)) throw new TypeError("something follows the key");
    // OpenSSL refuses points that are not on their curve.
    return createPublicKey({ key: Buffer.from(der), format: "der", type: "spki" });
  } catch {
    throw refuse("BAD_REQUEST", "the peer's public key is not a valid SubjectPublicKeyInfo");
  }
}

/** The raw shared secret. @throws KEY_USAGE, BAD_REQUEST for a peer that does not fit. */
export function agree(key: LoadedKey, peerDer: Uint8Array): Uint8Array {
  key.require("agree");
  const own = key.private;
  const peer = readPeer(peerDer);
  if (
    peer.asymmetricKeyType !== own.asymmetricKeyType ||
    peer.asymmetricKeyDetails?.namedCurve !== own.asymmetricKeyDetails?.namedCurve
  ) {
    throw refuse("BAD_REQUEST", `the peer's key is not on the curve of ${key.algorithm}`);
  }
  try {
    return diffieHellman({ privateKey: own, publicKey: peer });
  } catch {
    throw refuse("BAD_REQUEST", "the peer's public key is a point of small order");
  }
}

export function encapsulateTo(key: LoadedKey): { readonly ciphertext: Uint8Array; readonly sharedSecret: Uint8Array } {
  key.require("kem");
  const { ciphertext, sharedKey } = encapsulate(key.public);
  return { ciphertext, sharedSecret: sharedKey };
}

/** Implicit rejection (FIPS 203 §6.3): a changed ciphertext of the right size gives another secret, no error. */
export function decapsulateWith(key: LoadedKey, ciphertext: Uint8Array): Uint8Array {
  key.require("kem");
  try {
    return decapsulate(key.private, ciphertext);
  } catch {
    throw refuse("BAD_REQUEST", `${ciphertext.length} bytes are no ${key.algorithm} ciphertext`);
  }
}
