// Which mechanisms a device can do with keys that it holds, from what it says about its algorithms.
import type { AlgorithmSupport } from "@casemate/devices/contract";
import { keyTypeOf } from "./key-object.ts";
import type { MechanismRow } from "./mechanisms.ts";

/** `part` is less than all of the mechanism; the row of the matrix says what. */
export type DeviceUse = "yes" | "part" | "no";

const own = new Set(["sha256", "sha384", "sha512"]);

function signs(row: MechanismRow, support: AlgorithmSupport): boolean {
  const { sign } = row;
  switch (sign?.kind) {
    case undefined:
      return false;
    case "rsa-pkcs1":
      return sign.hash !== undefined && own.has(sign.hash)
        ? support.sign.includes(`rsa-pkcs1-${sign.hash as "sha256"}`)
        : support.sign.includes("rsa-pkcs1-raw");
    case "rsa-pss":
    case "rsa-x509":
      return support.sign.includes("rsa-raw");
    case "ecdsa":
      return support.sign.includes("ecdsa-raw");
    case "eddsa":
      return support.sign.includes("pure");
    case "hmac":
      return own.has(sign.hash) && support.mac.includes(`hmac-${sign.hash as "sha256"}`);
    case "cmac":
      return support.mac.includes("aes-cmac");
  }
}

/** Modes that are made of whole blocks through the device; the others feed back inside. */
const IN_BLOCKS: ReadonlySet<string> = new Set(["ecb", "cbc", "cbc-pad", "cts", "ctr"]);

function ciphers(row: MechanismRow, support: AlgorithmSupport): DeviceUse {
  const { cipher } = row;
  switch (cipher?.kind) {
    case undefined:
      return "no";
    case "rsa-pkcs1":
      return support.cipher.includes("rsa-pkcs1") ? "yes" : "no";
    case "rsa-oaep":
      return support.cipher.some((scheme) => scheme.startsWith("rsa-oaep-")) ? "part" : "no";
    case "rsa-x509":
      return "no";
    case "gcm":
      return support.cipher.includes("aes-gcm") ? "part" : "no";
    case "block":
      if (cipher.cipher !== "aes" || !IN_BLOCKS.has(cipher.mode)) return "no";
      return support.cipher.includes("aes-ecb") ? "yes" : "no";
  }
}

function use(row: MechanismRow, support: AlgorithmSupport): DeviceUse {
  const { keyType } = keyTypeOf(support.algorithm);
  if (!row.keyTypes.includes(keyType)) return "no";
  if (row.generate !== undefined) return "yes";
  if (row.generatePair !== undefined) return "yes";
  if (row.wrap !== undefined) return support.wrap.includes(row.wrap) ? "yes" : "no";
  if (row.derive !== undefined) {
    return row.derive === "ecdh" && support.usages.includes("agree") ? "yes" : "no";
  }
  if (signs(row, support)) return row.sign?.kind === "rsa-x509" ? "part" : "yes";
  return ciphers(row, support);
}

/** What a device with these algorithms does of a mechanism. */
export function deviceUse(row: MechanismRow, algorithms: readonly AlgorithmSupport[]): DeviceUse {
  let best: DeviceUse = "no";
  for (const support of algorithms) {
    const found = use(row, support);
    if (found === "yes") return "yes";
    if (found === "part") best = "part";
  }
  return best;
}
