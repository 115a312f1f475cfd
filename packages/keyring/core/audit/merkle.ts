/** Implements: RFC 6962 §2.1, Merkle hash trees, audit paths and consistency proofs. */
import { hash } from "node:crypto";
import { equalBytes } from "@casemate/foundation/bytes";

/** MTH({}): the hash of the empty string. */
export const EMPTY_ROOT: Uint8Array = hash("sha256", "", "buffer");

const PAIR = Buffer.alloc(65, 1);

export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  PAIR.set(left, 1);
  PAIR.set(right, 33);
  return hash("sha256", PAIR, "buffer");
}

/**
 * Complete subtrees are stored as they are finished: leaf, then each parent it completes. Where node `index` of
 * `level` lies in that order follows from the number of leaves before its last one.
 */
export function storedIndex(level: number, index: number): number {
  const before = (index + 1) * 2 ** level - 1;
  return storedCount(before) + level;
}

/** Nodes stored for a tree of `size` leaves. */
export function storedCount(size: number): number {
  let ones = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) ones += rest % 2;
  return 2 * size - ones;
}

/** The right edge of a growing tree: one finished subtree per set bit of its size. */
export class Frontier {
  size = 0;
  /** By level; an entry counts only where the size has that bit. */
  #peaks: Uint8Array[] = [];

  static from(size: number, peaks: readonly Uint8Array[]): Frontier {
    const frontier = new Frontier();
    frontier.size = size;
    frontier.#peaks = [...peaks];
    return frontier;
  }

  copy(): Frontier {
    return Frontier.from(this.size, this.#peaks);
  }

  /** Adds a leaf hash and hands every node it completes to `store`, in stored order. */
  append(leaf: Uint8Array, store?: (node: Uint8Array) => void): void {
    let node = leaf;
    store?.(node);
    let level = 0;
    for (let rest = this.size; rest % 2 === 1; rest = Math.floor(rest / 2)) {
      node = nodeHash(this.#peaks[level]!, node);
      store?.(node);
      level++;
    }
    this.#peaks[level] = node;
    this.size++;
  }

  root(): Uint8Array {
    let root: Uint8Array | undefined;
    let level = 0;
    for (let rest = this.size; rest > 0; rest = Math.floor(rest / 2)) {
      if (rest % 2 === 1) root = root === undefined ? this.#peaks[level]! : nodeHash(this.#peaks[level]!, root);
      level++;
    }
    return root ?? EMPTY_ROOT;
  }
}

/** Levels of the finished subtrees of a tree of `size`, with their index at that level. */
export function peaksOf(size: number): readonly { readonly level: number; readonly index: number }[] {
  const peaks = [];
  for (let level = 0, rest = size; rest > 0; level++, rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) peaks.push({ level, index: rest - 1 });
  }
  return peaks;
}

/** Reads the hash of a finished subtree. */
export type NodeReader = (level: number, index: number) => Promise<Uint8Array>;

/** Largest power of two smaller than `n`, for n > 1. */
function splitPoint(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/** MTH of leaves `from` to `to` (exclusive); `from` is a multiple of the split points above it. */
export async function subtreeRoot(read: NodeReader, from: number, to: number): Promise<Uint8Array> {
  const count = to - from;
  if (count === 0) return EMPTY_ROOT;
  const level = Math.log2(count);
  if (Number.isInteger(level)) return read(level, from / count);
  const middle = from + splitPoint(count);
  return nodeHash(await subtreeRoot(read, from, middle), await subtreeRoot(read, middle, to));
}

/** PATH(m, D[n]) of §2.1.1. */
export async function inclusionPath(read: NodeReader, index: number, size: number): Promise<Uint8Array[]> {
  const path: Uint8Array[] = [];
  let from = 0;
  let to = size;
  while (to - from > 1) {
    const middle = from + splitPoint(to - from);
    if (index < middle) {
      path.unshift(await subtreeRoot(read, middle, to));
      to = middle;
    } else {
      path.unshift(await subtreeRoot(read, from, middle));
      from = middle;
    }
  }
  return path;
}

/** PROOF(m, D[n]) of §2.1.2, for 0 < first <= second; empty when they are equal. */
export async function consistencyPath(read: NodeReader, first: number, second: number): Promise<Uint8Array[]> {
  const path: Uint8Array[] = [];
  let from = 0;
  let to = second;
  while (first !== to) {
    const middle = from + splitPoint(to - from);
    if (first <= middle) {
      path.unshift(await subtreeRoot(read, middle, to));
      to = middle;
    } else {
      path.unshift(await subtreeRoot(read, from, middle));
      from = middle;
    }
  }
  // The old tree itself is known to whoever asks; a part of it is not.
  if (from > 0) path.unshift(await subtreeRoot(read, from, to));
  return path;
}

/** Whether `path` leads from the leaf at `index` to the root of the tree of `size` (RFC 9162 §2.1.3.2). */
export function verifyInclusion(
  leaf: Uint8Array,
  index: number,
  size: number,
  path: readonly Uint8Array[],
  root: Uint8Array,
): boolean {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return false;
  let position = index;
  let last = size - 1;
  let node = leaf;
  for (const sibling of path) {
    if (last === 0) return false;
    if (position % 2 === 1 || position === last) {
      node = nodeHash(sibling, node);
      while (position % 2 === 0 && position !== 0) {
        position = Math.floor(position / 2);
        last = Math.floor(last / 2);
      }
    } else {
      node = nodeHash(node, sibling);
    }
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && equalBytes(node, root);
}

/** Whether the tree with `secondRoot` extends the one with `firstRoot` (RFC 9162 §2.1.4.2). */
export function verifyConsistency(
  first: number,
  second: number,
  path: readonly Uint8Array[],
  firstRoot: Uint8Array,
  secondRoot: Uint8Array,
): boolean {
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(second) || first < 0 || first > second) return false;
  if (first === second) return path.length === 0 && equalBytes(firstRoot, secondRoot);
  if (first === 0) return path.length === 0 && equalBytes(firstRoot, EMPTY_ROOT);
  const whole = Number.isInteger(Math.log2(first));
  const [start, ...rest] = whole ? [firstRoot, ...path] : path;
  if (start === undefined) return false;
  let position = first - 1;
  let last = second - 1;
  while (position % 2 === 1) {
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  }
  let old = start;
  let young = start;
  for (const node of rest) {
    if (last === 0) return false;
    if (position % 2 === 1 || position === last) {
      old = nodeHash(node, old);
      young = nodeHash(node, young);
      while (position % 2 === 0 && position !== 0) {
        position = Math.floor(position / 2);
        last = Math.floor(last / 2);
      }
    } else {
      young = nodeHash(young, node);
    }
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && equalBytes(old, firstRoot) && equalBytes(young, secondRoot);
}
