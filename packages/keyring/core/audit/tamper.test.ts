import assert from "node:assert/strict";
import { sign } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { toUtf8 } from "@casemate/foundation/bytes";
import { Chain } from "./chain.ts";
import { Frontier } from "./merkle.ts";
import { checkpointText, formatNoteKey, sealNote } from "./note.ts";
import { canonicalJson, recordHash } from "./record.ts";
import { builtLog, entry, linesOf, MemoryFiles, openMemory, testSigner } from "./test-support.ts";
import { verifyAuditFiles } from "./verify-directory.ts";
import type { AuditVerification } from "./verification.ts";

const RECORDS = 31;
const signer = testSigner();
/** With the record that pins the key: 32 records, five and more segments, seven checkpoints. */
const whole = await builtLog(RECORDS, { signer });
const lines = linesOf(whole);

/** Puts a list of lines in place of the segment's records. */
function rewrite(files: MemoryFiles, segment: string, change: (records: Buffer[]) => Buffer[]): void {
  const bytes = files.content.get(segment)!;
  const header = bytes.subarray(0, bytes.indexOf(10) + 1);
  const records = linesOf(files)
    .filter((line) => line.segment === segment)
    .map(({ start, end }) => bytes.subarray(start, end));
  files.content.set(segment, Buffer.concat([header, ...change(records)]));
}

function problemOf(result: AuditVerification): string {
  assert.equal(result.ok, false);
  assert.ok(result.problem);
  return `${result.problem.kind} ${result.problem.index ?? "-"}`;
}

/** Records hashed anew from `from` on with `change` applied: what an attacker with write access would do. */
function rehash(files: MemoryFiles, change: (index: number, json: string) => string): void {
  const chain = new Chain();
  for (const segment of [...files.content.keys()].filter((name) => name.startsWith("records-")).toSorted()) {
    rewrite(files, segment, (records) =>
      records.map((line) => {
        const json = change(chain.size, line.toString("utf8", 65, line.length - 1));
        chain.hash = recordHash(chain.hash, json);
        chain.size++;
        return Buffer.from(`${chain.hash} ${json}\n`);
      }),
    );
    const bytes = files.content.get(segment)!;
    const first = Number(/first=(\d+)/.exec(bytes.toString("latin1"))?.[1]);
    if (first === 0) continue;
    const before = linesOf(files)[first - 1]!;
    const hash = files.content.get(before.segment)!.toString("latin1", before.start, before.start + 64);
    files.content.set(
      segment,
      Buffer.from(bytes.toString("utf8").replace(/previous=[0-9a-f]{64}/, `previous=${hash}`)),
    );
  }
}

test("an untouched log verifies, with every checkpoint", async () => {
  const result = await verifyAuditFiles(whole, { publicKey: signer.publicKey });
  assert.deepEqual(result.problem, undefined);
  assert.equal(result.ok, true);
  assert.equal(result.records, RECORDS + 1);
  assert.ok(result.segments >= 5);
  assert.equal(result.checkpoints, 8);
  assert.equal(result.newestCheckpoint?.signedBy, "hsm-1");
  assert.equal(result.newestCheckpoint.size, RECORDS + 1);
  assert.deepEqual(result.keys, [formatNoteKey(signer)]);
});

test("any changed byte of any record is found, and that record is named", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(lines.length - 1), fc.nat(), fc.integer({ min: 1, max: 255 }), async (index, at, flip) => {
      const { segment, start, end } = lines[index]!;
      const files = whole.copy();
      const bytes = files.content.get(segment)!;
      bytes[start + (at % (end - start))]! ^= flip;
      const result = await verifyAuditFiles(files);
      assert.equal(result.problem?.index, index, JSON.stringify(result.problem));
      assert.equal(result.records, index);
    }),
    { numRuns: 400 },
  );
});

test("any changed byte of a segment's header is found", async () => {
  for (const { segment } of lines) {
    for (let at = 0; at < lines.find((line) => line.segment === segment)!.start; at += 7) {
      const files = whole.copy();
      files.content.get(segment)![at]! ^= 0x01;
      const result = await verifyAuditFiles(files);
      assert.equal(result.ok, false, `${segment} byte ${at}`);
    }
  }
});

