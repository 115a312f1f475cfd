import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { CasemateError, ERROR_CODES, type ErrorCode, isCasemateError } from "@casemate/foundation/errors";
import { createChannel } from "./channel.ts";
import { FrameBatch, FrameParser, MAX_FRAME } from "./frames.ts";
import { decodeError, encodeError } from "./wire-error.ts";

type Frame = readonly [id: number, code: number, body: string];

function joined(frames: readonly Frame[]): Buffer {
  const batch = new FrameBatch();
  for (const [id, code, body] of frames) batch.add(id, code, Buffer.from(body, "hex"));
  return Buffer.from(batch.take());
}

function cut(chunks: readonly Buffer[]): Frame[] {
  const parser = new FrameParser();
  const found: Frame[] = [];
  for (const chunk of chunks) parser.push(chunk, (id, code, body) => found.push([id, code, body.toHex()]));
  assert.ok(parser.atBoundary);
  return found;
}

const frame = fc.tuple(
  fc.nat(0xffffffff),
  fc.nat(255),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => bytes.toHex()),
);

test("what is kept of a body stays as it is when its chunk is overwritten", () => {
  const stream = joined([[1, 2, "00ff"]]);
  for (const at of [stream.length, 5]) {
    const chunk = Buffer.from(stream);
    const kept: Uint8Array[] = [];
    const parser = new FrameParser();
    for (const part of [chunk.subarray(0, at), chunk.subarray(at)])
      parser.push(part, (_id, _code, body) => kept.push(body.slice()));
    chunk.fill(9);
    assert.deepEqual(kept, [Uint8Array.of(0, 255)]);
  }
});

test("frames come out as they went in, however the stream is cut", () => {
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 30 })), (frames, cuts) => {
      const stream = joined(frames);
      const chunks: Buffer[] = [];
      let offset = 0;
      for (const size of cuts) chunks.push(stream.subarray(offset, (offset += size)));
      chunks.push(stream.subarray(offset));
      assert.deepEqual(cut(chunks), frames);
      assert.deepEqual(cut(Array.from(stream, (byte) => Buffer.of(byte))), frames);
    }),
  );
});

test("a stream that ends inside a frame is not at a boundary", () => {
  const stream = joined([[1, 2, "aabbcc"]]);
  for (let length = 1; length < stream.length; length++) {
    const parser = new FrameParser();
    parser.push(stream.subarray(0, length), () => assert.fail("no frame is complete"));
    assert.equal(parser.atBoundary, false);
  }
});

test("a length below the header or above the cap is refused at once, without waiting for or reserving its bytes", () => {
  for (const length of [0, 4, MAX_FRAME + 1, 0xffffffff]) {
    const header = Buffer.alloc(4);
    header.writeUInt32BE(length);
    const whole = Buffer.concat([header, Buffer.alloc(20)]);
    for (const chunks of [[whole], Array.from(header, (byte) => Buffer.of(byte)), [header]]) {
      const parser = new FrameParser();
      assert.throws(
        () => chunks.forEach((chunk) => parser.push(chunk, () => assert.fail("no frame"))),
        (error) => isCasemateError(error) && error.code === "DECODE_INVALID",
        `${length}`,
      );
    }
  }
});

test("a batch whose write has not finished is left alone while more is added", () => {
  const batch = new FrameBatch();
  batch.add(1, 1, Buffer.alloc(10, 1));
  const unfinished = batch.take();
  const before = Buffer.from(unfinished);
  batch.release(false);
  batch.add(2, 2, Buffer.alloc(10, 2));
  assert.ok(unfinished.equals(before));
});

test("every error code survives the channel", () => {
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    const sent = new CasemateError(code, `message of ${code}`, { hint: "do this", details: { n: -1.5, m: 7, s: "x" } });
    const { status, body } = encodeError(sent);
    const received = decodeError(status, body);
    assert.deepEqual(
      [received.code, received.message, received.hint, received.retryable, received.details],
      [sent.code, sent.message, sent.hint, sent.retryable, sent.details],
    );
  }
});

test("an error of any size and content can be sent", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary", maxLength: 6000 }),
      fc.option(fc.string({ unit: "binary", maxLength: 6000 }), { nil: undefined }),
      fc.dictionary(fc.string({ unit: "binary", maxLength: 200 }), fc.oneof(fc.string(), fc.double(), fc.boolean()), {
        maxKeys: 40,
      }),
      (message, hint, details) => {
        const error = new CasemateError("INTERNAL", message, { ...(hint === undefined ? {} : { hint }), details });
        const { status, body } = encodeError(error);
        assert.equal(decodeError(status, body).code, "INTERNAL");
      },
    ),
    { numRuns: 50 },
  );
});

test("arbitrary bytes as an error either decode or are refused with a code", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 255 }), fc.uint8Array({ maxLength: 64 }), (status, body) => {
      try {
        assert.ok(isCasemateError(decodeError(status, body)));
      } catch (error) {
        assert.ok(isCasemateError(error) && error.code.startsWith("DECODE_"), String(error));
      }
    }),
  );
});

test("what the channel copied of a secret request is overwritten once it was sent, and what follows is sent whole", async () => {
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const written: Buffer[] = [];
  const sent: Uint8Array[] = [];
  const socket = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      written.push(chunk);
      sent.push(Uint8Array.from(chunk));
      setImmediate(done);
    },
  });
  const channel = createChannel(socket, (error) => assert.fail(error));
  const secret = new Uint8Array(40).fill(0x5a);
  const first = channel.request(7, secret, { secret: true });
  await turn();
  const second = channel.request(8, new Uint8Array([1, 2, 3]));
  await turn();
  await turn();
  assert.equal(Buffer.from(sent[0] ?? []).indexOf(secret), 9, "it was sent as it is");
  assert.ok(
    written[0]?.every((byte) => byte === 0),
    "and is gone from the channel's buffer",
  );
  assert.deepEqual(secret, new Uint8Array(40).fill(0x5a), "the body is its owner's");
  assert.deepEqual(sent[1]?.subarray(8), new Uint8Array([8, 1, 2, 3]));
  channel.close(new CasemateError("DEVICE_ABSENT", "end"));
  await assert.rejects(first);
  await assert.rejects(second);
});
