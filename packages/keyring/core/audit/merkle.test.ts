import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { concat, fromHex, toHex, toUtf8 } from "@casemate/foundation/bytes";
import {
  consistencyPath,
  EMPTY_ROOT,
  Frontier,
  inclusionPath,
  nodeHash,
  storedCount,
  storedIndex,
  subtreeRoot,
  verifyConsistency,
  verifyInclusion,
} from "./merkle.ts";

const leafHash = (data: Uint8Array): Uint8Array => hash("sha256", concat(Uint8Array.of(0), data), "buffer");

/** A tree with its stored nodes, and a reader over them. */
function build(leaves: readonly Uint8Array[]) {
  const frontier = new Frontier();
  const nodes: Uint8Array[] = [];
  for (const leaf of leaves) frontier.append(leaf, (node) => nodes.push(node));
  const read = (level: number, index: number): Promise<Uint8Array> =>
    Promise.resolve(nodes[storedIndex(level, index)]!);
  return { frontier, nodes, read };
}

/** MTH exactly as §2.1 writes it. */
function naiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return EMPTY_ROOT;
  if (leaves.length === 1) return leaves[0]!;
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return nodeHash(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)));
}

/** PATH exactly as §2.1.1 writes it. */
function naivePath(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length === 1) return [];
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return m < k
    ? [...naivePath(m, leaves.slice(0, k)), naiveRoot(leaves.slice(k))]
    : [...naivePath(m - k, leaves.slice(k)), naiveRoot(leaves.slice(0, k))];
}

/** SUBPROOF exactly as §2.1.2 writes it. */
function naiveProof(m: number, leaves: readonly Uint8Array[], known: boolean): Uint8Array[] {
  if (m === leaves.length) return known ? [] : [naiveRoot(leaves)];
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return m <= k
    ? [...naiveProof(m, leaves.slice(0, k), known), naiveRoot(leaves.slice(k))]
    : [...naiveProof(m - k, leaves.slice(k), false), naiveRoot(leaves.slice(0, k))];
}

// The eight entries and roots that the Certificate Transparency implementations share as test data.
const CT_ENTRIES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const CT_ROOTS = [
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

test("roots are those of the Certificate Transparency test data", async () => {
  const leaves = CT_ENTRIES.map((hex) => leafHash(fromHex(hex)));
  const { read } = build(leaves);
  for (const [index, root] of CT_ROOTS.entries()) {
    assert.equal(toHex(build(leaves.slice(0, index + 1)).frontier.root()), root);
    assert.equal(toHex(await subtreeRoot(read, 0, index + 1)), root);
  }
  assert.equal(toHex(EMPTY_ROOT), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
});

test("the seven-leaf tree gives the paths of RFC 6962 §2.1.3", async () => {
  const d = Array.from({ length: 7 }, (_, i) => leafHash(toUtf8(`d${i}`)));
  const [a, b, c, dd, e, f, j] = d as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const [g, h, i] = [nodeHash(a, b), nodeHash(c, dd), nodeHash(e, f)];
  const [k, l] = [nodeHash(g, h), nodeHash(i, j)];
  const { read, frontier } = build(d);
  const same = (actual: readonly Uint8Array[], expected: readonly Uint8Array[]): void =>
    assert.deepEqual(actual.map(toHex), expected.map(toHex));
  assert.equal(toHex(frontier.root()), toHex(nodeHash(k, l)));
  same(await inclusionPath(read, 0, 7), [b, h, l]);
  same(await inclusionPath(read, 3, 7), [c, g, l]);
  same(await inclusionPath(read, 4, 7), [f, j, k]);
  same(await inclusionPath(read, 6, 7), [i, k]);
  same(await consistencyPath(read, 3, 7), [c, dd, g, l]);
  same(await consistencyPath(read, 4, 7), [l]);
  same(await consistencyPath(read, 6, 7), [i, j, k]);
});

const trees = fc
  .integer({ min: 1, max: 70 })
  .map((n) => Array.from({ length: n }, (_, i) => leafHash(toUtf8(`leaf ${i}`))));

test("roots, paths and proofs equal the definitions for every size", async () => {
  await fc.assert(
    fc.asyncProperty(trees, fc.nat(), fc.nat(), async (leaves, a, b) => {
      const { read, nodes, frontier } = build(leaves);
      const size = 1 + (a % leaves.length);
      const index = b % size;
      const first = 1 + (b % size);
      assert.equal(nodes.length, storedCount(leaves.length));
      assert.deepEqual(frontier.root(), naiveRoot(leaves));
      assert.deepEqual(await subtreeRoot(read, 0, size), naiveRoot(leaves.slice(0, size)));
      assert.deepEqual(await inclusionPath(read, index, size), naivePath(index, leaves.slice(0, size)));
      assert.deepEqual(await consistencyPath(read, first, size), naiveProof(first, leaves.slice(0, size), true));
    }),
    { numRuns: 300 },
  );
});

test("a proof convinces for its own record, size and roots, and for no other", async () => {
  await fc.assert(
    fc.asyncProperty(trees, fc.nat(), fc.nat(), fc.nat(), async (leaves, a, b, c) => {
      const { read } = build(leaves);
      const size = 1 + (a % leaves.length);
      const index = b % size;
      const root = naiveRoot(leaves.slice(0, size));
      const path = await inclusionPath(read, index, size);
      assert.ok(verifyInclusion(leaves[index]!, index, size, path, root));
      assert.ok(!verifyInclusion(leafHash(toUtf8("other")), index, size, path, root));
      const other = c % size;
      assert.equal(verifyInclusion(leaves[index]!, other, size, path, root), other === index);
      assert.ok(!verifyInclusion(leaves[index]!, index, size, [...path, root], root));
      assert.ok(!verifyInclusion(leaves[index]!, index, size, path, leafHash(root)));

      const first = 1 + (b % size);
      const old = naiveRoot(leaves.slice(0, first));
      const proof = await consistencyPath(read, first, size);
      assert.ok(verifyConsistency(first, size, proof, old, root));
      assert.ok(!verifyConsistency(first, size, proof, leafHash(old), root));
      assert.ok(!verifyConsistency(first, size, proof, old, leafHash(root)));
      assert.ok(!verifyConsistency(first, size, [...proof, root], old, root));
      if (proof.length > 0) assert.ok(!verifyConsistency(first, size, proof.slice(1), old, root));
    }),
    { numRuns: 300 },
  );
});

test("proofs with impossible numbers are refused, not misread", () => {
  const leaf = leafHash(toUtf8("x"));
  for (const [index, size] of [
    [-1, 1],
    [1, 1],
    [0, 0],
    [0.5, 2],
    [Number.NaN, 2],
    [0, Infinity],
  ] as const) {
    assert.ok(!verifyInclusion(leaf, index, size, [], leaf));
  }
  assert.ok(!verifyConsistency(2, 1, [], leaf, leaf));
  assert.ok(!verifyConsistency(-1, 1, [], leaf, leaf));
  assert.ok(verifyConsistency(0, 5, [], EMPTY_ROOT, leaf));
  assert.ok(!verifyConsistency(0, 5, [], leaf, leaf));
});
