/** What a token can do, as found by asking and trying: made once per connection, then shared by every thread of the vendor host. */
import {
  KEY_ALGORITHMS,
  type AlgorithmSupport,
  type CipherScheme,
  type KeyAlgorithm,
  type MacScheme,
  type SignScheme,
  type Usage,
  type WrapScheme,
} from "@casemate/devices/contract";
import { bool8, list, struct, u16, u32, u8, utf8, type Infer } from "@casemate/foundation/codec";
import { CKK, CKM } from "@casemate/protocols/p11-rpc";
import {
  ALGORITHM_ROWS,
  CIPHER_ROWS,
  FLAG,
  MAC_ROWS,
  SIGN_ROWS,
  WRAP_ROWS,
  type AlgorithmRow,
  type OaepHash,
  type SignRow,
} from "./algorithms.ts";
import { quirksOf, type Quirks } from "./quirks.ts";

const SPEC = "vendor host wire v1";

/** More than any module lists. */
const MAX_MECHANISMS = 1024;

export const planCodec = struct("plan", SPEC, {
  library: utf8(u8, 255),
  manufacturer: utf8(u8, 255),
  model: utf8(u8, 255),
  mechanisms: list(u16, struct("mechanism", SPEC, { type: u32, flags: u32, min: u32, max: u32 }), MAX_MECHANISMS),
  /** Algorithms and schemes that the mechanisms promise and the token refused when tried. */
  refused: list(u8, utf8(u8, 64), 64),
  /** Schemes of RSA-OAEP that the token has without a label only. */
  withoutLabel: list(u8, utf8(u8, 64), 16),
  /** Curves of RFC 7748 and RFC 8032 are named by PrintableString. */
  printableCurves: bool8,
});
export type PlanFields = Infer<typeof planCodec>;

type Mechanism = PlanFields["mechanisms"][number];

export interface Oaep {
  readonly hash: OaepHash;
  /** Whether a label can be bound in. */
  readonly labels: boolean;
}

export interface Plan {
  readonly fields: PlanFields;
  readonly quirks: Quirks;
  readonly reasons: readonly string[];
  has(mechanism: number, flags: number): boolean;
  generates(algorithm: KeyAlgorithm): AlgorithmRow | undefined;
  /** The mechanism of a scheme here, and whether it takes the message itself. */
  sign(
    scheme: SignScheme,
  ): { readonly row: SignRow; readonly mechanism: number; readonly hashing: boolean } | undefined;
  cipher(scheme: CipherScheme): { readonly mechanism: number; readonly oaep?: Oaep } | undefined;
  mac(scheme: MacScheme): number | undefined;
  wrap(scheme: WrapScheme): number | undefined;
  readonly agrees: boolean;
  readonly algorithms: readonly AlgorithmSupport[];
}

/** Below this an RSA size limit must mean bytes, above it an AES one bits: some modules count the other way. */
const MOST_RSA_BYTES = 1024;
const SMALLEST_AES_BITS = 128;

function fits({ keyType, size }: AlgorithmRow, { min, max }: Mechanism): boolean {
  if (max === 0 || max < min) return true;
  if (keyType === CKK.RSA) return max <= MOST_RSA_BYTES ? size / 8 <= max : size >= min && size <= max;
  if (keyType === CKK.AES) return max >= SMALLEST_AES_BITS && max <= 256 ? size * 8 <= max : size >= min && size <= max;
  if (keyType === CKK.GENERIC_SECRET) return true;
  return size <= max;
}

