import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKF, CKM, CKO, CKR, CKU, SIZE_QUERY } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, pkcs11Bench, TestClient, type Pkcs11Bench } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const RW = CKF.SERIAL_SESSION | CKF.RW_SESSION;
const OFFICER = toUtf8("officer pin");
const PIN = toUtf8("user pin");

describe("tokens that applications make", () => {
  let bench: Pkcs11Bench;
  let client: TestClient;
  before(async () => {
    bench = await pkcs11Bench((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
    client = await TestClient.open(bench.socketPath, { version: 2 });
  });
  after(async () => {
    await client[Symbol.asyncDispose]();
    await bench[Symbol.asyncDispose]();
  });

  const slots = async (from = client): Promise<readonly number[]> => {
    await from.call("C_GetSlotList", 1, SIZE_QUERY);
    const [list] = await from.call("C_GetSlotList", 1, 100);
    return list as readonly number[];
  };
  const flagsOf = async (slot: number): Promise<number> => (await client.call("C_GetTokenInfo", slot))[4];
  const found = async (slot: number, label: string, from = client): Promise<number> => {
    const [session] = await from.call("C_OpenSession", slot, RW);
    await from.call("C_FindObjectsInit", session, [attribute(CKA.LABEL, label)]);
    const [handles] = await from.call("C_FindObjects", session, 100);
    await from.call("C_FindObjectsFinal", session);
    return (handles as readonly number[]).length;
  };

  test("the last slot is free: there is a token to make, and no session before that", async () => {
    const free = (await slots()).at(-1) ?? assert.fail();
    assert.equal((await flagsOf(free)) & (CKF.TOKEN_INITIALIZED | CKF.USER_PIN_INITIALIZED), 0);
    assert.equal(await client.rv("C_OpenSession", free, RW), CKR.TOKEN_NOT_RECOGNIZED);
    assert.equal(await client.rv("C_CloseAllSessions", free), CKR.OK);
    assert.equal((await client.call("C_GetSlotInfo", free))[2] & CKF.TOKEN_PRESENT, CKF.TOKEN_PRESENT);
  });

  test("only the security officer of the whole keyring makes one", async () => {
    const before = await slots();
    const free = before.at(-1) ?? assert.fail();
    assert.equal(await client.rv("C_InitToken", free, toUtf8("12345678"), "mine".padEnd(32)), CKR.PIN_INCORRECT);
    const { token } = await bench.keyring.createToken(bench.admin, { principal: "alice", roles: ["operator"] });
    assert.equal(await client.rv("C_InitToken", free, toUtf8(token), "mine".padEnd(32)), CKR.PIN_INCORRECT);
    assert.deepEqual(await slots(), before);
  });

  test("a made token has keys, PINs and a name of its own, over a restart too", async () => {
    const free = (await slots()).at(-1) ?? assert.fail();
    const [whole] = await client.call("C_OpenSession", 0, RW);
    await client.call("C_SetPIN", whole, toUtf8(bench.adminToken), PIN);
    await client.call("C_Login", whole, CKU.SO, toUtf8(bench.adminToken));
    await client.call("C_SetPIN", whole, toUtf8(bench.adminToken), OFFICER);
    await client.call("C_Logout", whole);

    await client.call("C_InitToken", free, OFFICER, "billing".padEnd(32));
    assert.equal((await slots()).at(-1), free + 1, "another free slot follows");
    assert.match((await client.call("C_GetTokenInfo", free))[0], /^billing +$/);
    assert.notEqual((await flagsOf(free)) & CKF.TOKEN_INITIALIZED, 0);

    const [session] = await client.call("C_OpenSession", free, RW);
    assert.equal(await client.rv("C_Login", session, CKU.USER, PIN), CKR.USER_PIN_NOT_INITIALIZED);
    await client.call("C_Login", session, CKU.SO, OFFICER);
    await client.call("C_InitPIN", session, PIN);
    await client.call("C_Logout", session);
    await client.call("C_Login", session, CKU.USER, PIN);
    const labelled = [attribute(CKA.TOKEN, true), attribute(CKA.LABEL, "invoices")];
    await client.call("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), [
      ...labelled,
      attribute(CKA.VALUE_LEN, 32),
    ]);
    await client.call("C_CreateObject", session, [...labelled, attribute(CKA.CLASS, CKO.DATA)]);
    assert.equal(await found(free, "invoices"), 2);

    await client.call("C_Login", whole, CKU.USER, toUtf8(bench.adminToken));
    assert.equal(await found(0, "invoices"), 2, "the slot of the whole keyring shows them");
    const next = (await slots()).at(-1) ?? assert.fail();
    await client.call("C_InitToken", next, toUtf8(bench.adminToken), "other".padEnd(32));
    const [elsewhere] = await client.call("C_OpenSession", next, RW);
    await client.call("C_Login", elsewhere, CKU.USER, toUtf8(bench.adminToken));
    assert.equal(await found(next, "invoices"), 0, "another made token does not");

    const socketPath = join(bench.directory, "again.sock");
    const server = await createPkcs11Server({ ...bench, socketPath, objects: bench.keyring.objects });
    try {
      await using later = await TestClient.open(socketPath, { version: 2 });
      const listed = await slots(later);
      assert.deepEqual(listed, await slots(), "every slot has the number that it had");
      const names: string[] = [];
      for (const id of listed) names.push((await later.call("C_GetTokenInfo", id))[0].trimEnd());
      assert.deepEqual(names.slice(2), ["billing", "other", ""]);
      const slot = free;
      const [again] = await later.call("C_OpenSession", slot, RW);
      assert.equal(await later.rv("C_Login", again, CKU.USER, PIN), CKR.OK);
      assert.equal(await found(slot, "invoices", later), 2);
    } finally {
      await server.close();
    }
  });

  test("public token objects need a writable session and no login; private ones need both", async () => {
    await using other = await TestClient.open(bench.socketPath, { version: 2 });
    const data = [attribute(CKA.CLASS, CKO.DATA), attribute(CKA.TOKEN, true), attribute(CKA.LABEL, "notice")];
    const [reading] = await other.call("C_OpenSession", 0, CKF.SERIAL_SESSION);
    assert.equal(await other.rv("C_CreateObject", reading, data), CKR.SESSION_READ_ONLY);
    const [writing] = await other.call("C_OpenSession", 0, RW);
    assert.equal(
      await other.rv("C_CreateObject", writing, [...data, attribute(CKA.PRIVATE, true)]),
      CKR.USER_NOT_LOGGED_IN,
    );
    const pair = [attribute(CKA.TOKEN, true), attribute(CKA.MODULUS_BITS, 2048)];
    assert.equal(
      await other.rv("C_GenerateKeyPair", writing, mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN), pair, [
        attribute(CKA.TOKEN, true),
        attribute(CKA.PRIVATE, false),
      ]),
      CKR.USER_NOT_LOGGED_IN,
      "a key in a device is always private",
    );
    const writes = (): number =>
      bench.audit.entries.filter(
        ({ action, principal, outcome }) => action === "object.write" && principal === "pkcs11" && outcome === "ok",
      ).length;
    const before = writes();
    const [object] = await other.call("C_CreateObject", writing, data);
    assert.equal(await found(0, "notice", other), 1);
    await other.call("C_SetAttributeValue", writing, object, [attribute(CKA.LABEL, "news")]);
    assert.equal(await other.rv("C_DestroyObject", reading, object), CKR.SESSION_READ_ONLY);
    await other.call("C_DestroyObject", writing, object);
    assert.equal(writes() - before, 3, "each is on record as the interface's own");
  });
});
