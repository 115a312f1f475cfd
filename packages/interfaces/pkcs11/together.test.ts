/** Applications, threads and other interfaces that work on the same objects at the same time. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import { CKA, CKM, CKO, CKR, CKS, CKU } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, openLoggedIn, RO, RW, TestClient, type Template } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const ON_TOKEN = attribute(CKA.TOKEN, true);

describe("applications side by side", () => {
  let one: Awaited<ReturnType<typeof openLoggedIn>>;
  let other: TestClient;
  let there: number;
  before(async () => {
    one = await openLoggedIn((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
    other = await TestClient.open(one.bench.socketPath, { version: 2 });
    [there] = await other.call("C_OpenSession", 0, RW);
    await other.call("C_Login", there, CKU.USER, toUtf8(one.bench.adminToken));
  });
  after(async () => {
    await other[Symbol.asyncDispose]();
    await one[Symbol.asyncDispose]();
  });

  const find = async (client: TestClient, session: number, ...template: Template): Promise<readonly number[]> => {
    await client.call("C_FindObjectsInit", session, template);
    const [found] = await client.call("C_FindObjects", session, 100);
    await client.call("C_FindObjectsFinal", session);
    assert.ok(typeof found !== "number");
    return found;
  };
  const readThere = async (object: number, type: number) => {
    const [[found], rv] = await other.call("C_GetAttributeValue", there, object, [{ type, capacity: 4096 }]);
    return rv === CKR.OK ? found?.value : rv;
  };
  const makePair = (label: string) =>
    one.pairOf([ON_TOKEN, attribute(CKA.LABEL, toUtf8(label))], [ON_TOKEN, attribute(CKA.LABEL, toUtf8(label))]);
  const makeData = async (label: string): Promise<number> => {
    const [object] = await one.client.call("C_CreateObject", one.session, [
      attribute(CKA.CLASS, CKO.DATA),
      ON_TOKEN,
      attribute(CKA.LABEL, label),
      attribute(CKA.VALUE, toUtf8("first")),
    ]);
    return object;
  };

  for (const [what, make, type] of [
    ["key", async (label: string) => (await makePair(label))[1], CKO.PRIVATE_KEY],
    ["data object", makeData, CKO.DATA],
  ] as const) {
    test(`a ${what} is what it is now, whoever changed it, and gone when it is gone`, async () => {
      const object = await make(`shared ${what}`);
      const [known] = await find(other, there, attribute(CKA.CLASS, type), attribute(CKA.LABEL, `shared ${what}`));
      assert.ok(known !== undefined);
      await one.client.call("C_SetAttributeValue", one.session, object, [attribute(CKA.LABEL, toUtf8("renamed"))]);
      assert.deepEqual(await readThere(known, CKA.LABEL), toUtf8("renamed"));
      // The other's change is based on what is there now.
      if (type === CKO.PRIVATE_KEY) {
        await other.call("C_SetAttributeValue", there, known, [attribute(CKA.ID, Uint8Array.of(7))]);
        assert.deepEqual(await one.read(object, CKA.LABEL), toUtf8("renamed"));
        assert.deepEqual(await one.read(object, CKA.ID), Uint8Array.of(7));
      }
      await one.client.call("C_DestroyObject", one.session, object);
      assert.equal(await other.rv("C_GetObjectSize", there, known), CKR.OBJECT_HANDLE_INVALID);
      assert.equal(await other.rv("C_DestroyObject", there, known), CKR.OBJECT_HANDLE_INVALID);
    });
  }

  test("a key that was destroyed through another interface is so here, too", async () => {
    await makePair("elsewhere");
    const [known] = await find(other, there, attribute(CKA.CLASS, CKO.PRIVATE_KEY), attribute(CKA.LABEL, "elsewhere"));
    assert.ok(known !== undefined);
    const { keyring, admin } = one.bench;
    await keyring.destroyKey(admin, "elsewhere", { now: true });
    assert.equal(await other.rv("C_SignInit", there, mechanism(CKM.ECDSA), known), CKR.KEY_HANDLE_INVALID);
  });

  test("no change of an attribute is lost between threads, and no copy is made in the middle of one", async () => {
    const [, key] = await makePair("many");
    const [, session] = await one.pairOf([], [attribute(CKA.SENSITIVE, false), attribute(CKA.EXTRACTABLE, true)]);
    const data = await makeData("many");
    const changes = (object: number, ...attributes: Template) =>
      Promise.all(attributes.map((each) => one.client.call("C_SetAttributeValue", one.session, object, [each])));
    await changes(
      key,
      attribute(CKA.LABEL, toUtf8("a")),
      attribute(CKA.ID, Uint8Array.of(1)),
      attribute(CKA.SIGN, false),
    );
    assert.deepEqual(await one.read(key, CKA.LABEL), toUtf8("a"));
    assert.deepEqual(await one.read(key, CKA.ID), Uint8Array.of(1));
    assert.equal(await one.read(key, CKA.SIGN), 0);
    const copying = [
      changes(
        session,
        attribute(CKA.SENSITIVE, true),
        attribute(CKA.EXTRACTABLE, false),
        attribute(CKA.LABEL, toUtf8("b")),
      ),
      one.client.call("C_CopyObject", one.session, session, []),
    ] as const;
    const [, [copy]] = await Promise.all(copying);
    assert.equal(await one.read(session, CKA.SENSITIVE), 1);
    assert.equal(await one.read(session, CKA.EXTRACTABLE), 0);
    assert.deepEqual(await one.read(session, CKA.LABEL), toUtf8("b"));
    assert.equal(await one.read(copy, CKA.SENSITIVE), 1);
    await changes(data, attribute(CKA.LABEL, toUtf8("c")), attribute(CKA.DESTROYABLE, Uint8Array.of(0)));
    assert.deepEqual(await one.read(data, CKA.LABEL), toUtf8("c"));
    assert.deepEqual(await one.read(data, CKA.DESTROYABLE), Uint8Array.of(0));
  });

  test("of two threads that destroy a key one does, and the other finds no such object", async () => {
    const [, key] = await makePair("twice");
    const destroy = () => one.client.rv("C_DestroyObject", one.session, key);
    assert.deepEqual((await Promise.all([destroy(), destroy()])).toSorted(), [CKR.OK, CKR.OBJECT_HANDLE_INVALID]);
  });

  test("a key that is made unextractable leaves its device through no interface", async () => {
    const [key] = await one.client.call("C_GenerateKey", one.session, mechanism(CKM.AES_KEY_GEN), [
      ON_TOKEN,
      attribute(CKA.LABEL, toUtf8("leaving")),
      attribute(CKA.VALUE_LEN, 32),
      attribute(CKA.EXTRACTABLE, true),
    ]);
    const { keyring, admin } = one.bench;
    await keyring.createKey(admin, { name: "wrapping", algorithm: "aes-256", usages: ["wrap"] });
    const wrap = () => keyring.wrapKey(admin, "leaving", { wrappingKey: "wrapping", scheme: "aes-kwp" });
    assert.ok((await wrap()).wrapped.length > 32);
    await one.client.call("C_SetAttributeValue", one.session, key, [attribute(CKA.EXTRACTABLE, false)]);
    assert.equal(await one.read(key, CKA.EXTRACTABLE), 0);
    await assert.rejects(wrap(), { code: "NOT_EXPORTABLE" });
    const back = [attribute(CKA.EXTRACTABLE, true)];
    assert.equal(await one.client.rv("C_SetAttributeValue", one.session, key, back), CKR.ATTRIBUTE_READ_ONLY);
    await keyring.updateKey(admin, "leaving", { labels: {} });
    assert.equal(await one.read(key, CKA.EXTRACTABLE), 0);
  });

  test("a login that finds its session closed, or another that may only read, does not come about", async () => {
    await using client = await TestClient.open(one.bench.socketPath, { version: 2 });
    const token = toUtf8(one.bench.adminToken);
    const [closing] = await client.call("C_OpenSession", 0, RW);
    const login = client.rv("C_Login", closing, CKU.USER, token);
    await client.call("C_CloseAllSessions", 0);
    assert.equal(await login, CKR.SESSION_CLOSED);
    const [fresh] = await client.call("C_OpenSession", 0, RW);
    assert.equal((await client.call("C_GetSessionInfo", fresh))[1], CKS.RW_PUBLIC_SESSION);
    const officer = client.rv("C_Login", fresh, CKU.SO, token);
    await client.call("C_OpenSession", 0, RO);
    assert.equal(await officer, CKR.SESSION_READ_ONLY_EXISTS);
    assert.equal((await client.call("C_GetSessionInfo", fresh))[1], CKS.RW_PUBLIC_SESSION);
  });

  test("a login ends with the token that it is by, and shows nothing private any more", async () => {
    await using client = await TestClient.open(one.bench.socketPath, { version: 2 });
    const { keyring, admin } = one.bench;
    const { token, view } = await keyring.createToken(admin, { principal: "leaver", roles: ["admin"] });
    const [session] = await client.call("C_OpenSession", 0, RW);
    await client.call("C_Login", session, CKU.USER, toUtf8(token));
    const [secret] = await client.call("C_CreateObject", session, [
      attribute(CKA.CLASS, CKO.DATA),
      ON_TOKEN,
      attribute(CKA.PRIVATE, true),
      attribute(CKA.VALUE, toUtf8("top secret")),
    ]);
    const read = () => client.rv("C_GetAttributeValue", session, secret, [{ type: CKA.VALUE, capacity: 100 }]);
    assert.equal(await read(), CKR.OK);
    await keyring.revokeToken(admin, view.id);
    assert.equal(await read(), CKR.OBJECT_HANDLE_INVALID);
    assert.equal((await client.call("C_GetSessionInfo", session))[1], CKS.RW_PUBLIC_SESSION);
    assert.equal((await one.client.call("C_GetSessionInfo", one.session))[1], CKS.RW_USER_FUNCTIONS, "the other's");
    await client.call("C_Login", session, CKU.USER, toUtf8(one.bench.adminToken));
    assert.equal(await read(), CKR.OBJECT_HANDLE_INVALID, "a handle of the login before");
  });

  test("a login ends with the time of its token, though nothing was changed", async () => {
    await using client = await TestClient.open(one.bench.socketPath, { version: 2 });
    const { keyring, admin } = one.bench;
    const { token, view } = await keyring.createToken(admin, {
      principal: "passer-by",
      roles: ["admin"],
      expiresInSeconds: 1,
    });
    const [session] = await client.call("C_OpenSession", 0, RW);
    await client.call("C_Login", session, CKU.USER, toUtf8(token));
    const [secret] = await client.call("C_CreateObject", session, [
      attribute(CKA.CLASS, CKO.DATA),
      attribute(CKA.PRIVATE, true),
      attribute(CKA.VALUE, toUtf8("top secret")),
    ]);
    const read = () => client.rv("C_GetAttributeValue", session, secret, [{ type: CKA.VALUE, capacity: 100 }]);
    assert.equal(await read(), CKR.OK);
    while (Date.now() < Date.parse(view.expiresAt ?? "")) await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(await read(), CKR.OBJECT_HANDLE_INVALID);
    assert.equal((await client.call("C_GetSessionInfo", session))[1], CKS.RW_PUBLIC_SESSION);
    assert.equal(await client.rv("C_Logout", session), CKR.USER_NOT_LOGGED_IN);
    await client.call("C_Finalize");
  });

  for (const [code, whose, login] of [
    ["TOKEN_EXPIRED", CKR.OBJECT_HANDLE_INVALID, CKS.RW_PUBLIC_SESSION],
    ["STORAGE_FAILED", CKR.DEVICE_ERROR, CKS.RW_USER_FUNCTIONS],
  ] as const) {
    test(`a changed object that cannot be looked up (${code}) is refused, and all else goes on`, async (t) => {
      await using client = await TestClient.open(one.bench.socketPath, { version: 2 });
      const { keyring, admin } = one.bench;
      const name = `unseen-${code}`;
      const { token } = await keyring.createToken(admin, { principal: name, roles: ["admin"] });
      await keyring.createKey(admin, { name, algorithm: "ed25519" });
      const [session] = await client.call("C_OpenSession", 0, RW);
      await client.call("C_Login", session, CKU.USER, toUtf8(token));
      const [key] = await find(client, session, attribute(CKA.CLASS, CKO.PRIVATE_KEY), attribute(CKA.LABEL, name));
      assert.ok(key !== undefined);
      const getKey = keyring.getKey.bind(keyring);
      t.mock.method(keyring, "getKey", (...[caller, of]: Parameters<typeof getKey>) =>
        caller.principal === name ? Promise.reject(new CasemateError(code, "not now")) : getKey(caller, of),
      );
      await keyring.updateKey(admin, name, { labels: { a: "b" } });
      assert.equal(await client.rv("C_GetObjectSize", session, key), whose);
      assert.equal((await client.call("C_GetSessionInfo", session))[1], login);
      const [another] = await client.call("C_OpenSession", 0, RW);
      await client.call("C_CloseSession", another);
      t.mock.restoreAll();
      if (code === "STORAGE_FAILED") assert.equal(await client.rv("C_GetObjectSize", session, key), CKR.OK);
      await client.call("C_Finalize");
    });
  }

  test("what no key of this type has is unknown, not secret", async () => {
    const rsa = attribute(CKA.MODULUS_BITS, 2048);
    const [, key] = await one.client.call(
      "C_GenerateKeyPair",
      one.session,
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      [rsa],
      [],
    );
    assert.equal(await one.read(key, CKA.VALUE), CKR.ATTRIBUTE_TYPE_INVALID);
    assert.equal(await one.read(key, CKA.PRIME_1), CKR.ATTRIBUTE_SENSITIVE);
    const aes = await one.aes();
    assert.equal(await one.read(aes, CKA.PRIVATE_EXPONENT), CKR.ATTRIBUTE_TYPE_INVALID);
  });
});
