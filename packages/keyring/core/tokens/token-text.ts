// API tokens: `cmt_<16 hex digits>_<43 characters of base64url>`, 256 bits of secret.
import { hash } from "node:crypto";
import type { Random } from "@casemate/foundation/effects";
import { toBase64Url } from "@casemate/foundation/bytes";

const TEXT = /^cmt_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;

export interface TokenText {
  readonly id: string;
  readonly text: string;
  /** SHA-256 of the secret part, what is kept. */
  readonly hash: Uint8Array;
}

export function newToken(random: Random): TokenText {
  const id = random.bytes(8).toHex();
  const secret = toBase64Url(random.bytes(32));
  return { id, text: `cmt_${id}_${secret}`, hash: hashSecret(secret) };
}

/** undefined for anything that is not written like a token. */
export function parseToken(text: string): { readonly id: string; readonly hash: Uint8Array } | undefined {
  const [, id, secret] = TEXT.exec(text) ?? [];
  if (id === undefined || secret === undefined) return undefined;
  return { id, hash: hashSecret(secret) };
}

/** 256 random bits need no slow hash. */
function hashSecret(secret: string): Uint8Array {
  return hash("sha256", secret, "buffer");
}
