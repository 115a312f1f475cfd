import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { base64Of, bytesFrom } from "./base64.ts";

const LIMIT = 1000;

test("bytes survive the way through base64", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert.deepEqual(Uint8Array.from(bytesFrom(base64Of(bytes), "f", LIMIT)), bytes);
    }),
  );
});

test("only the one spelling of bytes is taken: anything else is refused, naming the field", () => {
  fc.assert(
    fc.property(
      fc.string({
        unit: fc.constantFrom("A", "Q", "g", "w", "+", "/", "=", "-", "_", " ", "\n", "\u00e9"),
        maxLength: 12,
      }),
      (text) => {
        let bytes: Uint8Array;
        try {
          bytes = bytesFrom(text, "field", LIMIT);
        } catch (error) {
          assert.equal((error as { code: string }).code, "BAD_REQUEST");
          assert.match((error as Error).message, /^field /);
          return;
        }
        assert.equal(base64Of(bytes), text);
      },
    ),
    { numRuns: 20_000 },
  );
});

test("the limit counts bytes, not characters", () => {
  assert.equal(bytesFrom(base64Of(new Uint8Array(10)), "f", 10).length, 10);
  assert.throws(() => bytesFrom(base64Of(new Uint8Array(11)), "f", 10), { code: "TOO_LARGE" });
});
