import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { PIECE_BYTES, isEnvelope, open, seal, type Source } from "./envelope.ts";

const wrapped = new Uint8Array(66).fill(3);

async function all(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

async function sealed(payload: Uint8Array): Promise<{ readonly key: Uint8Array; readonly envelope: Buffer }> {
  const key = randomBytes(32);
  return { key, envelope: await all(seal(wrapped, key, [payload])) };
}

function opened(source: Source, key: Uint8Array): Promise<Buffer> {
  return all(
    open(source, (found) => {
      assert.deepEqual(Uint8Array.from(found), wrapped);
      return Promise.resolve(Uint8Array.from(key));
    }),
  );
}

test("what goes in comes out, at every edge of a piece and however the parts arrive", async () => {
  for (const size of [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 200_000]) {
    const payload = randomBytes(size);
    const { key, envelope } = await sealed(payload);
    assert.ok(isEnvelope(envelope));
    assert.ok((await opened([envelope], key)).equals(payload), `${size} bytes`);
  }
  const payload = randomBytes(150_000);
  const { key, envelope } = await sealed(payload);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(envelope.length), { maxLength: 8 }), async (cuts) => {
      const marks = [0, ...cuts.toSorted((a, b) => a - b), envelope.length];
      const parts = marks.slice(1).map((mark, i) => envelope.subarray(marks[i], mark));
      assert.ok((await opened(parts, key)).equals(payload));
    }),
    { numRuns: 20 },
  );
});

test("an envelope that was changed anywhere, cut anywhere or reordered is refused", async () => {
  const { key, envelope } = await sealed(randomBytes(2 * PIECE_BYTES + 10));
  const head = 20 + 2 + 66;
  const piece = PIECE_BYTES + 16;
  for (const at of [0, 19, head, head + piece - 1, head + piece, envelope.length - 1]) {
    const changed = Buffer.from(envelope);
    changed[at] = (changed[at] ?? 0) ^ 1;
    await assert.rejects(opened([changed], key), { code: "DECRYPT_FAILED" }, `changed at ${at}`);
  }
  for (const length of [0, 10, 21, 50, head, head + 5, head + piece, head + 2 * piece, envelope.length - 1]) {
    const cut = envelope.subarray(0, length);
    await assert.rejects(opened([cut], key), { code: "DECRYPT_FAILED" }, `cut to ${length}`);
  }
  const parts = [envelope.subarray(head, head + piece), envelope.subarray(head + piece, head + 2 * piece)];
  const [first = envelope, second = envelope] = parts;
  const swapped = [envelope.subarray(0, head), second, first, envelope.subarray(head + 2 * piece)];
  await assert.rejects(opened(swapped, key), { code: "DECRYPT_FAILED" });
  await assert.rejects(
    opened([Buffer.concat([envelope, Buffer.of(0)])], key),
    { code: "DECRYPT_FAILED" },
    "one byte more",
  );
  await assert.rejects(opened([envelope], randomBytes(32)), { code: "DECRYPT_FAILED" }, "another key");
});
