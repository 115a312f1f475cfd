/** One operation gives one result, of the input that it was asked with, and no call takes more of the server than it may. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { CKA, CKK, CKM, CKO, CKR, SIZE_QUERY } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, openLoggedIn, RW, TestClient } from "@casemate/testkit/pkcs11";
import { Application, MAX_SESSION_BYTES, MAX_SESSION_BYTES_OF_ALL, type Shared } from "./application.ts";
import { deliver, fresh } from "./calls/output.ts";
import { createPkcs11Server } from "./index.ts";
import { Session } from "./session.ts";

const open = () => openLoggedIn((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
type Opened = Awaited<ReturnType<typeof open>>;

const KEY = new Uint8Array(16).fill(1);
/** An AES key of the session, for these uses. */
async function aesFor(
  { client, session }: Pick<Opened, "client" | "session">,
  ...uses: readonly number[]
): Promise<number> {
  const [key] = await client.call("C_CreateObject", session, [
    attribute(CKA.CLASS, CKO.SECRET_KEY),
    attribute(CKA.KEY_TYPE, CKK.AES),
    attribute(CKA.VALUE, KEY),
    ...uses.map((use) => attribute(use, true)),
  ]);
  return key;
}
const cipherKey = (it: Opened): Promise<number> => aesFor(it, CKA.ENCRYPT, CKA.DECRYPT);
const gcmParameter = { kind: "gcm", iv: new Uint8Array(12), aad: new Uint8Array(), tagBits: 128, ivBits: 96 } as const;
const GCM = mechanism(CKM.AES_GCM, gcmParameter);

describe("an operation ends with its first call, although others come before its answer", () => {
  for (const token of [true, false])
    test(token ? "a signature of a token key" : "a signature of a session key", async () => {
      await using it = await open();
      const { client, session } = it;
      const [, key] = await it.pairOf([], [attribute(CKA.TOKEN, token), attribute(CKA.SIGN, true)]);
      await client.call("C_SignInit", session, mechanism(CKM.ECDSA), key);
      const calls = [1, 2, 3, 4].map((byte) => client.rv("C_Sign", session, new Uint8Array(32).fill(byte), 100));
      const codes = await Promise.all(calls);
      assert.deepEqual(codes, [CKR.OK, ...Array.from({ length: 3 }, () => CKR.OPERATION_NOT_INITIALIZED)]);
      await client.call("C_SignInit", session, mechanism(CKM.ECDSA), key);
      assert.equal(await client.rv("C_Sign", session, new Uint8Array(32), 100), CKR.OK);
    });

  test("an encryption under one nonce", async () => {
    await using it = await open();
    const { client, session } = it;
    await client.call("C_EncryptInit", session, GCM, await cipherKey(it));
    const codes = await Promise.all([1, 2].map((byte) => client.rv("C_Encrypt", session, Uint8Array.of(byte), 100)));
    assert.deepEqual(codes, [CKR.OK, CKR.OPERATION_NOT_INITIALIZED]);
  });

  test("the end of a multi-part code", async () => {
    await using it = await open();
    const { client, session } = it;
    const key = await aesFor(it, CKA.SIGN);
    await client.call("C_SignInit", session, mechanism(CKM.AES_CMAC), key);
    await client.call("C_SignUpdate", session, Uint8Array.of(1));
    const codes = await Promise.all([
      client.rv("C_SignFinal", session, 100),
      client.rv("C_SignFinal", session, 100),
      client.rv("C_SignUpdate", session, Uint8Array.of(2)),
    ]);
    assert.deepEqual(codes, [CKR.OK, CKR.OPERATION_NOT_INITIALIZED, CKR.OPERATION_NOT_INITIALIZED]);
  });
});

