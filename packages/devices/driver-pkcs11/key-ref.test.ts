import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeKeyRef, encodeExpecting, encodeKeyRef, splitKeyRef } from "./key-ref.ts";

const ADDRESS = {
  algorithm: "ec-p256",
  objectClass: "private",
  id: Uint8Array.of(1, 2),
  label: Uint8Array.of(3),
} as const;

test("a reference is the same with the public key that it expects and without; cut or of another token it is none", () => {
  const ref = encodeKeyRef("t", ADDRESS);
  assert.deepEqual(splitKeyRef(ref), { place: ref, expected: undefined });
  const expecting = encodeExpecting(ref, Uint8Array.of(7, 8, 9));
  const { place, expected } = splitKeyRef(expecting);
  assert.deepEqual(expected, Uint8Array.of(7, 8, 9));
  assert.deepEqual(decodeKeyRef("t", place), ADDRESS);
  for (const [token, bytes] of [
    ["other", place],
    ["t", splitKeyRef(expecting.subarray(0, ref.length)).place],
    ["t", splitKeyRef(Uint8Array.of(2)).place],
    ["t", new Uint8Array()],
  ] as const)
    assert.throws(() => decodeKeyRef(token, bytes), { code: "NOT_FOUND" });
});