test("any changed byte of head, checkpoints, key file or tree is found", async () => {
  for (const name of ["head", "checkpoint", "checkpoints", "checkpoint-key", "tree"]) {
    const size = whole.content.get(name)!.length;
    await fc.assert(
      fc.asyncProperty(fc.nat(size - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const files = whole.copy();
        files.content.get(name)![at]! ^= flip;
        const result = await verifyAuditFiles(files);
        assert.equal(result.ok, false, `${name} byte ${at}`);
      }),
      { numRuns: 100 },
    );
  }
});

test("removed checkpoints are missed where a record says that one was signed", async () => {
  const files = await builtLog(3, { signer });
  const log = await openMemory(files);
  log.useSigner(signer);
  await log.checkpoint();
  await log.append(entry({ action: "audit.checkpoint", outcome: "ok" }));
  await log.append(entry());
  await log.close();
  assert.equal((await verifyAuditFiles(files)).ok, true);
  for (const name of ["checkpoint", "checkpoints"]) await files.remove(name);
  const result = await verifyAuditFiles(files);
  assert.equal(problemOf(result), "checkpoint -");
  assert.match(result.problem?.message ?? "", /checkpoints were removed/);
});

test("a dropped, repeated or swapped record is named", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat(lines.length - 1),
      fc.constantFrom("drop", "repeat", "swap", "cut", "move-to-front"),
      async (index, kind) => {
        const { segment } = lines[index]!;
        const inSegment = lines.filter((line) => line.segment === segment);
        const position = inSegment.indexOf(lines[index]!);
        const lastOfSegment = position === inSegment.length - 1;
        const base = index - position;
        const files = whole.copy();
        let expected = index;
        rewrite(files, segment, (records) => {
          const line = records[position]!;
          if (kind === "drop") return records.toSpliced(position, 1);
          if (kind === "repeat") {
            expected = index + 1;
            return records.toSpliced(position, 0, line);
          }
          if (kind === "cut") return records.slice(0, position);
          if (kind === "move-to-front" || lastOfSegment) {
            expected = position === 0 ? -1 : base;
            return [line, ...records.toSpliced(position, 1)];
          }
          return records.toSpliced(position, 2, records[position + 1]!, line);
        });
        const result = await verifyAuditFiles(files);
        if (expected === -1) assert.equal(result.ok, true);
        else assert.equal(result.problem?.index, expected, `${kind} ${index}: ${JSON.stringify(result.problem)}`);
      },
    ),
    { numRuns: 300 },
  );
});

test("a missing segment is named by the first record that is gone", async () => {
  const segments = [...new Set(lines.map((line) => line.segment))];
  for (const [position, segment] of segments.entries()) {
    const files = whole.copy();
    files.content.delete(segment);
    const gone = lines.findIndex((line) => line.segment === segment);
    const kind = position === segments.length - 1 ? "truncated" : "missing-segment";
    assert.equal(problemOf(await verifyAuditFiles(files)), `${kind} ${gone}`);
    await assert.rejects(openMemory(files), { code: "TAMPER_DETECTED", details: { index: gone } });
  }
});

test("records cut off the end are missed even at a line's end", async () => {
  for (let kept = 0; kept < lines.length; kept++) {
    const files = whole.copy();
    const { segment, start } = lines[kept]!;
    files.content.set(segment, files.content.get(segment)!.subarray(0, start));
    for (const later of lines.slice(kept)) if (later.segment !== segment) files.content.delete(later.segment);
    assert.equal(problemOf(await verifyAuditFiles(files)), `truncated ${kept}`);
    await assert.rejects(openMemory(files), { code: "TAMPER_DETECTED" });
  }
});

