import assert from "node:assert/strict";
import { createServer, connect, type Socket } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { Writer } from "@casemate/foundation/codec";
import { toUtf8 } from "@casemate/foundation/bytes";
import {
  callNamed,
  CKR,
  decodeReply,
  FrameReader,
  HANDSHAKE,
  writeReply,
  writeRequest,
  type CallName,
  type RequestSignature,
  type RequestValues,
} from "@casemate/protocols/p11-rpc";
import { Bridge } from "./bridge.ts";

/** The client's end of a bridge: one call at a time. */
function client(input: PassThrough, output: PassThrough) {
  const frames = new FrameReader();
  let negotiated = false;
  const waiting = new Map<number, (body: Uint8Array) => void>();
  output.on("data", (chunk: Buffer) => {
    let bytes = new Uint8Array(chunk);
    if (!negotiated) {
      negotiated = true;
      bytes = bytes.subarray(1);
    }
    for (const { serial, body } of frames.push(bytes)) waiting.get(serial)?.(body);
  });
  input.write(new Uint8Array([0]));
  let serial = 16;
  return async <N extends CallName>(name: N, ...values: RequestValues<RequestSignature<N>>): Promise<number> => {
    const own = serial++;
    const writer = new Writer();
    for (const word of [own, 0, 0]) writer.u32(word);
    writeRequest(writer, name, values, 0);
    writer.patchU32(8, writer.length - 12);
    const body = new Promise<Uint8Array>((resolve) => waiting.set(own, resolve));
    input.write(writer.finish());
    const reply = decodeReply(await body, name, 0);
    return reply.ok ? CKR.OK : reply.code;
  };
}

test("a server that goes away becomes CKR_DEVICE_ERROR, and the next C_Initialize reaches the new one", async () => {
  const directory = mkdtempSync(join(tmpdir(), "casemate-bridge-"));
  const path = join(directory, "s");
  const held = new Set<Socket>();
  /** Answers C_Initialize, and nothing else ever. */
  const start = () =>
    new Promise<ReturnType<typeof createServer>>((resolve) => {
      const server = createServer((socket) => {
        held.add(socket);
        let first = true;
        const frames = new FrameReader();
        socket.on("error", () => undefined);
        socket.on("data", (chunk: Buffer) => {
          let bytes = new Uint8Array(chunk);
          if (first) {
            first = false;
            socket.write(new Uint8Array([0]));
            bytes = bytes.subarray(1);
          }
          for (const { serial, body } of frames.push(bytes)) {
            if (body[3] !== 1) continue;
            const writer = new Writer();
            for (const word of [serial, 0, 8]) writer.u32(word);
            writeReply(writer, callNamed("C_Initialize"), [], 0);
            socket.write(writer.finish());
          }
        });
      }).listen(path, () => resolve(server));
    });
  const stop = async (server: Awaited<ReturnType<typeof start>>): Promise<void> => {
    for (const socket of held) socket.destroy();
    held.clear();
    await new Promise((resolve) => server.close(resolve));
  };
  const input = new PassThrough();
  const output = new PassThrough();
  const bridge = new Bridge(
    { input, output },
    () =>
      new Promise((resolve, reject) => {
        const stream = connect(path);
        stream.once("error", reject);
        stream.once("connect", () => resolve({ stream, close: () => stream.destroy() }));
      }),
  );
  const running = bridge.run();
  const call = client(input, output);
  const initialize = () => call("C_Initialize", toUtf8(HANDSHAKE), 0, new Uint8Array(1));

  assert.equal(await initialize(), CKR.DEVICE_ERROR, "no server yet");
  let server = await start();
  assert.equal(await initialize(), CKR.OK);
  const unanswered = call("C_GetInfo");
  await stop(server);
  assert.equal(await unanswered, CKR.DEVICE_ERROR, "asked before the end");
  assert.equal(await call("C_GetInfo"), CKR.DEVICE_ERROR, "asked after it");
  assert.equal(await call("C_Finalize"), CKR.OK);
  server = await start();
  assert.equal(await initialize(), CKR.OK);
  input.end();
  await running;
  await stop(server);
  rmSync(directory, { recursive: true, force: true });
});
