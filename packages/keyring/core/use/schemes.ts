import type { AlgorithmSupport, InputKind, KeyAlgorithm, SignScheme } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import { ALGORITHMS } from "../algorithms.ts";
import type { Selected } from "./select.ts";

type SchemeColumn = "sign" | "cipher" | "mac" | "wrap";

/**
 * The scheme asked for, or the key's default on this device. A device that was not there since the start says itself why it does
 * nothing; what it can do is unknown until then. @throws NOT_SUPPORTED naming what there is.
 */
export function schemeOf<C extends SchemeColumn>(
  selected: Selected,
  column: C,
  wanted: AlgorithmSupport[C][number] | undefined,
  preferred: readonly AlgorithmSupport[C][number][],
): AlgorithmSupport[C][number] {
  const { algorithm } = selected.record;
  const { algorithms } = selected.device;
  const support =
    algorithms.length === 0 ? ALGORITHMS[algorithm] : algorithms.find((row) => row.algorithm === algorithm);
  const there: readonly AlgorithmSupport[C][number][] = support?.[column] ?? [];
  if (wanted === undefined) {
    const scheme = preferred.find((candidate) => there.includes(candidate));
    if (scheme !== undefined) return scheme;
  } else if (preferred.includes(wanted) && there.includes(wanted)) return wanted;
  throw new CasemateError(
    "NOT_SUPPORTED",
    `${algorithm} on ${selected.device.identity.id} has no ${wanted === undefined ? `${column} scheme` : String(wanted).slice(0, 64)}`,
    { hint: there.length === 0 ? "Choose another device." : `It has: ${there.join(", ")}.` },
  );
}

/** Bytes of a digest under a prehash scheme. */
const PREHASH_BYTES: ReadonlyMap<SignScheme, number> = new Map([
  ["prehash-sha256", 32],
  ["prehash-sha384", 48],
  ["prehash-sha512", 64],
  ["prehash-shake256", 64],
]);

/**
 * A key's signature schemes, the preferred one first. Where there are prehashes, a digest goes by the one of its length:
 * under `pure` ML-DSA would take it for μ, and the others take none.
 */
export function signSchemes(
  algorithm: KeyAlgorithm,
  kind: InputKind,
  first: Uint8Array | undefined,
): readonly SignScheme[] {
  const { sign } = ALGORITHMS[algorithm];
  const prehashes = kind === "message" ? [] : sign.filter((scheme) => PREHASH_BYTES.has(scheme));
  if (prehashes.length === 0) return sign;
  const fitting = prehashes.filter((scheme) => PREHASH_BYTES.get(scheme) === first?.length);
  return [...new Set([...fitting, ...prehashes, ...sign])];
}
