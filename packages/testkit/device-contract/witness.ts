/** Witnessed logs: C2SP tlog-checkpoint signatures, and proofs made by the recursive definitions of RFC 6962 §2.1. */
import assert from "node:assert/strict";
import { hash, verify } from "node:crypto";
import type { LogCheckpoint } from "@casemate/devices/contract";
import { changed, publicKeyOf, rejectsWith, type Bench, type Case } from "./bench.ts";

const ORIGIN = "casemate-audit/contract";
const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => hash("sha256", Buffer.concat(parts), "buffer");
const leaf = (index: number): Uint8Array => sha256(Uint8Array.of(0, index));
const split = (count: number): number => 2 ** (Math.ceil(Math.log2(count)) - 1);

/** MTH(D[from:to]). */
function tree(from: number, to: number): Uint8Array {
  if (to === from) return sha256();
  if (to - from === 1) return leaf(from);
  const middle = from + split(to - from);
  return sha256(Uint8Array.of(1), tree(from, middle), tree(middle, to));
}

/** SUBPROOF(m, D[from:to], whole). */
function subproof(m: number, from: number, to: number, whole: boolean): Uint8Array[] {
  if (m === to - from) return whole ? [] : [tree(from, to)];
  const k = split(to - from);
  if (m <= k) return [...subproof(m, from, from + k, whole), tree(from + k, to)];
  return [...subproof(m - k, from + k, to, false), tree(from, from + k)];
}

const proof = (earlier: number, later: number): Uint8Array[] =>
  earlier === 0 ? [] : subproof(earlier, 0, later, true);
const of = (size: number): LogCheckpoint => ({ origin: ORIGIN, size, root: tree(0, size) });

const about = (bench: Bench): string | undefined =>
  bench.device.witness === undefined ? "the device is no witness of logs" : undefined;

async function signer(bench: Bench) {
  const { witness } = bench.device;
  assert.ok(witness !== undefined);
  const key = await bench.fresh("ed25519", "sign");
  const publicKey = publicKeyOf(key);
  const raw = (key.publicKey ?? new Uint8Array()).subarray(-32);
  const remembered = async () => (await witness.logs()).find((log) => Buffer.compare(log.publicKey, raw) === 0);
  return { witness, ref: key.ref, publicKey, remembered };
}

export const witnessCases: readonly Case[] = [
  {
    name: "witness signs checkpoints of a log that grows, and remembers the newest",
    async run(bench) {
      const lacks = about(bench);
      if (lacks !== undefined) return lacks;
      const { witness, ref, publicKey, remembered } = await signer(bench);
      assert.equal(await remembered(), undefined);
      let before = 0;
      for (const size of [0, 1, 2, 3, 3, 8, 9, 21, 64, 100]) {
        const checkpoint = of(size);
        const signature = await witness.sign(ref, checkpoint, proof(before, size));
        const text = `${ORIGIN}\n${size}\n${Buffer.from(checkpoint.root).toString("base64")}\n`;
        assert.ok(verify(null, Buffer.from(text), publicKey, signature), `checkpoint of ${size}`);
        const { publicKey: _, before: last, ...log } = (await remembered()) ?? { publicKey: ref, before: -1 };
        assert.deepEqual(
          { ...log, root: Buffer.from((log as LogCheckpoint).root) },
          { ...checkpoint, root: Buffer.from(checkpoint.root) },
        );
        if (before !== size) assert.equal(last, before);
        before = size;
      }
    },
  },
  {
    name: "witness refuses a log that went back, that is another one, or that does not continue",
    async run(bench) {
      const lacks = about(bench);
      if (lacks !== undefined) return lacks;
      const { witness, ref, remembered } = await signer(bench);
      await rejectsWith("BAD_REQUEST", witness.sign(ref, of(5), proof(3, 5)), "a proof from nothing");
      await witness.sign(ref, of(5), []);
      await witness.sign(ref, of(21), proof(5, 21));
      const good = proof(21, 30);
      const bad: readonly (readonly [string, LogCheckpoint, readonly Uint8Array[]])[] = [
        ["older", of(5), []],
        ["older by one", of(20), []],
        ["same size, another root", { ...of(21), root: tree(1, 22) }, []],
        ["another origin", { ...of(30), origin: `${ORIGIN}-2` }, good],
        ["another root", { ...of(30), root: tree(1, 31) }, good],
        ["no proof", of(30), []],
        ["a short proof", of(30), good.slice(1)],
        ["a long proof", of(30), [...good, leaf(0)]],
        ["the proof of another size", of(30), proof(20, 30)],
        ...good.map((node, index) => [`hash ${index} changed`, of(30), good.with(index, changed(node, 7))] as const),
      ];
      for (const [what, checkpoint, path] of bad)
        await rejectsWith("TAMPER_DETECTED", witness.sign(ref, checkpoint, path), what);
      assert.equal((await remembered())?.size, 21);
      await witness.sign(ref, of(30), good);
    },
  },
  {
    name: "witness keys sign nothing else, and are gone with what they witnessed when destroyed",
    async run(bench) {
      const lacks = about(bench);
      if (lacks !== undefined) return lacks;
      const { witness, ref, remembered } = await signer(bench);
      await witness.sign(ref, of(3), []);
      const beside = bench.device.sign?.sign(ref, "pure", "message", [new Uint8Array(3)]);
      assert.ok(beside !== undefined);
      await rejectsWith("KEY_USAGE", beside, "a plain signature");
      await bench.device.keys.destroy(ref);
      assert.equal(await remembered(), undefined);
      await rejectsWith("NOT_FOUND", witness.sign(ref, of(3), []), "destroyed");
      const other = bench.algorithmFor("sign", (row) => row.algorithm !== "ed25519");
      if (other === undefined) return;
      const { ref: otherRef } = await bench.fresh(other, "sign");
      await rejectsWith("NOT_SUPPORTED", witness.sign(otherRef, of(3), []), other);
    },
  },
];
