/** Usages that one key must not have together, in every device. */
import type { KeyAlgorithm, Usage } from "./names.ts";

interface Clash {
  readonly message: string;
  readonly hint: string;
}

/** What is wrong with these usages together; undefined for nothing. A raw RSA signature is a decryption by another name. */
export function usageClash(algorithm: KeyAlgorithm, usages: readonly Usage[]): Clash | undefined {
  if (!usages.includes("wrap")) return undefined;
  if (usages.includes("encrypt"))
    return {
      message: "a key that wraps keys does not also decrypt data: it would hand out what it wraps",
      hint: "Make two keys, one with the usage wrap and one with the usage encrypt.",
    };
  if (algorithm.startsWith("rsa-") && usages.includes("sign"))
    return {
      message: "an RSA key that wraps keys does not also sign: a raw signature would hand out what it wraps",
      hint: "Make two keys, one with the usage wrap and one with the usage sign.",
    };
  return undefined;
}

/** The usages without `wrap` where it does not go with the others: what a key is for that may do everything by habit. */
export const withoutClash = (algorithm: KeyAlgorithm, usages: readonly Usage[]): readonly Usage[] =>
  usageClash(algorithm, usages) === undefined ? usages : usages.filter((usage) => usage !== "wrap");
