// A host that has turned against its guest: raw bytes on the guest's end of the channel.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { test, type TestContext } from "node:test";
import { FrameBatch, FrameParser, HELLO, NOTIFY_ID } from "./frames.ts";
import { prepareGuest, spawnGuest } from "./launch.ts";

const options = { entry: `${import.meta.dirname}/guest/echo.testguest.ts`, secureHeapBytes: 0 };
const boot = prepareGuest(options);

/** A running guest, its raw channel, and its answers. */
async function raw(t: TestContext) {
  const child = await spawnGuest(options, boot);
  t.after(() => child.kill("SIGKILL"));
  const exited = once(child, "exit") as Promise<[number | null, string | null]>;
  const socket = child.stdio[3] as Duplex;
  socket.on("error", () => undefined);
  const parser = new FrameParser();
  const answers: { id: number; status: number; body: Uint8Array }[] = [];
  const hello = Promise.withResolvers<void>();
  socket.on("data", (chunk: Buffer) =>
    parser.push(chunk, (id, status, body) => {
      if (id === NOTIFY_ID && status === HELLO) hello.resolve();
      else answers.push({ id, status, body });
    }),
  );
  await hello.promise;
  return { socket, answers, exited };
}

function frames(...list: readonly (readonly [number, number, Uint8Array])[]): Buffer {
  const batch = new FrameBatch();
  for (const [id, op, body] of list) batch.add(id, op, body);
  return Buffer.from(batch.take());
}

const nothing = new Uint8Array(0);

for (const [what, bytes] of [
  ["a frame above the cap", Buffer.from("01000001", "hex")],
  ["a frame without room for its header", Buffer.from("00000004000000010100", "hex")],
  ["a request with the id of notifications", frames([NOTIFY_ID, 1, nothing])],
] as const) {
  test(`a guest ends when it is sent ${what}`, async (t) => {
    const { socket, exited } = await raw(t);
    socket.write(bytes);
    assert.deepEqual(await exited, [1, null]);
  });
}

test("a guest ends when its host goes away, also in the middle of a frame", async (t) => {
  const { socket, exited } = await raw(t);
  socket.end(frames([1, 1, Buffer.alloc(100)]).subarray(0, 50));
  assert.deepEqual(await exited, [0, null]);
});

test("a guest answers an unknown operation, a repeated id and a request that came byte by byte", async (t) => {
  const { socket, answers } = await raw(t);
  socket.write(frames([7, 250, nothing], [7, 1, Buffer.from("a")], [7, 1, Buffer.from("b")]));
  for (const byte of frames([9, 1, Buffer.from("slow")])) socket.write(Buffer.of(byte));
  while (answers.length < 4) await once(socket, "data");
  assert.deepEqual(
    answers.map(({ id, status }) => [id, status]),
    [
      [7, 15],
      [7, 0],
      [7, 0],
      [9, 0],
    ],
  );
  assert.equal(Buffer.from(answers[3]?.body ?? nothing).toString(), "slow");
});
