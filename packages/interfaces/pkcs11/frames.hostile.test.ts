// Frames that come again, in another order, in pieces, or for somebody else's handles.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { Writer } from "@casemate/foundation/codec";
import {
  CKA,
  CKF,
  CKM,
  CKO,
  CKR,
  CKU,
  decodeReply,
  FRAME_HEADER,
  FrameReader,
  HANDSHAKE,
  writeRequest,
  type CallName,
  type Reply,
  type RequestSignature,
  type RequestValues,
} from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, pkcs11Bench, TestClient, type Pkcs11Bench } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const VERSION = 2;
const RW = CKF.SERIAL_SESSION | CKF.RW_SESSION;

function frame<N extends CallName>(serial: number, name: N, ...values: RequestValues<RequestSignature<N>>): Uint8Array {
  const writer = new Writer();
  for (const word of [serial, 0, 0]) writer.u32(word);
  writeRequest(writer, name, values, VERSION);
  writer.patchU32(8, writer.length - FRAME_HEADER);
  return writer.finish();
}

describe("frames out of their order", () => {
  let bench: Pkcs11Bench;
  before(async () => {
    bench = await pkcs11Bench((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
  });
  after(() => bench[Symbol.asyncDispose]());

  /** A connection that keeps every answer with its serial, in the order in which they came. */
  const talk = async () => {
    const answers: { serial: number; body: Uint8Array }[] = [];
    const reader = new FrameReader();
    let greeted = false;
    let wake = (): void => undefined;
    const socket = connect(bench.socketPath);
    socket.on("data", (chunk: Buffer) => {
      const bytes = new Uint8Array(chunk);
      answers.push(...reader.push(greeted ? bytes : bytes.subarray(1)));
      greeted = true;
      wake();
    });
    socket.on("error", () => undefined);
    const until = async (count: number): Promise<void> => {
      while (answers.length < count) await new Promise<void>((resolve) => (wake = resolve));
    };
    socket.write(Uint8Array.of(VERSION));
    socket.write(frame(1, "C_Initialize", toUtf8(HANDSHAKE), 0, new Uint8Array(1)));
    await until(1);
    answers.length = 0;
    return { socket, answers, until, [Symbol.dispose]: () => socket.destroy() };
  };
  const rvOf = (reply: Reply<CallName>): number => (reply.ok ? CKR.OK : reply.code);

  test("a frame that comes again is a call that comes again: what is gone stays gone", async () => {
    using line = await talk();
    line.socket.write(frame(2, "C_OpenSession", 0, RW));
    await line.until(1);
    const opened = decodeReply(line.answers[0]!.body, "C_OpenSession", VERSION);
    assert.ok(opened.ok);
    const [session] = opened.values;
    const close = frame(3, "C_CloseSession", session);
    line.socket.write(Buffer.concat([close, close, close]));
    await line.until(4);
    const replies = line.answers.slice(1);
    assert.deepEqual(
      replies.map(({ serial }) => serial),
      [3, 3, 3],
    );
    assert.deepEqual(
      replies.map(({ body }) => rvOf(decodeReply(body, "C_CloseSession", VERSION))),
      [CKR.OK, CKR.SESSION_HANDLE_INVALID, CKR.SESSION_HANDLE_INVALID],
    );
  });

  test("answers carry the serial of their request, whatever the order of serials and of work", async () => {
    using line = await talk();
    line.socket.write(frame(2, "C_OpenSession", 0, RW));
    await line.until(1);
    line.answers.length = 0;
    const pair = [attribute(CKA.MODULUS_BITS, 2048)];
    line.socket.write(
      Buffer.concat([
        frame(900, "C_GenerateKeyPair", 1, mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN), pair, []),
        frame(7, "C_GetSessionInfo", 1),
        frame(500, "C_GetSessionInfo", 99),
        frame(6, "C_GenerateRandom", 1, 8),
      ]),
    );
    await line.until(4);
    const of = (serial: number) => line.answers.find((answer) => answer.serial === serial)?.body ?? assert.fail();
    assert.equal(rvOf(decodeReply(of(7), "C_GetSessionInfo", VERSION)), CKR.OK);
    assert.equal(rvOf(decodeReply(of(500), "C_GetSessionInfo", VERSION)), CKR.SESSION_HANDLE_INVALID);
    assert.equal(rvOf(decodeReply(of(6), "C_GenerateRandom", VERSION)), CKR.OK);
    assert.equal(rvOf(decodeReply(of(900), "C_GenerateKeyPair", VERSION)), CKR.OK);
    assert.equal(line.answers.at(-1)?.serial, 900, "the slow one keeps nobody waiting");
  });

  test("steps of an operation before its start, after its end or in another session are refused", async () => {
    await using client = await TestClient.open(bench.socketPath);
    const [session] = await client.call("C_OpenSession", 0, RW);
    const [other] = await client.call("C_OpenSession", 0, RW);
    const data = new Uint8Array(32);
    const late = CKR.OPERATION_NOT_INITIALIZED;
    assert.equal(await client.rv("C_Digest", session, data, 64), late);
    assert.equal(await client.rv("C_DigestUpdate", session, data), late);
    assert.equal(await client.rv("C_DigestFinal", session, 64), late);
    assert.equal(await client.rv("C_Sign", session, data, 512), late);
    assert.equal(await client.rv("C_SignFinal", session, 512), late);
    assert.equal(await client.rv("C_Verify", session, data, data), late);
    assert.equal(await client.rv("C_EncryptUpdate", session, data, 64), late);
    assert.equal(await client.rv("C_DecryptFinal", session, 64), late);
    assert.equal(await client.rv("C_FindObjects", session, 10), late);
    assert.equal(await client.rv("C_FindObjectsFinal", session), late);
    await client.call("C_DigestInit", session, mechanism(CKM.SHA256));
    assert.equal(await client.rv("C_DigestInit", session, mechanism(CKM.SHA256)), CKR.OPERATION_ACTIVE);
    assert.equal(await client.rv("C_Digest", other, data, 64), late);
    await client.call("C_DigestUpdate", session, data);
    await client.call("C_DigestFinal", session, 64);
    assert.equal(await client.rv("C_DigestFinal", session, 64), late);
  });

  test("a frame cut anywhere is one call", async () => {
    using line = await talk();
    const whole = Buffer.concat([
      frame(2, "C_OpenSession", 0, RW),
      frame(3, "C_DigestInit", 1, mechanism(CKM.SHA256)),
      frame(4, "C_Digest", 1, toUtf8("abc"), 32),
    ]);
    for (const byte of whole) {
      line.socket.write(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
    await line.until(3);
    const reply = decodeReply(line.answers[2]!.body, "C_Digest", VERSION);
    assert.ok(reply.ok);
    // FIPS 180-4, the example of SHA-256 of "abc".
    const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert.equal((reply.values[0] as Uint8Array).toHex(), abc);
  });

  test("unfinished requests are held within bounds: little before C_Initialize, and 128 MiB of all connections", async () => {
    const begin = async (initialize: boolean, bytes: number): Promise<TestClient> => {
      const client = await TestClient.open(bench.socketPath, { initialize });
      const header = Buffer.alloc(12);
      header.writeUInt32BE(99, 0);
      header.writeUInt32BE(17 * 1024 * 1024, 8);
      client.socket.write(header);
      client.socket.write(Buffer.alloc(bytes));
      return client;
    };
    const ended = (client: TestClient): Promise<boolean> =>
      new Promise((resolve) => {
        if (client.socket.closed) resolve(true);
        client.socket.once("close", () => resolve(true));
        setTimeout(() => resolve(client.socket.closed), 3000).unref();
      });
    assert.equal(await ended(await begin(false, 100_000)), true);
    const clients: TestClient[] = [];
    for (let i = 0; i < 12; i++) clients.push(await begin(true, 16 * 1024 * 1024));
    const outcomes = await Promise.all(clients.map((client) => ended(client)));
    assert.ok(outcomes.includes(true) && outcomes.includes(false), outcomes.join());
    for (const client of clients) await client[Symbol.asyncDispose]();
    await using after = await TestClient.open(bench.socketPath);
    assert.equal(await after.rv("C_OpenSession", 0, RW), CKR.OK);
  });

  test("handles of one application mean nothing to another", async () => {
    await using owner = await TestClient.open(bench.socketPath);
    const [session] = await owner.call("C_OpenSession", 0, RW);
    await owner.call("C_Login", session, CKU.USER, toUtf8(bench.adminToken));
    const [object] = await owner.call("C_CreateObject", session, [
      attribute(CKA.CLASS, CKO.DATA),
      attribute(CKA.PRIVATE, true),
      attribute(CKA.VALUE, toUtf8("mine")),
    ]);
    await using stranger = await TestClient.open(bench.socketPath);
    const wanted = [{ type: CKA.VALUE, capacity: 100 }];
    assert.equal(await stranger.rv("C_GetAttributeValue", session, object, wanted), CKR.SESSION_HANDLE_INVALID);
    const [own] = await stranger.call("C_OpenSession", 0, RW);
    assert.equal(own, session, "both count from one");
    assert.equal(await stranger.rv("C_GetAttributeValue", own, object, wanted), CKR.OBJECT_HANDLE_INVALID);
    await stranger.call("C_Login", own, CKU.USER, toUtf8(bench.adminToken));
    assert.equal(await stranger.rv("C_GetAttributeValue", own, object, wanted), CKR.OBJECT_HANDLE_INVALID);
    assert.equal(await stranger.rv("C_DestroyObject", own, object), CKR.OBJECT_HANDLE_INVALID);
  });
});