describe("a result that did not fit is given for its own input alone", () => {
  const iv = mechanism(CKM.AES_CBC_PAD, { kind: "bytes", bytes: new Uint8Array(16) });
  for (const [name, way] of [
    ["ECB", mechanism(CKM.AES_ECB)],
    ["CBC with padding", iv],
    ["GCM", GCM],
  ] as const)
    test(`decryption, ${name}`, async () => {
      await using it = await open();
      const { client, session } = it;
      const key = await cipherKey(it);
      const texts = [5, 6].map((byte) => new Uint8Array(48).fill(byte));
      const sealed: Uint8Array[] = [];
      for (const text of texts) {
        await client.call("C_EncryptInit", session, way, key);
        sealed.push((await client.call("C_Encrypt", session, text, 100))[0] as Uint8Array);
      }
      const [first, second] = sealed as [Uint8Array, Uint8Array];
      await client.call("C_DecryptInit", session, way, key);
      assert.equal(typeof (await client.call("C_Decrypt", session, first, 5))[0], "number");
      assert.deepEqual((await client.call("C_Decrypt", session, second, 100))[0], texts[1]);
      // The same once more is not worked on again, and fits now.
      await client.call("C_DecryptInit", session, way, key);
      assert.equal(typeof (await client.call("C_Decrypt", session, first, 5))[0], "number");
      assert.deepEqual((await client.call("C_Decrypt", session, first, 100))[0], texts[0]);
      if (way !== GCM) return;
      await client.call("C_DecryptInit", session, way, key);
      await client.call("C_Decrypt", session, first, 5);
      assert.equal(await client.rv("C_Decrypt", session, new Uint8Array(64), 100), CKR.ENCRYPTED_DATA_INVALID);
    });

  test("a digest", async () => {
    await using it = await open();
    const { client, session } = it;
    await client.call("C_DigestInit", session, mechanism(CKM.SHA256));
    assert.deepEqual(await client.call("C_Digest", session, Uint8Array.of(1), 5), [32]);
    const [made] = await client.call("C_Digest", session, Uint8Array.of(2), 32);
    assert.deepEqual(made, new Uint8Array(createHash("sha256").update(Uint8Array.of(2)).digest()));
  });
});

test("a call that does not end the operation does not take back that another one ends it", async () => {
  const session = new Session(1, 0, 0, true, false);
  const operation = (session.operations.encrypt = {
    ...fresh(),
    encrypt: true,
    restart: () => assert.fail("nothing begins anew"),
  });
  const [part, end] = [Promise.withResolvers<Uint8Array>(), Promise.withResolvers<Uint8Array>()];
  const parted = deliver(session, "encrypt", operation, 100, 16, false, () => part.promise);
  const ended = deliver(session, "encrypt", operation, 100, 16, true, () => end.promise);
  part.resolve(new Uint8Array(16));
  await parted;
  assert.throws(() => session.running("encrypt"), { rv: CKR.OPERATION_NOT_INITIALIZED });
  end.resolve(new Uint8Array(16));
  await ended;
  assert.equal(session.operations.encrypt, undefined);
});

test("a part that yields nothing is not taken in while a client may have asked for the size alone", async () => {
  await using it = await open();
  await using old = await TestClient.open(it.bench.socketPath, { version: 0 });
  const [session] = await old.call("C_OpenSession", 0, RW);
  const key = await aesFor({ client: old, session }, CKA.ENCRYPT);
  await old.call("C_EncryptInit", session, mechanism(CKM.AES_ECB), key);
  assert.deepEqual(await old.call("C_EncryptUpdate", session, Uint8Array.of(1), SIZE_QUERY), [0]);
  const [out] = await old.call("C_EncryptUpdate", session, new Uint8Array(16), 100);
  assert.equal((out as Uint8Array).length, 16, "the one byte is not in it");
  assert.equal(await old.rv("C_EncryptFinal", session, 100), CKR.OK);
});

test("tags of GCM have 96 to 128 bits", async () => {
  await using it = await open();
  const key = await cipherKey(it);
  for (const [tagBits, expected] of [
    [64, CKR.MECHANISM_PARAM_INVALID],
    [96, CKR.OK],
  ] as const) {
    const { client, session } = it;
    const how = mechanism(CKM.AES_GCM, { ...gcmParameter, tagBits });
    assert.equal(await client.rv("C_EncryptInit", session, how, key), expected, String(tagBits));
  }
});

test("a handle stays with its version: after a rotation it verifies, and signs no more", async () => {
  await using it = await open();
  const { client, session, bench } = it;
  await bench.keyring.createKey(bench.admin, { name: "turns", algorithm: "ec-p256", usages: ["sign"] });
  const handleOf = async (kind: number): Promise<number> => {
    await client.call("C_FindObjectsInit", session, [attribute(CKA.CLASS, kind), attribute(CKA.LABEL, "turns")]);
    const [found] = await client.call("C_FindObjects", session, 1);
    await client.call("C_FindObjectsFinal", session);
    return (found as readonly number[])[0] ?? assert.fail("it is not found");
  };
  const [key, publicKey] = [await handleOf(CKO.PRIVATE_KEY), await handleOf(CKO.PUBLIC_KEY)];
  const sign = async (handle: number) => {
    await client.call("C_SignInit", session, mechanism(CKM.ECDSA), handle);
    return client.reply("C_Sign", session, KEY, 100);
  };
  const signed = await sign(key);
  assert.ok(signed.ok);
  await bench.keyring.rotateKey(bench.admin, "turns");
  const refused = await sign(key);
  assert.ok(!refused.ok && refused.code === CKR.KEY_FUNCTION_NOT_PERMITTED);
  await client.call("C_VerifyInit", session, mechanism(CKM.ECDSA), publicKey);
  assert.equal(await client.rv("C_Verify", session, KEY, signed.values[0] as Uint8Array), CKR.OK);
  assert.ok((await sign(await handleOf(CKO.PRIVATE_KEY))).ok, "the new version, which has the name now");
});

