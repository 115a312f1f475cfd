import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseJson } from "./json.ts";

const parse = (text: string): unknown => parseJson(Buffer.from(text));

test("a member that is given twice in one object is refused by its name, however it is written and wherever it stands", () => {
  for (const text of [
    '{"input":"a","input":"b"}',
    '{"x":1,"input":1, "y":{"input":2}, "input" : 3}',
    '{"items":[{"a":1},{"input":1,"b":[],"input":1}]}',
    String.raw`{"input":1,"\u0069nput":2}`,
    String.raw`{"a":"\\","input":"\"","input":"x:y"}`,
    '{"input":{"input":1},"input":2}',
  ]) {
    assert.throws(() => parse(text), { code: "BAD_REQUEST", message: /the field "input" is given twice/ }, text);
  }
  assert.throws(() => parse('{"__proto__":1,"__proto__":2}'), /"__proto__" is given twice/);
});

test("the same name in different objects, and colons in strings, are as good as before", () => {
  for (const text of [
    '{"items":[{"input":"a"},{"input":"b"}],"input":{"input":1}}',
    String.raw`{"at":"2030-01-01T00:00:00Z","b":"\"a\":1,\"a\":2","c":"\\"}`,
    '["a:b","a:b"]',
    '"a:b"',
    "12",
    '{"__proto__":1}',
  ]) {
    assert.deepEqual(parse(text), JSON.parse(text), text);
  }
  fc.assert(fc.property(fc.json({ maxDepth: 5 }), (text) => assert.deepEqual(parse(text), JSON.parse(text))));
});

test("a body that is nested without end is refused, and does not break the server", () => {
  for (const [open, close] of [
    ["[", "]"],
    ['{"a":', "}"],
  ] as const) {
    const text = `${open.repeat(100_000)}1${close.repeat(100_000)}`;
    assert.throws(() => parse(text), { code: "BAD_REQUEST", message: /deeper than 32 levels/ });
  }
  assert.throws(() => parse("{"), { code: "BAD_REQUEST", message: "the body is not JSON" });
});
