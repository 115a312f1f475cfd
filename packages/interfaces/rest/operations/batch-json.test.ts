import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { base64Of } from "../base64.ts";
import { batchJson } from "./batch-json.ts";

test("the text of a batch's answer is that of JSON.stringify, whatever the results are", () => {
  const result = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => ({ signature: base64Of(bytes) })),
    fc.boolean().map((signature) => ({ signature })),
    fc.record({ code: fc.string({ unit: "binary" }), detail: fc.string() }).map((error) => ({ error })),
  );
  const answer = fc.record({
    version: fc.nat(),
    scheme: fc.string({ unit: "binary" }),
    results: fc.array(result),
    warnings: fc.array(fc.string()),
  });
  fc.assert(fc.property(answer, (made) => assert.equal(batchJson(made, "signature"), JSON.stringify(made))));
});
