import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isCasemateError } from "@casemate/foundation/errors";
import { fromHex } from "@casemate/foundation/bytes";
import {
  bool8,
  Writer,
  bytes,
  decode,
  encode,
  enumOf,
  fixed,
  flags,
  list,
  optional,
  select,
  sized,
  struct,
  tagged,
  u16,
  u32,
  u64,
  u8,
  utf8,
  type Infer,
} from "@casemate/foundation/codec";

const attributes = flags("attributes", u8, { write: 0, read: 3 });
const kind = enumOf("kind", u8, { small: 1, large: 2 });
const record = struct("RECORD", "test", {
  index: u32,
  attributes,
  kind,
  body: select("kind", { small: u8, large: u64 }),
  tail: sized(u16, struct("TAIL", "test", { label: utf8(u8, 16), digest: fixed(4) })),
  items: list(u16, bytes(u8, 8), 4),
  note: optional(u16),
  done: bool8,
});

const sample: Infer<typeof record> = {
  index: 7,
  attributes: { write: true, read: false },
  kind: "large",
  body: 9n,
  tail: { label: "é", digest: fromHex("01020304") },
  items: [fromHex("aa"), fromHex("")],
  note: undefined,
  done: true,
};

test("a struct survives a round trip", () => {
  assert.deepEqual(decode(record, encode(record, sample)), sample);
});

test("every truncation is refused and says where", () => {
  const whole = encode(record, sample);
  for (let length = 0; length < whole.length; length++) {
    assert.throws(
      () => decode(record, whole.subarray(0, length)),
      (error) =>
        isCasemateError(error) &&
        (error.code === "DECODE_TRUNCATED" || error.code === "DECODE_TRAILING") &&
        /at byte \d+/.test(error.message),
    );
  }
});

test("one byte too many is refused", () => {
  const whole = encode(record, sample);
  assert.throws(
    () => decode(record, new Uint8Array([...whole, 0])),
    (error) => isCasemateError(error) && error.code === "DECODE_TRAILING",
  );
});

test("an error names path, offset and what is missing", () => {
  assert.throws(() => decode(record, fromHex("0000")), { message: "RECORD.index at byte 0: need 4 bytes, 2 left" });
});

test("reserved bits, foreign numbers, long lists, wrong booleans and bad UTF-8 are refused", () => {
  const cases: [() => unknown, RegExp][] = [
    [() => decode(attributes, fromHex("02")), /reserved bits/],
    [() => decode(kind, fromHex("03")), /3 is not a kind/],
    [() => decode(list(u8, u8, 1), fromHex("020101")), /at most 1/],
    [() => decode(bool8, fromHex("02")), /neither 0 nor 1/],
    [() => decode(utf8(u8, 4), fromHex("01ff")), /UTF-8/],
    [() => decode(bytes(u32, 8), fromHex("ffffffff")), /at most 8/],
  ];
  for (const [run, message] of cases) assert.throws(run, message);
});

test("a tagged union reads the layout its number names", () => {
  const command = tagged("command", u8, {
    open: [1, struct("OPEN", "test", { slot: u16 })],
    close: [2, struct("CLOSE", "test", {})],
  });
  assert.deepEqual(decode(command, fromHex("010005")), { kind: "open", slot: 5 });
  assert.deepEqual(encode(command, { kind: "close" }), fromHex("02"));
  assert.throws(() => decode(command, fromHex("09")), /9 is not a command/);
});

test("arbitrary bytes either decode and encode back to themselves or are refused with a code", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (input) => {
      try {
        assert.deepEqual(encode(record, decode(record, input)), input);
      } catch (error) {
        assert.ok(isCasemateError(error), String(error));
      }
    }),
  );
});

test("what does not fit the first buffer arrives whole, whatever is written when it grows", () => {
  for (const item of [u8, u16, u32] as const) {
    const values = Array.from({ length: 400 }, (_, i) => i % 251);
    assert.deepEqual(decode(list(u16, item, 400), encode(list(u16, item, 400), values)), values);
  }
  const big = Array.from({ length: 100 }, (_, i) => BigInt(i));
  assert.deepEqual(decode(list(u8, u64, 100), encode(list(u8, u64, 100), big)), big);
  const long = new Uint8Array(1000).fill(7);
  assert.deepEqual(decode(bytes(u16, 1000), encode(bytes(u16, 1000), long)), long);
});

test("encoding a large value, then a small one, leaves neither's bytes in the other", () => {
  const text = bytes(u16, 60_000);
  const large = encode(text, new Uint8Array(50_000).fill(0xaa));
  const small = encode(text, new Uint8Array(3));
  assert.deepEqual([...small], [0, 3, 0, 0, 0]);
  assert.equal(small.buffer.byteLength, small.length);
  assert.equal(large[49_999], 0xaa);
});

test("a failed encoding does not disturb the next one", () => {
  assert.throws(() => encode(u16, 70_000), { code: "DECODE_INVALID" });
  assert.deepEqual([...encode(u16, 1)], [0, 1]);
});

test("a writer takes bytes alone, and takes back what was written last", () => {
  const writer = new Writer(2);
  writer.u32(7);
  assert.throws(() => writer.raw("text" as unknown as Uint8Array), TypeError);
  assert.throws(() => writer.raw(5 as unknown as Uint8Array), TypeError);
  writer.u8(1);
  writer.cut(4);
  writer.u8(2);
  assert.equal(writer.finish().toHex(), "0000000702");
});
