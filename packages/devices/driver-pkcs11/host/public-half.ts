/** The public half of a private key: sought by CKA_ID or label, which anybody may have given to other keys too, so it has to be shown that it belongs. */
import { createPublicKey } from "node:crypto";
import type { KeyAlgorithm } from "@casemate/devices/contract";
import { equalBytes } from "@casemate/foundation/bytes";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { CKA, CKK, CKO } from "@casemate/protocols/p11-rpc";
import type { Address } from "../key-ref.ts";
import { algorithmOf, pointOf } from "../public-key.ts";
import type { Handle } from "./addon.ts";
import { readAttributes } from "./attributes.ts";
import type { Lane } from "./lane.ts";
import { findInToken, type Find, type Wanted } from "./object-index.ts";
import { proofOf, type Signer } from "./prove.ts";
import { importPublic, modulusOf, spkiOf, withoutZeros } from "./public-objects.ts";

/** The public half of a pair, as the token uses it and as the world does. */
export interface PublicHalf {
  readonly handle: Handle;
  readonly spki: Uint8Array;
  /** RSA's modulus, big-endian without leading zeros. */
  readonly modulus: Uint8Array | undefined;
  /** Compared with the private key, or proved by its signature; else it stands where no other key can be meant. */
  readonly certain: boolean;
}

/**
 * Whether the private key signs once to show its public half, where nothing can be compared: `never` for lists, `doubtful`
 * when several keys may be meant, `always` when the half is published.
 */
export type Proof = "never" | "doubtful" | "always";

interface Private extends Signer {
  readonly address: Address;
  readonly algorithm: KeyAlgorithm;
}

interface Candidate {
  readonly spki: Uint8Array;
  /** Undefined of what is known from a certificate. */
  readonly handle: Handle | undefined;
  readonly label: Uint8Array;
}

/** More public keys and certificates of one id than this are not looked at. */
const MOST_CANDIDATES = 64;

const HINT = "Write the public key or the certificate to the token, with the same CKA_ID and CKA_LABEL.";
const none = (): CasemateError =>
  new CasemateError("NOT_FOUND", "the token holds no public half of this key, nor a certificate with it", {
    hint: HINT,
  });
const unproved = (): CasemateError =>
  new CasemateError("NOT_FOUND", "the token holds no public half that can be shown to belong to this key", {
    hint: HINT,
  });

/** By CKA_ID, where the key has one, else by label. */
const namedAs = ({ id, label }: Address): Pick<Wanted, "ID" | "LABEL"> =>
  id.length > 0 ? { ID: Buffer.from(id) } : { LABEL: Buffer.from(label) };

/** What cannot be read is no candidate. */
function readable<T>(read: () => T | undefined): T[] {
  try {
    const value = read();
    return value === undefined ? [] : [value];
  } catch (error) {
    if (!isCasemateError(error)) throw error;
    return [];
  }
}

function publicKeys(lane: Lane, session: Handle, { address, algorithm, keyType }: Private, find: Find): Candidate[] {
  const wanted = { CLASS: CKO.PUBLIC_KEY, KEY_TYPE: keyType, ...namedAs(address) };
  return find(wanted, MOST_CANDIDATES).flatMap((handle) => {
    const read = readAttributes(lane.cryptoki, session, handle, [
      CKA.LABEL,
      ...(keyType === CKK.RSA ? [] : [CKA.EC_PARAMS]),
    ]);
    const params = read.get(CKA.EC_PARAMS);
    if (params !== undefined && algorithmOf({ keyType, params }) !== algorithm) return [];
    return readable(() => spkiOf(lane, session, handle, algorithm))
      .filter((spki) => isOf(algorithm, spki))
      .map((spki) => ({ spki, handle, label: read.get(CKA.LABEL) ?? new Uint8Array() }));
  });
}

function certificates(lane: Lane, session: Handle, { address, algorithm }: Private, find: Find): Candidate[] {
  const wanted = { CLASS: CKO.CERTIFICATE, ...namedAs(address) };
  return find(wanted, MOST_CANDIDATES).flatMap((handle) => {
    const read = readAttributes(lane.cryptoki, session, handle, [CKA.LABEL, CKA.VALUE]);
    const spki = spkiOfCertificate(read.get(CKA.VALUE));
    if (spki === undefined || !isOf(algorithm, spki)) return [];
    return [{ spki, handle: undefined, label: read.get(CKA.LABEL) ?? new Uint8Array() }];
  });
}

function spkiOfCertificate(der: Buffer | undefined): Uint8Array | undefined {
  if (der === undefined) return undefined;
  try {
    const key = createPublicKey(`-----BEGIN CERTIFICATE-----\n${der.toString("base64")}\n-----END CERTIFICATE-----\n`);
    return new Uint8Array(key.export({ format: "der", type: "spki" }));
  } catch {
    return undefined;
  }
}