test("a whole directory set back to an earlier copy is found by a checkpoint kept elsewhere, and by the database's head", async () => {
  const files = new MemoryFiles();
  const log = await openMemory(files);
  log.useSigner(signer);
  for (let i = 0; i < 5; i++) await log.append(entry());
  await log.close();
  const before = files.copy();
  const later = await openMemory(files);
  later.useSigner(signer);
  for (let i = 0; i < 5; i++) await later.append(entry());
  const { note } = await later.checkpoint();
  const { head } = later;
  await later.close();
  assert.equal((await verifyAuditFiles(before)).ok, true);
  assert.equal(problemOf(await verifyAuditFiles(before, { checkpoint: note })), "truncated 6");
  await assert.rejects(openMemory(before.copy(), { expected: head }), { code: "TAMPER_DETECTED" });
  assert.equal((await verifyAuditFiles(files, { checkpoint: note, publicKey: signer.publicKey })).ok, true);
  const forged = await openMemory(before);
  for (let i = 0; i < 5; i++) await forged.append(entry({ principal: "user/mallory" }));
  assert.equal(await forged.contains(head), false);
  await forged.close();
  assert.equal(problemOf(await verifyAuditFiles(before, { checkpoint: note })), "checkpoint 6");
});

test("a history rewritten with fitting hashes is found by the checkpoints and the tree", async () => {
  const forge = (index: number, json: string): string => (index === 11 ? json.replace("alice", "mallo") : json);
  const files = whole.copy();
  rehash(files, forge);
  assert.equal(problemOf(await verifyAuditFiles(files)), "checkpoint 11");
  files.content.delete("tree");
  // Without the tree only the checkpoints tell: the one of 11 records still fits.
  assert.equal(problemOf(await verifyAuditFiles(files)), "checkpoint 11");
  await assert.rejects(openMemory(files), { code: "TAMPER_DETECTED" });
});

test("a rewritten history with new checkpoints of another key is found by the pinned key", async () => {
  const files = whole.copy();
  rehash(files, (index, json) => (index === 11 ? json.replace("alice", "mallo") : json));
  for (const name of ["tree", "saved", "checkpoints"]) files.content.delete(name);
  const chain = new Chain();
  const tree = new Frontier();
  for (const { segment, start, end } of linesOf(files)) {
    assert.equal(chain.accept(Buffer.from(files.content.get(segment)!), start, end - 1), undefined);
    tree.append(chain.leaf());
  }
  const origin = whole.content.get("checkpoint")!.toString().split("\n")[0]!;
  const text = checkpointText({ origin, size: chain.size, root: tree.root() });
  const thief = testSigner();
  files.content.set("checkpoint", Buffer.from(sealNote(text, thief, sign(null, toUtf8(text), thief.privateKey))));
  files.content.delete("head");
  const { problem } = await verifyAuditFiles(files);
  assert.equal(problem?.kind, "signature");
  assert.equal((await verifyAuditFiles(files, { publicKey: signer.publicKey })).problem?.kind, "signature");
});

test("a log signed by another key than the one the auditor knows is refused", async () => {
  const other = testSigner();
  assert.equal((await verifyAuditFiles(whole, { publicKey: other.publicKey })).problem?.kind, "signature");
});

test("what start-up reads is checked at start-up: changes after the saved point stop it and are named", async () => {
  const files = new MemoryFiles();
  const log = await openMemory(files, { recordsPerSave: 1_000_000 });
  for (let i = 0; i < 20; i++) await log.append(entry({ resource: `key/${i}` }));
  const killed = files.copy();
  await log.close();
  await fc.assert(
    fc.asyncProperty(fc.nat(19), fc.nat(), fc.integer({ min: 1, max: 255 }), async (index, at, flip) => {
      const copy = killed.copy();
      const { segment, start, end } = linesOf(copy)[index]!;
      copy.content.get(segment)![start + (at % (end - start))]! ^= flip;
      await assert.rejects(openMemory(copy), (error: { code?: string; details?: { index?: number } }) => {
        assert.equal(error.code, "TAMPER_DETECTED");
        assert.equal(error.details?.index, index);
        return true;
      });
    }),
    { numRuns: 200 },
  );
});

test("hashes can be checked with nothing but a SHA-256 program", () => {
  const json = canonicalJson(0, `"time":"x"}`);
  // printf '%s%s' 000…0 '{"index":0,"time":"x"}' | sha256sum
  assert.equal(recordHash("0".repeat(64), json), "385d96093db9355afb93fc852dd6b29d68a55215b847fcac05bf9f22ce7fb861");
});