export function createPlan(fields: PlanFields): Plan {
  const { quirks, reasons } = quirksOf(fields);
  const mechanisms = new Map(
    fields.mechanisms.filter(({ type }) => quirks.without?.includes(type) !== true).map((row) => [row.type, row]),
  );
  const refused = new Set(fields.refused);
  const withoutLabel = new Set(fields.withoutLabel);
  const has = (mechanism: number, flags: number): boolean =>
    ((mechanisms.get(mechanism)?.flags ?? 0) & flags) === flags;

  const plan: Omit<Plan, "algorithms"> = {
    fields,
    quirks,
    reasons,
    has,
    generates(algorithm) {
      const row = ALGORITHM_ROWS.get(algorithm);
      const mechanism = row === undefined ? undefined : mechanisms.get(row.generate);
      if (row === undefined || mechanism === undefined || refused.has(algorithm)) return undefined;
      const pair = row.keyType !== CKK.AES && row.keyType !== CKK.GENERIC_SECRET;
      const allowed = has(row.generate, pair ? FLAG.generatePair : FLAG.generate);
      return allowed && fits(row, mechanism) ? row : undefined;
    },
    sign(scheme) {
      const row = SIGN_ROWS.get(scheme);
      if (row === undefined || refused.has(scheme)) return undefined;
      if (has(row.raw, FLAG.sign)) return { row, mechanism: row.raw, hashing: false };
      if (row.hashing !== undefined && has(row.hashing, FLAG.sign))
        return { row, mechanism: row.hashing, hashing: true };
      return undefined;
    },
    cipher(scheme) {
      const row = CIPHER_ROWS.get(scheme);
      if (row === undefined || refused.has(scheme) || !has(row.mechanism, FLAG.encrypt | FLAG.decrypt))
        return undefined;
      const { mechanism, oaep: hash } = row;
      return hash === undefined ? { mechanism } : { mechanism, oaep: { hash, labels: !withoutLabel.has(scheme) } };
    },
    mac(scheme) {
      const row = MAC_ROWS.get(scheme);
      return row !== undefined && !refused.has(scheme) && has(row.mechanism, FLAG.sign | FLAG.verify)
        ? row.mechanism
        : undefined;
    },
    wrap(scheme) {
      const row = WRAP_ROWS.get(scheme);
      if (row === undefined || refused.has(scheme)) return undefined;
      // In two steps: RSA-OAEP carries an AES key that never leaves the token, which carries the key itself.
      if (scheme === "rsa-aes-kwp")
        return plan.wrap("aes-kwp") !== undefined &&
          plan.cipher("rsa-oaep-sha256") !== undefined &&
          has(row.mechanism, FLAG.wrap | FLAG.unwrap)
          ? row.mechanism
          : undefined;
      const mechanism = scheme === "aes-kwp" ? (quirks.kwp ?? row.mechanism) : row.mechanism;
      return has(mechanism, FLAG.wrap | FLAG.unwrap) ? mechanism : undefined;
    },
    agrees: has(CKM.ECDH1_DERIVE, FLAG.derive),
  };
  return { ...plan, algorithms: KEY_ALGORITHMS.flatMap((algorithm) => supportOf(plan, algorithm)) };
}

function supportOf(plan: Omit<Plan, "algorithms">, algorithm: KeyAlgorithm): AlgorithmSupport[] {
  const row = plan.generates(algorithm);
  if (row === undefined) return [];
  const { keyType } = row;
  const sign = [...SIGN_ROWS.keys()].filter(
    (scheme) => SIGN_ROWS.get(scheme)?.keyTypes.includes(keyType) === true && plan.sign(scheme) !== undefined,
  );
  const cipher = [...CIPHER_ROWS.keys()].filter(
    (scheme) => CIPHER_ROWS.get(scheme)?.keyType === keyType && plan.cipher(scheme) !== undefined,
  );
  const mac = [...MAC_ROWS.keys()].filter(
    (scheme) =>
      (keyType === CKK.GENERIC_SECRET ? scheme === algorithm : keyType === CKK.AES && scheme === "aes-cmac") &&
      plan.mac(scheme) !== undefined,
  );
  const wrap = [...WRAP_ROWS.keys()].filter(
    (scheme) => WRAP_ROWS.get(scheme)?.keyType === keyType && plan.wrap(scheme) !== undefined,
  );
  const agree = plan.agrees && (keyType === CKK.EC || keyType === CKK.EC_MONTGOMERY);
  const usages: Usage[] = [
    ...(sign.length > 0 ? (["sign"] as const) : []),
    ...(cipher.length > 0 ? (["encrypt"] as const) : []),
    ...(mac.length > 0 ? (["mac"] as const) : []),
    ...(agree ? (["agree"] as const) : []),
    ...(wrap.length > 0 ? (["wrap"] as const) : []),
  ];
  return usages.length === 0 ? [] : [{ algorithm, usages, sign, cipher, mac, wrap }];
}
