import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import {
  CKA,
  CKF,
  CKK,
  CKM,
  CKO,
  CKR,
  CKS,
  CKU,
  NULL_BYTES,
  NULL_MECHANISM,
  SIZE_QUERY,
} from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, pkcs11Bench, TestClient, type Pkcs11Bench } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const RW = CKF.SERIAL_SESSION | CKF.RW_SESSION;
const P256 = Uint8Array.fromHex("06082a8648ce3d030107");

describe("sessions, logins and operations over PKCS#11", () => {
  let bench: Pkcs11Bench;
  before(async () => {
    bench = await pkcs11Bench((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
  });
  after(() => bench[Symbol.asyncDispose]());

  const open = (version: 0 | 1 | 2 = 2) => TestClient.open(bench.socketPath, { version });
  const session = async (client: TestClient, flags = RW, slot = 0): Promise<number> =>
    (await client.call("C_OpenSession", slot, flags))[0];
  const logIn = async (client: TestClient, slot = 0): Promise<number> => {
    const handle = await session(client, RW, slot);
    await client.call("C_Login", handle, CKU.USER, toUtf8(bench.adminToken));
    return handle;
  };
  const value = async (client: TestClient, handle: number, object: number, type: number) => {
    const [attributes] = await client.call("C_GetAttributeValue", handle, object, [{ type, capacity: 4096 }]);
    return attributes[0]?.value;
  };
  const find = async (client: TestClient, handle: number, ...template: ReturnType<typeof attribute>[]) => {
    await client.call("C_FindObjectsInit", handle, template);
    const [found] = await client.call("C_FindObjects", handle, 1000);
    await client.call("C_FindObjectsFinal", handle);
    assert.ok(typeof found !== "number");
    return found;
  };

  test("login states follow the standard", async () => {
    await using client = await open();
    const readOnly = await session(client, CKF.SERIAL_SESSION);
    const state = async (handle: number) => (await client.call("C_GetSessionInfo", handle))[1];
    const token = toUtf8(bench.adminToken);
    assert.equal(await state(readOnly), CKS.RO_PUBLIC_SESSION);
    assert.equal(await client.rv("C_Login", readOnly, CKU.SO, token), CKR.SESSION_READ_ONLY_EXISTS);
    assert.equal(await client.rv("C_Login", readOnly, 7, token), CKR.USER_TYPE_INVALID);
    assert.equal(await client.rv("C_Login", readOnly, CKU.USER, NULL_BYTES), CKR.FUNCTION_CANCELED);
    await client.call("C_Login", readOnly, CKU.USER, token);
    assert.equal(await state(readOnly), CKS.RO_USER_FUNCTIONS);
    const writable = await session(client);
    assert.equal(await state(writable), CKS.RW_USER_FUNCTIONS);
    assert.equal(await client.rv("C_Login", writable, CKU.USER, token), CKR.USER_ALREADY_LOGGED_IN);
    assert.equal(await client.rv("C_Login", writable, CKU.SO, token), CKR.USER_ANOTHER_ALREADY_LOGGED_IN);
    await client.call("C_CloseAllSessions", 0);
    const again = await session(client);
    assert.equal(await state(again), CKS.RW_PUBLIC_SESSION, "the last session closed logs out");
    await client.call("C_Login", again, CKU.SO, token);
    assert.equal(await state(again), CKS.RW_SO_FUNCTIONS);
    assert.equal(await client.rv("C_OpenSession", 0, CKF.SERIAL_SESSION), CKR.SESSION_READ_WRITE_SO_EXISTS);
    assert.equal(await client.rv("C_OpenSession", 0, 0), CKR.SESSION_PARALLEL_NOT_SUPPORTED);
    assert.equal(await client.rv("C_OpenSession", 88888, RW), CKR.SLOT_ID_INVALID);
  });

  test("a sealed PIN opens the token, wrong ones are counted, and the tenth locks", async () => {
    await using client = await open();
    const slot = 1;
    await client.call("C_GetSlotList", 1, SIZE_QUERY);
    const officer = await session(client, RW, slot);
    await client.call("C_Login", officer, CKU.SO, toUtf8(bench.adminToken));
    const admin = await bench.keyring.authenticate(bench.adminToken, "pkcs11");
    const tokens = async (): Promise<number> => (await bench.keyring.listTokens(admin, { limit: 100 })).items.length;
    const present = await tokens();
    assert.equal(await client.rv("C_InitPIN", officer, toUtf8("abc")), CKR.PIN_LEN_RANGE);
    assert.equal(await client.rv("C_InitPIN", officer, NULL_BYTES), CKR.ARGUMENTS_BAD);
    assert.equal(await tokens(), present, "a refused PIN leaves no API token behind");
    await client.call("C_InitPIN", officer, toUtf8("correct horse"));
    assert.equal(await tokens(), present + 1);
    await client.call("C_Logout", officer);
    await client.call("C_Login", officer, CKU.USER, toUtf8("correct horse"));
    await client.call("C_SetPIN", officer, toUtf8("correct horse"), toUtf8("battery staple"));
    await client.call("C_Logout", officer);
    assert.equal(await client.rv("C_Login", officer, CKU.USER, toUtf8("correct horse")), CKR.PIN_INCORRECT);
    await client.call("C_Login", officer, CKU.USER, toUtf8("battery staple"));
    await client.call("C_Logout", officer);
    for (let i = 1; i < 10; i++)
      assert.equal(await client.rv("C_Login", officer, CKU.USER, toUtf8(`wrong ${i}`)), CKR.PIN_INCORRECT);
    assert.equal(await client.rv("C_Login", officer, CKU.USER, toUtf8("wrong 10")), CKR.PIN_LOCKED);
    assert.equal(await client.rv("C_Login", officer, CKU.USER, toUtf8("battery staple")), CKR.PIN_LOCKED);
    const info = await client.call("C_GetTokenInfo", slot);
    assert.notEqual(info[4] & CKF.USER_PIN_LOCKED, 0);
  });

  test("a NULL mechanism cancels, and modes do not mix", async () => {
    await using client = await open();
    const handle = await session(client);
    await client.call("C_DigestInit", handle, mechanism(CKM.SHA256));
    await client.call("C_DigestInit", handle, { type: NULL_MECHANISM, parameter: undefined });
    assert.equal(await client.rv("C_DigestUpdate", handle, new Uint8Array(1)), CKR.OPERATION_NOT_INITIALIZED);
    await client.call("C_DigestInit", handle, mechanism(CKM.SHA256));
    await client.call("C_DigestUpdate", handle, toUtf8("ab"));
    assert.equal(await client.rv("C_Digest", handle, toUtf8("c"), 32), CKR.OPERATION_ACTIVE);
    assert.equal(await client.rv("C_DigestFinal", handle, 32), CKR.OPERATION_NOT_INITIALIZED, "C_Digest ends it");
    await client.call("C_DigestInit", handle, mechanism(CKM.SHA256));
    await client.call("C_DigestUpdate", handle, toUtf8("ab"));
    const [state] = await client.call("C_GetOperationState", handle, 1000);
    await client.call("C_DigestUpdate", handle, toUtf8("c"));
    const [digest] = await client.call("C_DigestFinal", handle, 32);
    assert.deepEqual(digest, new Uint8Array(createHash("sha256").update("abc").digest()));
    await client.call("C_SetOperationState", handle, state as Uint8Array, 0, 0);
    await client.call("C_DigestUpdate", handle, toUtf8("c"));
    assert.deepEqual((await client.call("C_DigestFinal", handle, 32))[0], digest);
    assert.equal(await client.rv("C_SetOperationState", handle, new Uint8Array(80), 0, 0), CKR.SAVED_STATE_INVALID);
    assert.equal(await client.rv("C_SetOperationState", handle, NULL_BYTES, 0, 0), CKR.ARGUMENTS_BAD);
  });
  test("with too little room nothing is encrypted: the caller may come with another text", async () => {
    await using client = await open();
    const handle = await session(client);
    const [key] = await client.call("C_GenerateKey", handle, mechanism(CKM.AES_KEY_GEN), [
      attribute(CKA.VALUE_LEN, 16),
    ]);
    const encrypt = async (text: Uint8Array): Promise<unknown> => {
      await client.call("C_EncryptInit", handle, mechanism(CKM.AES_ECB), key);
      return (await client.call("C_Encrypt", handle, text, 64))[0];
    };
    const [one, two] = [new Uint8Array(16).fill(1), new Uint8Array(16).fill(2)];
    const wanted = await encrypt(two);
    await client.call("C_EncryptInit", handle, mechanism(CKM.AES_ECB), key);
    assert.deepEqual(await client.call("C_Encrypt", handle, one, 2), [16]);
    assert.deepEqual(await client.call("C_Encrypt", handle, two, 64), [wanted]);
  });

  test("a client that writes NULL and no room alike can end a cipher with nothing left, and ask for that size before", async () => {
    await using client = await TestClient.open(bench.socketPath, { version: 0 });
    const handle = await session(client);
    const [key] = await client.call("C_GenerateKey", handle, mechanism(CKM.AES_KEY_GEN), [
      attribute(CKA.VALUE_LEN, 16),
    ]);
    const block = new Uint8Array(16);
    const start = () => client.call("C_EncryptInit", handle, mechanism(CKM.AES_ECB), key);
    const end = () => client.rv("C_EncryptFinal", handle, SIZE_QUERY);
    await start();
    await client.call("C_EncryptUpdate", handle, block, 16);
    assert.deepEqual(await client.call("C_EncryptFinal", handle, SIZE_QUERY), [new Uint8Array(0)]);
    assert.equal(await client.rv("C_EncryptUpdate", handle, block, 16), CKR.OPERATION_NOT_INITIALIZED);
    assert.equal(await end(), CKR.OK, "the call after the size query");
    assert.equal(await end(), CKR.OPERATION_NOT_INITIALIZED);
    await start();
    await client.call("C_EncryptUpdate", handle, block, 16);
    assert.equal(await end(), CKR.OK);
    await start();
    await client.call("C_EncryptUpdate", handle, block.subarray(1), 16);
    assert.equal(await end(), CKR.DATA_LEN_RANGE, "an incomplete block is refused, not dropped");
  });

  for (const [name, generator, params, length] of [
    ["P-256", CKM.EC_KEY_PAIR_GEN, P256, 32],
    ["X25519", CKM.EC_MONTGOMERY_KEY_PAIR_GEN, Uint8Array.fromHex("06032b656e"), 32],
    ["X448", CKM.EC_MONTGOMERY_KEY_PAIR_GEN, Uint8Array.fromHex("06032b656f"), 56],
  ] as const)
    test(`${name} between a device key and a session key agrees on one secret`, async () => {
      await using client = await open();
      const handle = await logIn(client);
      const pair = (token: boolean) =>
        client.call(
          "C_GenerateKeyPair",
          handle,
          mechanism(generator),
          [attribute(CKA.EC_PARAMS, params), attribute(CKA.TOKEN, token)],
          [attribute(CKA.TOKEN, token), attribute(CKA.DERIVE, true)],
        );
      const [devicePublic, devicePrivate] = await pair(true);
      const [sessionPublic, sessionPrivate] = await pair(false);
      const derive = async (own: number, peer: number) => {
        const point = (await value(client, handle, peer, CKA.EC_POINT)) as Uint8Array;
        const parameter = { kind: "ecdh", kdf: 1, shared: new Uint8Array(0), peer: point } as const;
        const [key] = await client.call("C_DeriveKey", handle, mechanism(CKM.ECDH1_DERIVE, parameter), own, [
          attribute(CKA.CLASS, CKO.SECRET_KEY),
          attribute(CKA.KEY_TYPE, CKK.GENERIC_SECRET),
          attribute(CKA.SENSITIVE, false),
          attribute(CKA.EXTRACTABLE, true),
        ]);
        return value(client, handle, key, CKA.VALUE);
      };
      const one = await derive(devicePrivate, sessionPublic);
      assert.deepEqual(one, await derive(sessionPrivate, devicePublic));
      assert.equal((one as Uint8Array).length, length);
    });

  test("slow requests do not hold up others on the same connection", async () => {
    await using client = await open();
    const handle = await logIn(client);
    const order: string[] = [];
    const slow = client
      .call(
        "C_GenerateKeyPair",
        handle,
        mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
        [attribute(CKA.MODULUS_BITS, 3072)],
        [attribute(CKA.SIGN, true)],
      )
      .then(() => order.push("slow"));
    const quick = client.call("C_GetSessionInfo", handle).then(() => order.push("quick"));
    await Promise.all([slow, quick]);
    assert.deepEqual(order, ["quick", "slow"]);
  });

  test("one connection never sees another's session objects or handles", async () => {
    await using one = await open();
    await using two = await open();
    const first = await session(one);
    const second = await session(two);
    const [object] = await one.call("C_CreateObject", first, [
      attribute(CKA.CLASS, CKO.DATA),
      attribute(CKA.LABEL, "mine"),
    ]);
    assert.deepEqual(await find(two, second, attribute(CKA.LABEL, "mine")), []);
    assert.equal(await two.rv("C_GetObjectSize", second, object), CKR.OBJECT_HANDLE_INVALID);
  });

  // The last one: it leaves the slot locked.
});
