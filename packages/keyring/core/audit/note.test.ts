import assert from "node:assert/strict";
import { sign } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { toBase64, toHex, toUtf8 } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import {
  checkpointText,
  formatNoteKey,
  noteKeyId,
  parseCheckpoint,
  parseNoteKey,
  sealNote,
  verifyCheckpoint,
  verifyNote,
} from "./note.ts";
import { testSigner } from "./test-support.ts";

// From the documentation of Go's golang.org/x/mod/sumdb/note.
const GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_NOTE = `If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
`;
// From C2SP tlog-checkpoint.
const C2SP_CHECKPOINT = `example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
`;

const signer = testSigner();
const root = new Uint8Array(32).fill(7);
const text = checkpointText({ origin: "casemate-audit/00", size: 42, root });
const note = sealNote(text, signer, sign(null, toUtf8(text), signer.privateKey));

test("Go's example note verifies under Go's example key", () => {
  const key = parseNoteKey(GO_KEY);
  assert.equal(toHex(noteKeyId(key)), "c74f20a3");
  assert.equal(formatNoteKey(key), GO_KEY);
  assert.deepEqual(verifyNote(GO_NOTE, [key]), ["PeterNeumann"]);
  assert.throws(() => verifyNote(GO_NOTE.replace("answer", "Answer"), [key]), { code: "TAMPER_DETECTED" });
});

test("the checkpoint of the C2SP text is read", () => {
  const { body, signatures } = parseCheckpoint(C2SP_CHECKPOINT);
  assert.equal(body.origin, "example.com/behind-the-sofa");
  assert.equal(body.size, 20852163);
  assert.equal(toBase64(body.root), "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=");
  assert.equal(signatures[0]?.name, "example.com/behind-the-sofa");
});

test("a checkpoint verifies under its key, whoever else signed it", () => {
  const verified = verifyCheckpoint(note, [signer]);
  assert.deepEqual(verified.signedBy, ["hsm-1"]);
  assert.equal(verified.size, 42);
  const witness = testSigner("witness.example/w1");
  const line = sealNote(text, witness, sign(null, toUtf8(text), witness.privateKey))
    .split("\n")
    .at(-2);
  assert.deepEqual(verifyCheckpoint(`${note}${line}\n`, [signer]).signedBy, ["hsm-1"]);
  assert.deepEqual(verifyCheckpoint(`${note}${line}\n`, [signer, witness]).signedBy, ["hsm-1", "witness.example/w1"]);
});

test("a checkpoint of another key, or of the same name with another key, is refused", () => {
  assert.throws(() => verifyCheckpoint(note, []), { code: "TAMPER_DETECTED" });
  assert.throws(() => verifyCheckpoint(note, [testSigner("hsm-2")]), { code: "TAMPER_DETECTED" });
  assert.throws(() => verifyCheckpoint(note, [testSigner("hsm-1")]), { code: "TAMPER_DETECTED" });
});

test("no changed byte leaves a checkpoint valid", () => {
  const bytes = Buffer.from(note);
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (position, flip) => {
      const changed = Buffer.from(bytes);
      changed[position]! ^= flip;
      const changedNote = changed.toString("utf8");
      assert.throws(() => verifyCheckpoint(changedNote, [signer]), isCasemateError);
    }),
    { numRuns: 500 },
  );
});

test("malformed notes are refused with a reason", () => {
  for (const bad of [
    "",
    "\n\n",
    "a\n1\nx\n",
    note.slice(0, -1),
    note.replace("42", "042"),
    note.replace("42", "-1"),
    note.replace("42", "99999999999999999999"),
    note.replace("— ", "- "),
    note.replace("\n42", "\r\n42"),
    note.replace(text, `${text}\n`),
    `${text}\n${"— a AAAAAAAA\n".repeat(17)}`,
    "x".repeat(20_000),
  ]) {
    assert.throws(() => parseCheckpoint(bad), isCasemateError, JSON.stringify(bad.slice(0, 80)));
  }
  for (const bad of ["", "a+b+c", "a+00000000+AQ==", GO_KEY.replace("c7", "c8"), GO_KEY.replace("+AR", "+BR")]) {
    assert.throws(() => parseNoteKey(bad), { code: "DECODE_INVALID" }, bad);
  }
  for (const name of ["", "a b", "a+b", "a\nb", "a b"]) {
    assert.throws(() => sealNote(text, { ...signer, name }, new Uint8Array(64)), { code: "DECODE_INVALID" });
  }
});
