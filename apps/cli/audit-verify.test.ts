import assert from "node:assert/strict";
import { test } from "node:test";
import { goodPart } from "./audit-verify.ts";

test("a damaged log is good up to its last whole record, and one without any is not good at all", () => {
  assert.equal(goodPart(0), "No record of it can be relied on.");
  assert.equal(goodPart(1), "Good up to record 0.");
  assert.equal(goodPart(103), "Good up to record 102.");
});