test("the counter bits of CTR do not overflow, wherever they start", async () => {
  await using it = await open();
  const { client, session } = it;
  const key = await cipherKey(it);
  const from = (bits: number, last: number, fill = 0) =>
    mechanism(CKM.AES_CTR, { kind: "ctr", bits, block: new Uint8Array(16).fill(fill, 0, 15).fill(last, 15) });
  // The example of the standard: two bits that start at 1 take three blocks.
  for (const [way, most] of [
    [from(2, 1), 3],
    [from(8, 255), 1],
    [from(128, 255, 255), 1],
    [from(8, 0), 256],
  ] as const) {
    await client.call("C_EncryptInit", session, way, key);
    assert.equal(await client.rv("C_Encrypt", session, new Uint8Array(16 * most), 10_000), CKR.OK);
    await client.call("C_EncryptInit", session, way, key);
    assert.equal(await client.rv("C_Encrypt", session, new Uint8Array(16 * most + 1), 10_000), CKR.DATA_LEN_RANGE);
  }
});

test("an answer is no larger than a question, though an attribute is asked for many times over", async () => {
  await using it = await open();
  const { client, session } = it;
  const [object] = await client.call("C_CreateObject", session, [
    attribute(CKA.CLASS, CKO.DATA),
    attribute(CKA.VALUE, new Uint8Array(1024 * 1024)),
  ]);
  const ask = (times: number) =>
    client.rv(
      "C_GetAttributeValue",
      session,
      object,
      Array.from({ length: times }, () => ({ type: CKA.VALUE, capacity: 1024 * 1024 })),
    );
  assert.equal(await ask(16), CKR.OK);
  // The values alone would fit, what stands around them would not: a bridge would not take such an answer.
  assert.equal(await ask(17), CKR.HOST_MEMORY);
  assert.equal(await ask(1024), CKR.HOST_MEMORY);
});

test("session objects take so much and no more, and what is destroyed makes room", async () => {
  await using it = await open();
  const { client, session } = it;
  const mebibyte = [attribute(CKA.CLASS, CKO.DATA), attribute(CKA.VALUE, new Uint8Array(1024 * 1024))];
  const label = [attribute(CKA.LABEL, "x".repeat(1_000_000))];
  const made: number[] = [];
  const fit = MAX_SESSION_BYTES / (1024 * 1024);
  for (let i = 0; i < fit - 1; i++) made.push((await client.call("C_CreateObject", session, mebibyte))[0]);
  const [small] = await client.call("C_CreateObject", session, [attribute(CKA.CLASS, CKO.DATA)]);
  await client.call("C_CreateObject", session, mebibyte.with(1, attribute(CKA.VALUE, new Uint8Array(1_000_000))));
  assert.equal(await client.rv("C_CreateObject", session, mebibyte), CKR.DEVICE_MEMORY);
  assert.equal(await client.rv("C_SetAttributeValue", session, small, label), CKR.DEVICE_MEMORY);
  await client.call("C_DestroyObject", session, made[0]!);
  assert.equal(await client.rv("C_SetAttributeValue", session, small, label), CKR.OK);
  // Another application has room of its own, and this one again with a new session.
  await using other = await TestClient.open(it.bench.socketPath, { version: 2 });
  const [elsewhere] = await other.call("C_OpenSession", 0, RW);
  assert.equal(await other.rv("C_CreateObject", elsewhere, mebibyte), CKR.OK);
  await client.call("C_CloseSession", session);
  const [next] = await client.call("C_OpenSession", 0, RW);
  for (let i = 0; i < fit - 1; i++) await client.call("C_CreateObject", next, mebibyte);
});

test("session objects of all applications together take so much and no more", () => {
  const kept = { bytes: MAX_SESSION_BYTES_OF_ALL - 10 };
  const application = new Application({ kept } as unknown as Shared);
  const session = new Session(1, 0, 0, true, false);
  application.sessions.set(1, session);
  const object = (uid: string, bytes: number) => ({ uid, attributes: new Map([[CKA.VALUE, new Uint8Array(bytes)]]) });
  assert.throws(() => application.addSessionObject(session, object("a", 11)), { rv: CKR.DEVICE_MEMORY });
  application.addSessionObject(session, object("b", 10));
  assert.throws(() => application.addSessionObject(session, object("c", 1)), { rv: CKR.DEVICE_MEMORY });
  application.forgetSessionObject("b");
  application.addSessionObject(session, object("c", 1));
  assert.equal(kept.bytes, MAX_SESSION_BYTES_OF_ALL - 9);
});
