/** Casemate virtual HSM key reference, version 1: a clear header that is authenticated, then the sealed key material. */
import { bool8, fixed, rest, struct, u8, type Infer } from "@casemate/foundation/codec";
import { ALGORITHMS, KEY_ALGORITHM_NAMES, algorithmCodec, usagesCodec, type KeyAlgorithm } from "./algorithms.ts";

export const KEY_REF_VERSION = 1;
export const KEY_ID_BYTES = 16;
/** Version, algorithm, usages, exportable, key id. */
export const KEY_REF_HEADER_BYTES = 1 + 1 + 2 + 1 + KEY_ID_BYTES;
export const KEY_REF_NONCE_BYTES = 12;
export const KEY_REF_TAG_BYTES = 16;

const header = {
  version: u8,
  algorithm: algorithmCodec,
  usages: usagesCodec,
  exportable: bool8,
  keyId: fixed(KEY_ID_BYTES),
} as const;

export const keyRefHeaderCodec = struct("key reference header", "virtual HSM key reference v1", header);

export const keyRefCodec = struct("key reference", "virtual HSM key reference v1", {
  ...header,
  nonce: fixed(KEY_REF_NONCE_BYTES),
  /** AES-256-GCM ciphertext ‖ tag. */
  sealed: rest,
});

export type KeyRefHeader = Infer<typeof keyRefHeaderCodec>;
export type KeyRefFields = Infer<typeof keyRefCodec>;

const BY_CODE: ReadonlyMap<number | undefined, KeyAlgorithm> = new Map(
  KEY_ALGORITHM_NAMES.map((name) => [ALGORITHMS[name].code, name]),
);

/** The algorithm a reference claims, without any proof: for routing only. */
export function peekAlgorithm(ref: Uint8Array): KeyAlgorithm | undefined {
  return ref.length > KEY_REF_HEADER_BYTES && ref[0] === KEY_REF_VERSION ? BY_CODE.get(ref[1]) : undefined;
}
