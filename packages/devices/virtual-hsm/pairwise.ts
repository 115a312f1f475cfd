/** Pairwise consistency of a new key (SP 800-56A §5.6.2.1.4, FIPS 140-3 IG 10.3.A): what the private half does, the public half must confirm. */
import {
  createPublicKey,
  decapsulate,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  sign,
  verify,
  type KeyObject,
} from "node:crypto";
import { equalBytes, toUtf8 } from "@casemate/foundation/bytes";
import type { Family } from "@casemate/protocols/hsm";
import type { LoadedKey } from "./loaded-key.ts";
import { refuse } from "./refuse.ts";

const MESSAGE = toUtf8("casemate pairwise consistency");

const signs =
  (hash: string | null) =>
  (privateKey: KeyObject, publicKey: KeyObject): boolean =>
    verify(hash, MESSAGE, publicKey, sign(hash, MESSAGE, privateKey));

/** Some SLH-DSA signatures take a second: on the thread pool. */
const signsSlowly = (privateKey: KeyObject, publicKey: KeyObject): Promise<boolean> =>
  new Promise((resolve, reject) => {
    sign(null, MESSAGE, privateKey, (error, signature) =>
      error === null ? resolve(verify(null, MESSAGE, publicKey, signature)) : reject(error),
    );
  });

function agrees(privateKey: KeyObject, publicKey: KeyObject): boolean {
  const other = generateKeyPairSync(privateKey.asymmetricKeyType as "x25519");
  return equalBytes(
    diffieHellman({ privateKey, publicKey: other.publicKey }),
    diffieHellman({ privateKey: other.privateKey, publicKey }),
  );
}

function encapsulates(privateKey: KeyObject, publicKey: KeyObject): boolean {
  const { ciphertext, sharedKey } = encapsulate(publicKey);
  return equalBytes(decapsulate(privateKey, ciphertext), sharedKey);
}

type Check = (privateKey: KeyObject, publicKey: KeyObject) => boolean | Promise<boolean>;

const CHECKS: Readonly<Partial<Record<Family, Check>>> = {
  rsa: signs("sha256"),
  ec: signs("sha256"),
  edwards: signs(null),
  montgomery: agrees,
  "ml-dsa": signs(null),
  "ml-kem": encapsulates,
  "slh-dsa": signsSlowly,
};

/** @throws BAD_REQUEST when the halves do not belong together. */
export async function checkPair(key: LoadedKey): Promise<void> {
  const check = CHECKS[key.row.family];
  if (check === undefined) return;
  const holds = await Promise.resolve()
    .then(() => check(key.private, createPublicKey(key.private)))
    .catch(() => false);
  if (!holds) throw refuse("BAD_REQUEST", `the two halves of the ${key.algorithm} key do not belong together`);
}