/** Whether the public key is one of that algorithm: a certificate may be of any. */
function isOf(algorithm: KeyAlgorithm, spki: Uint8Array): boolean {
  if (pointOf(algorithm, spki) !== undefined) return true;
  const modulus = modulusOf(spki);
  return modulus !== undefined && algorithmOf({ keyType: CKK.RSA, modulusBits: modulus.length * 8 }) === algorithm;
}

/** Each key once, objects before certificates, and those of the private key's own label first. */
function candidatesOf(lane: Lane, session: Handle, key: Private, find: Find): Candidate[] {
  const ownLabel = ({ label }: Candidate): number => (equalBytes(label, key.address.label) ? 0 : 1);
  const found: Candidate[] = [];
  for (const candidate of [...publicKeys(lane, session, key, find), ...certificates(lane, session, key, find)])
    if (!found.some(({ spki }) => equalBytes(spki, candidate.spki))) found.push(candidate);
  return found.toSorted((a, b) => ownLabel(a) - ownLabel(b));
}

/** One public key of the same id and label, and no other private key of that type which it could belong to. */
function standsAlone({ address, keyType }: Private, candidates: readonly Candidate[], find: Find): boolean {
  const [only, other] = candidates;
  if (only?.handle === undefined || other !== undefined || !equalBytes(only.label, address.label)) return false;
  return find({ CLASS: CKO.PRIVATE_KEY, KEY_TYPE: keyType, ...namedAs(address) }, 2).length < 2;
}

/** What most tokens show of a private RSA key. */
function ownModulus(lane: Lane, session: Handle, { handle, keyType }: Private): Uint8Array | undefined {
  if (keyType !== CKK.RSA) return undefined;
  const modulus = readAttributes(lane.cryptoki, session, handle, [CKA.MODULUS]).get(CKA.MODULUS);
  return modulus === undefined || modulus.length === 0 ? undefined : withoutZeros(modulus);
}

const hasModulus = (spki: Uint8Array, modulus: Uint8Array): boolean =>
  equalBytes(modulusOf(spki) ?? new Uint8Array(), modulus);

/** What is found of a public half: without a handle where it is no object, but part of the private key or of a certificate. */
export interface FoundHalf {
  readonly spki: Uint8Array;
  readonly handle: Handle | undefined;
  readonly certain: boolean;
}

/** @throws NOT_FOUND */
export function seekPublicHalf(lane: Lane, session: Handle, key: Private, proof: Proof, find: Find): FoundHalf {
  const { algorithm } = key;
  const candidates = candidatesOf(lane, session, key, find);

  // Many tokens show the public part of a private key: of RSA nearly all, of curves some.
  const [own] = readable(() => spkiOf(lane, session, key.handle, algorithm));
  if (own !== undefined) {
    const handle = candidates.find(({ spki }) => equalBytes(spki, own))?.handle;
    return { spki: own, handle, certain: true };
  }
  const modulus = ownModulus(lane, session, key);
  if (modulus !== undefined) {
    const same = candidates.find(({ spki }) => hasModulus(spki, modulus));
    if (same === undefined) throw candidates.length === 0 ? none() : unproved();
    return { spki: same.spki, handle: same.handle, certain: true };
  }

  if (candidates.length === 0) throw none();
  const alone = standsAlone(key, candidates, find);
  const belongs = proof === "always" || (proof === "doubtful" && !alone) ? proofOf(lane, session, key) : undefined;
  const chosen = belongs === undefined && alone ? candidates[0] : candidates.find(({ spki }) => belongs?.(spki));
  if (chosen === undefined) throw unproved();
  return { spki: chosen.spki, handle: chosen.handle, certain: belongs !== undefined };
}

/** A public half that is no object of its own becomes a session object. @throws NOT_FOUND */
export function findPublicHalf(lane: Lane, session: Handle, key: Private, proof: Proof): PublicHalf {
  const { spki, handle, certain } = seekPublicHalf(lane, session, key, proof, findInToken(lane, session));
  return {
    handle: handle ?? importPublic(lane, session, key.algorithm, spki, {}),
    spki,
    modulus: modulusOf(spki),
    certain,
  };
}

/** Whether the public key is that of the private one, which signs once where nothing can be compared. Undefined when nothing tells. */
export function isHalfOf(lane: Lane, session: Handle, key: Private, spki: Uint8Array): boolean | undefined {
  const modulus = ownModulus(lane, session, key);
  if (modulus !== undefined) return hasModulus(spki, modulus);
  const [own] = readable(() => spkiOf(lane, session, key.handle, key.algorithm));
  if (own !== undefined) return equalBytes(own, spki);
  const belongs = proofOf(lane, session, key);
  if (belongs !== undefined) return belongs(spki);
  try {
    return equalBytes(seekPublicHalf(lane, session, key, "never", findInToken(lane, session)).spki, spki);
  } catch (error) {
    if (!isCasemateError(error)) throw error;
    return undefined;
  }
}
