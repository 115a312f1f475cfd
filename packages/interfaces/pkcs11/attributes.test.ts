import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKK, CKM, CKO, CKR, CKU, SIZE_QUERY, CK_UNAVAILABLE } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, openLoggedIn, P256, RW, TestClient } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

type Template = ReturnType<typeof attribute>[];

const opened = await openLoggedIn((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
after(() => opened[Symbol.asyncDispose]());
const { bench, client, session, read } = opened;

describe("what attributes promise", () => {
  const secret = (keyType: number, value: Uint8Array, ...more: Template): Template => [
    attribute(CKA.CLASS, CKO.SECRET_KEY),
    attribute(CKA.KEY_TYPE, keyType),
    attribute(CKA.VALUE, value),
    ...more,
  ];
  const create = async (template: Template): Promise<number> =>
    (await client.call("C_CreateObject", session, template))[0];
  const pair = (...privateTemplate: Template) =>
    client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.EC_KEY_PAIR_GEN),
      [attribute(CKA.EC_PARAMS, P256)],
      privateTemplate,
    );

  /** The private key signs what the public key verifies. */
  const mustFit = async (publicKey: number, privateKey: number): Promise<void> => {
    const digest = createHash("sha256").update("x").digest();
    await client.call("C_SignInit", session, mechanism(CKM.ECDSA), privateKey);
    const [signature] = await client.call("C_Sign", session, digest, 64);
    await client.call("C_VerifyInit", session, mechanism(CKM.ECDSA), publicKey);
    await client.call("C_Verify", session, digest, signature as Uint8Array);
  };

  test("check values are those of the standard, and a wrong one is refused", async () => {
    // AES of the zero block under the zero key begins with 66e94b (NIST SP 800-38A's key schedule tests, GFSbox).
    const zero = new Uint8Array(16);
    const right = Uint8Array.fromHex("66e94b");
    assert.deepEqual(await read(await create(secret(CKK.AES, zero)), CKA.CHECK_VALUE), right);
    assert.deepEqual(
      await read(await create(secret(CKK.AES, zero, attribute(CKA.CHECK_VALUE, right))), CKA.CHECK_VALUE),
      right,
    );
    const none = await create(secret(CKK.AES, zero, attribute(CKA.CHECK_VALUE, new Uint8Array(0))));
    assert.deepEqual(await read(none, CKA.CHECK_VALUE), new Uint8Array(0));
    const wrong = attribute(CKA.CHECK_VALUE, Uint8Array.fromHex("66e94c"));
    const refused = (template: Template) => client.rv("C_CreateObject", session, template);
    assert.equal(await refused(secret(CKK.AES, zero, wrong)), CKR.ATTRIBUTE_VALUE_INVALID);
    assert.equal(await refused(secret(CKK.AES, zero, wrong, attribute(CKA.TOKEN, true))), CKR.ATTRIBUTE_VALUE_INVALID);
    // SHA-1 of "abc" begins with a9993e (FIPS 180-4).
    const generic = await create(secret(CKK.GENERIC_SECRET, toUtf8("abc")));
    assert.deepEqual(await read(generic, CKA.CHECK_VALUE), Uint8Array.fromHex("a9993e"));
    const certificate = await create([
      attribute(CKA.CLASS, CKO.CERTIFICATE),
      attribute(CKA.CERTIFICATE_TYPE, 0),
      attribute(CKA.SUBJECT, toUtf8("s")),
      attribute(CKA.VALUE, toUtf8("abc")),
    ]);
    assert.deepEqual(await read(certificate, CKA.CHECK_VALUE), Uint8Array.fromHex("a9993e"));
    const change = [attribute(CKA.CHECK_VALUE, Uint8Array.fromHex("000000"))];
    assert.equal(await client.rv("C_SetAttributeValue", session, certificate, change), CKR.ATTRIBUTE_READ_ONLY);
  });

  test("one-way attributes change once and then not even to what they are", async () => {
    const key = await create(
      secret(CKK.AES, new Uint8Array(16), attribute(CKA.SENSITIVE, false), attribute(CKA.EXTRACTABLE, true)),
    );
    const set = (type: number, value: boolean) =>
      client.rv("C_SetAttributeValue", session, key, [attribute(type, value)]);
    assert.equal(await set(CKA.SENSITIVE, true), CKR.OK);
    assert.equal(await set(CKA.SENSITIVE, true), CKR.ATTRIBUTE_READ_ONLY);
    assert.equal(await set(CKA.SENSITIVE, false), CKR.ATTRIBUTE_READ_ONLY);
    assert.equal(await set(CKA.EXTRACTABLE, false), CKR.OK);
    assert.equal(await set(CKA.EXTRACTABLE, true), CKR.ATTRIBUTE_READ_ONLY);
    const copy = [attribute(CKA.SENSITIVE, true)];
    assert.equal(await client.rv("C_CopyObject", session, key, copy), CKR.OK, "a copy may say what it is");
  });

  for (const token of [false, true]) {
    test(`CKA_ALWAYS_AUTHENTICATE asks for a login before each use (${token ? "token" : "session"} key)`, async () => {
      const [, key] = await pair(
        attribute(CKA.TOKEN, token),
        attribute(CKA.SIGN, true),
        attribute(CKA.ALWAYS_AUTHENTICATE, true),
      );
      assert.equal(await read(key, CKA.ALWAYS_AUTHENTICATE), 1);
      const digest = createHash("sha256").update("x").digest();
      const context = (pin: string) => client.rv("C_Login", session, CKU.CONTEXT_SPECIFIC, toUtf8(pin));
      const init = () => client.call("C_SignInit", session, mechanism(CKM.ECDSA), key);
      assert.equal(await context(bench.adminToken), CKR.OPERATION_NOT_INITIALIZED);
      for (const call of ["C_Sign", "C_SignUpdate"] as const) {
        await init();
        const rest = call === "C_Sign" ? [digest, 64] : [digest];
        assert.equal(await client.rv(call, session, ...(rest as [Uint8Array, number])), CKR.USER_NOT_LOGGED_IN);
        assert.equal(await client.rv("C_Sign", session, digest, 64), CKR.OPERATION_NOT_INITIALIZED, "it ended");
      }
      await init();
      assert.notEqual(await context("cmt_wrong"), CKR.OK);
      assert.equal(await context(bench.adminToken), CKR.OK);
      assert.deepEqual(await client.call("C_Sign", session, digest, SIZE_QUERY), [64]);
      const [signature] = await client.call("C_Sign", session, digest, 64);
      assert.equal((signature as Uint8Array).length, 64);
      await init();
      assert.equal(await client.rv("C_Sign", session, digest, 64), CKR.USER_NOT_LOGGED_IN, "one login, one use");
      await client.call("C_DestroyObject", session, key);
    });
  }

  test("a token key keeps to its list of mechanisms", async () => {
    const [, key] = await pair(
      attribute(CKA.TOKEN, true),
      attribute(CKA.SIGN, true),
      attribute(CKA.ALLOWED_MECHANISMS, [CKM.ECDSA_SHA384]),
    );
    assert.deepEqual(await read(key, CKA.ALLOWED_MECHANISMS), [CKM.ECDSA_SHA384]);
    const init = (type: number) => client.rv("C_SignInit", session, mechanism(type), key);
    assert.equal(await init(CKM.ECDSA), CKR.MECHANISM_INVALID);
    assert.equal(await init(CKM.ECDSA_SHA384), CKR.OK);
    await client.call("C_Sign", session, toUtf8("x"), 64);
    const [, free] = await pair(attribute(CKA.SIGN, true));
    assert.deepEqual(await read(free, CKA.ALLOWED_MECHANISMS), []);
  });

  test("templates of a wrapping key bind what it wraps, unwraps and derives; a token key holds none", async () => {
    const small = attribute(CKA.LABEL, "small");
    const wrapping = await create(
      secret(
        CKK.AES,
        new Uint8Array(16).fill(1),
        attribute(CKA.WRAP, true),
        attribute(CKA.UNWRAP, true),
        attribute(CKA.DERIVE, true),
        attribute(CKA.WRAP_TEMPLATE, [small]),
        attribute(CKA.UNWRAP_TEMPLATE, [attribute(CKA.SENSITIVE, true)]),
        attribute(CKA.DERIVE_TEMPLATE, [attribute(CKA.EXTRACTABLE, false)]),
      ),
    );
    const value = new Uint8Array(16).fill(2);
    const fits = await create(secret(CKK.AES, value, small, attribute(CKA.EXTRACTABLE, true)));
    const other = await create(secret(CKK.AES, value, attribute(CKA.EXTRACTABLE, true)));
    const mode = mechanism(CKM.AES_ECB);
    assert.equal(await client.rv("C_WrapKey", session, mode, wrapping, other, 100), CKR.KEY_NOT_WRAPPABLE);
    const [wrapped] = await client.call("C_WrapKey", session, mode, wrapping, fits, 100);
    const template = [attribute(CKA.CLASS, CKO.SECRET_KEY), attribute(CKA.KEY_TYPE, CKK.AES)];
    const unwrap = (...more: Template) =>
      client.rv("C_UnwrapKey", session, mode, wrapping, wrapped as Uint8Array, [...template, ...more]);
    assert.equal(await unwrap(attribute(CKA.SENSITIVE, false)), CKR.TEMPLATE_INCONSISTENT);
    const [back] = await client.call("C_UnwrapKey", session, mode, wrapping, wrapped as Uint8Array, template);
    assert.equal(await read(back, CKA.SENSITIVE), 1);
    const hash = mechanism(CKM.SHA256_KEY_DERIVATION);
    const [derived] = await client.call("C_DeriveKey", session, hash, wrapping, []);
    assert.equal(await read(derived, CKA.EXTRACTABLE), 0);
    const onToken = [
      attribute(CKA.TOKEN, true),
      attribute(CKA.VALUE_LEN, 32),
      attribute(CKA.WRAP, true),
      attribute(CKA.WRAP_TEMPLATE, [small]),
    ];
    assert.equal(
      await client.rv("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), onToken),
      CKR.TEMPLATE_INCONSISTENT,
    );
  });

  test("a data object keeps its value, and a copy may have another; no size is claimed", async () => {
    const [object] = await client.call("C_CreateObject", session, [
      attribute(CKA.CLASS, CKO.DATA),
      attribute(CKA.VALUE, toUtf8("one")),
    ]);
    const other = [attribute(CKA.VALUE, toUtf8("two"))];
    assert.equal(await client.rv("C_SetAttributeValue", session, object, other), CKR.ATTRIBUTE_READ_ONLY);
    const [copy] = await client.call("C_CopyObject", session, object, other);
    assert.deepEqual(await read(object, CKA.VALUE), toUtf8("one"));
    assert.deepEqual(await read(copy, CKA.VALUE), toUtf8("two"));
    const application = [attribute(CKA.APPLICATION, "x")];
    assert.equal(await client.rv("C_CopyObject", session, object, application), CKR.ATTRIBUTE_READ_ONLY);
    assert.deepEqual(await client.call("C_GetObjectSize", session, object), [CK_UNAVAILABLE]);
  });

  test("a seed is taken and mixed in; random bytes of every size come, none for a NULL pointer", async () => {
    await client.call("C_SeedRandom", session, toUtf8("seed"));
    const [first] = await client.call("C_GenerateRandom", session, 32);
    const [second] = await client.call("C_GenerateRandom", session, 32);
    assert.notDeepEqual(first, second);
    const [large] = await client.call("C_GenerateRandom", session, 200_000);
    assert.equal((large as Uint8Array).length, 200_000);
    assert.deepEqual(await client.call("C_GenerateRandom", session, 0), [new Uint8Array(0)]);
    assert.equal(await client.rv("C_GenerateRandom", session, SIZE_QUERY), CKR.ARGUMENTS_BAD);
    await using old = await TestClient.open(bench.socketPath, { version: 0 });
    const [handle] = await old.call("C_OpenSession", 0, RW);
    assert.equal(await old.rv("C_GenerateRandom", handle, SIZE_QUERY), CKR.OK, "NULL and no room look alike there");
    assert.equal(await client.rv("C_GenerateRandom", session, 8 * 1024 * 1024), CKR.ARGUMENTS_BAD);
  });

  test("the halves of a pair may live apart: a private key on the token, its public key in the session", async () => {
    const [publicKey, privateKey] = await client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.EC_KEY_PAIR_GEN),
      [attribute(CKA.EC_PARAMS, P256), attribute(CKA.TOKEN, false), attribute(CKA.LABEL, toUtf8("passing"))],
      [attribute(CKA.TOKEN, true), attribute(CKA.LABEL, toUtf8("staying"))],
    );
    assert.equal(await read(publicKey, CKA.TOKEN), 0);
    assert.equal(await read(privateKey, CKA.TOKEN), 1);
    await mustFit(publicKey, privateKey);
    await client.call("C_FindObjectsInit", session, [
      attribute(CKA.CLASS, CKO.PUBLIC_KEY),
      attribute(CKA.TOKEN, true),
      attribute(CKA.LABEL, toUtf8("staying")),
    ]);
    assert.deepEqual((await client.call("C_FindObjects", session, 10))[0], []);
    await client.call("C_FindObjectsFinal", session);
    await client.call("C_DestroyObject", session, privateKey);
    await client.call("C_DestroyObject", session, publicKey);
  });

  test("the halves of a pair may live apart: a public key on the token, its private key in the session", async () => {
    const [publicKey, privateKey] = await client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.EC_KEY_PAIR_GEN),
      [attribute(CKA.EC_PARAMS, P256), attribute(CKA.TOKEN, true), attribute(CKA.VERIFY, true)],
      [attribute(CKA.SIGN, true)],
    );
    assert.equal(await read(publicKey, CKA.TOKEN), 1);
    assert.equal(await read(privateKey, CKA.TOKEN), 0);
    await mustFit(publicKey, privateKey);
    await client.call("C_DestroyObject", session, publicKey);
  });
});
