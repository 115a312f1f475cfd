import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { Writer } from "@casemate/foundation/codec";
import { CALLS, CKF, CKR } from "@casemate/protocols/p11-rpc";
import { pkcs11Bench, TestClient, type Pkcs11Bench } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const CORPUS = new URL("../../../fixtures/pkcs11-rpc-corpus/", import.meta.url);

describe("hostile PKCS#11 clients", () => {
  let bench: Pkcs11Bench;
  before(async () => {
    bench = await pkcs11Bench((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
  });
  after(() => bench[Symbol.asyncDispose]());

  /** Sends bytes and waits until the server closes or answers nothing more. */
  const send = (bytes: Uint8Array): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(bench.socketPath, () => socket.end(bytes));
      socket.on("data", () => undefined);
      socket.on("error", () => undefined);
      socket.on("close", () => resolve());
    });
  const alive = async (): Promise<void> => {
    await using client = await TestClient.open(bench.socketPath);
    assert.equal(await client.rv("C_OpenSession", 0, CKF.SERIAL_SESSION), CKR.OK);
  };

  test("every file of the corpus leaves the server answering", async () => {
    const files = readdirSync(CORPUS).filter((name) => name.endsWith(".hex"));
    assert.ok(files.length >= 8);
    for (const name of files) {
      await send(Uint8Array.fromHex(readFileSync(new URL(name, CORPUS), "utf8").replaceAll(/\s/g, "")));
    }
    await alive();
  });

  test("a call whose values are garbage is answered with a return value, and the connection goes on", async () => {
    await using client = await TestClient.open(bench.socketPath);
    for (const call of CALLS) {
      if (call.request === "" || call.name === "C_Initialize") continue;
      const body = new Writer();
      body.u32(call.id);
      body.u32(call.request.length);
      for (const letter of call.request) body.u8(letter.charCodeAt(0));
      body.raw(new Uint8Array(3).fill(0xff));
      const frame = new Writer();
      for (const word of [call.id + 1000, 0, body.length]) frame.u32(word);
      frame.raw(body.view());
      const answer = await client.raw(frame.finish(), call.id + 1000);
      assert.ok(answer, call.name);
      assert.equal(answer.toHex().slice(0, 8), "00000000", call.name);
    }
    assert.equal(await client.rv("C_OpenSession", 0, CKF.SERIAL_SESSION), CKR.OK);
  });

  test("wrong handles of every call are refused", async () => {
    await using client = await TestClient.open(bench.socketPath);
    assert.equal(await client.rv("C_CloseSession", 99999), CKR.SESSION_HANDLE_INVALID);
    assert.equal(await client.rv("C_Sign", 99999, new Uint8Array(1), 10), CKR.SESSION_HANDLE_INVALID);
    const [session] = await client.call("C_OpenSession", 0, CKF.SERIAL_SESSION);
    for (const handle of [0, 77777, 2 ** 53, 2 ** 64]) {
      assert.equal(await client.rv("C_DestroyObject", session, handle), CKR.OBJECT_HANDLE_INVALID);
    }
    assert.equal(await client.rv("C_Encrypt", session, new Uint8Array(1), 10), CKR.OPERATION_NOT_INITIALIZED);
  });

  test("clients that vanish in the middle of slow work do no harm", async () => {
    for (let i = 0; i < 5; i++) {
      const client = await TestClient.open(bench.socketPath);
      const [session] = await client.call("C_OpenSession", 0, CKF.SERIAL_SESSION);
      const pending = client.call(
        "C_GenerateKeyPair",
        session,
        { type: 0, parameter: undefined },
        [{ type: 0x121, value: 2048, length: 8 }],
        [{ type: 2, value: 0, length: 1 }],
      );
      pending.catch(() => undefined);
      await client[Symbol.asyncDispose]();
    }
    await alive();
  });

  test("a thousand connections with ten sessions each are held", { timeout: 60_000 }, async () => {
    const clients: TestClient[] = [];
    while (clients.length < 1000) {
      clients.push(...(await Promise.all(Array.from({ length: 100 }, () => TestClient.open(bench.socketPath)))));
    }
    await Promise.all(
      clients.flatMap((client) =>
        Array.from({ length: 10 }, () => client.call("C_OpenSession", 0, CKF.SERIAL_SESSION)),
      ),
    );
    const infos = await Promise.all(clients.map((client) => client.call("C_GetTokenInfo", 0)));
    assert.equal(
      infos.reduce((sum, info) => sum + info[6], 0),
      10_000,
    );
    await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()));
  });
});
