// Implements: p11-kit RPC, the signature letters of p11-kit/rpc-message.h.
import type { Attribute, AttributeBuffer } from "./attribute.ts";
import type { Mechanism } from "./mechanism.ts";

/** A CK_VERSION. */
export interface Version {
  readonly major: number;
  readonly minor: number;
}

/**
 * Bytes from the caller. `undefined` is a NULL pointer with a length above zero (bad arguments everywhere);
 * a NULL pointer of length zero is the one value `NULL_BYTES`, which reads as empty.
 */
export type ByteArray = Uint8Array | undefined;
export const NULL_BYTES: Uint8Array = new Uint8Array(0);

/** Bytes for the caller, or only their length: for a size query and for a buffer that is too small. */
export type ByteReply = Uint8Array | number;
/** Numbers for the caller, or only their count. */
export type UlongReply = readonly number[] | number;

/** How much room the caller has, or `SIZE_QUERY` for a NULL pointer. */
export type Capacity = number;
export const SIZE_QUERY = -1;

interface LetterTypes {
  y: number;
  u: number;
  v: Version;
  s: string;
  z: string | undefined;
  M: Mechanism;
  /** The type of the mechanism whose parameter a call may have changed. */
  P: number | undefined;
  ay: ByteArray;
  au: readonly number[] | undefined;
  aA: readonly Attribute[];
  fy: Capacity;
  fu: Capacity;
  fA: readonly AttributeBuffer[];
}
interface ReplyTypes extends Omit<LetterTypes, "ay" | "au"> {
  ay: ByteReply;
  au: UlongReply;
}
export type Letter = keyof LetterTypes;

type Split<S extends string> = S extends ""
  ? []
  : S extends `${infer P extends "a" | "f"}${infer L}${infer R}`
    ? [`${P}${L}`, ...Split<R>]
    : S extends `${infer L}${infer R}`
      ? [L, ...Split<R>]
      : never;
type Values<L, T> = { [I in keyof L]: L[I] extends keyof T ? T[L[I]] : never };

/** What a request of this signature carries. */
export type RequestValues<S extends string> = Values<Split<S>, LetterTypes>;
/** What a reply of this signature carries. */
export type ReplyValues<S extends string> = Values<Split<S>, ReplyTypes>;

const LETTERS: ReadonlySet<string> = new Set("y u v s z M P ay au aA fy fu fA".split(" "));

/** Splits a signature of the call table; a letter that does not exist is a mistake in the table. */
export function splitSignature(signature: string): readonly Letter[] {
  const letters: Letter[] = [];
  for (let i = 0; i < signature.length; i++) {
    const prefixed = signature[i] === "a" || signature[i] === "f";
    const letter = prefixed ? signature.slice(i, i + 2) : (signature[i] ?? "");
    if (!LETTERS.has(letter)) throw new TypeError(`signature ${signature}: no letter ${letter}`);
    letters.push(letter as Letter);
    if (prefixed) i++;
  }
  return letters;
}
