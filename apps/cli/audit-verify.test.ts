import assert from "node:assert/strict";
import { test } from "node:test";
import { goodPart } from "./audit-verify.ts";

test("a damaged log is good up to its last whole record, and one without any is not good at all", () => {
  assert.equal(goodPart(0), "No record of it can be relied on.");
  assert.equal(goodPart(1), "Good up to record 0.");
  assert.equal(goodPart(103), "Good up to record 102.");
  assert.equal(goodPart(103, { index: 20 }), "Good up to record 19.", "whatever fits together behind it");
  assert.equal(goodPart(103, { index: 0 }), "No record of it can be relied on.");
  assert.equal(goodPart(20, { index: 30 }), "Good up to record 19.");
});

test("of a log that is not the one witnessed, what both have is named, not what it has grown by since", () => {
  assert.match(goodPart(103, { agreed: 0 }), /agree on no record/);
  assert.match(goodPart(103, { agreed: 11 }), /agree up to record 10, by the newest checkpoint/);
});
