import assert from "node:assert/strict";
import { test } from "node:test";
import { given, instant, label, seconds, whole, words } from "./parse.ts";

test("whole numbers outside their limits, signs, fractions and words are refused by the option's name", () => {
  const parse = whole("--count", 1, 10);
  assert.equal(parse("10"), 10);
  for (const text of ["0", "11", "-1", "1.5", "1e1", "0x1", "", " 1", "ten"]) {
    assert.throws(() => parse(text), /--count takes a whole number from 1 to 10/, text);
  }
});

test("durations are read with their unit, and nothing else is", () => {
  const parse = seconds("--expires");
  assert.deepEqual(["45s", "30m", "12h", "90d", "2w"].map(parse), [45, 1800, 43_200, 7_776_000, 1_209_600]);
  for (const text of ["90", "0d", "d", "-1d", "1y", "1.5h", "1d2h", "constructor"]) {
    assert.throws(() => parse(text), /--expires takes a duration/, text);
  }
});

test("a time is ISO 8601 or a duration from now", () => {
  const parse = instant("--at");
  assert.equal(parse("2027-01-31T12:00:00+01:00"), "2027-01-31T11:00:00.000Z");
  const soon = Date.parse(parse("+1h")) - Date.now();
  assert.ok(soon > 3_590_000 && soon <= 3_600_000, `${soon} ms from now`);
  assert.equal(parse("2028-02-29"), "2028-02-29T00:00:00.000Z");
  for (const text of ["tomorrow", "2030-02-30", "2030-04-31T00:00:00Z"])
    assert.throws(() => parse(text), /--at takes a time/, text);
});

test("labels gather, and one without a name is refused", () => {
  assert.deepEqual(label("b=2=3", label("a=1")), { a: "1", b: "2=3" });
  assert.throws(() => label("=x"), /name=value/);
  assert.throws(() => label("x"), /name=value/);
});

test("words come by comma, by repetition or both", () => {
  assert.deepEqual(words("c", words("a,b")), ["a", "b", "c"]);
});

test("null and false stay, undefined goes", () => {
  assert.deepEqual(given({ a: undefined, b: null, c: false, d: 0 }), { b: null, c: false, d: 0 });
});
