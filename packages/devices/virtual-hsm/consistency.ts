/** Implements: RFC 6962 §2.1.2, Merkle consistency proofs, verified as RFC 9162 §2.1.4.2 writes it. */
import { hash, timingSafeEqual } from "node:crypto";
import { concat } from "@casemate/foundation/bytes";

/** The hash of a tree without leaves. */
const EMPTY_ROOT = hash("sha256", "", "buffer");
const NODE = Uint8Array.of(1);

export interface Tree {
  readonly size: bigint;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

const parent = (left: Uint8Array, right: Uint8Array): Uint8Array => hash("sha256", concat(NODE, left, right), "buffer");

/** Whether `proof` shows that `later` is `earlier` with leaves added at its end. */
export function continues(earlier: Tree, later: Tree, proof: readonly Uint8Array[]): boolean {
  if (earlier.size > later.size) return false;
  if (earlier.size === later.size) return proof.length === 0 && timingSafeEqual(earlier.root, later.root);
  if (earlier.size === 0n) return proof.length === 0 && timingSafeEqual(earlier.root, EMPTY_ROOT);
  // A whole tree is a node of the later one, and its hash is known: the proof leaves it out.
  const whole = (earlier.size & (earlier.size - 1n)) === 0n;
  const [first, ...rest] = whole ? [earlier.root, ...proof] : proof;
  if (first === undefined) return false;
  let at = earlier.size - 1n;
  let last = later.size - 1n;
  while ((at & 1n) === 1n) {
    at >>= 1n;
    last >>= 1n;
  }
  let old = first;
  let young = first;
  for (const node of rest) {
    if (last === 0n) return false;
    if ((at & 1n) === 1n || at === last) {
      old = parent(node, old);
      young = parent(node, young);
      while ((at & 1n) === 0n && at !== 0n) {
        at >>= 1n;
        last >>= 1n;
      }
    } else young = parent(young, node);
    at >>= 1n;
    last >>= 1n;
  }
  return last === 0n && timingSafeEqual(old, earlier.root) && timingSafeEqual(young, later.root);
}
