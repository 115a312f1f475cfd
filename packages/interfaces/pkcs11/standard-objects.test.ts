import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKK, CKM, CKO, CKR } from "@casemate/protocols/p11-rpc";
import { attribute, KEY, mechanism, openLoggedIn, RO, type Template } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const opened = await openLoggedIn((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
after(() => opened[Symbol.asyncDispose]());
const { client, session, read, aes, pairOf } = opened;

/** As standard.test.ts: what objects are, and how they come into devices. */
describe("the letter of PKCS #11, about objects", () => {
  test("what may be changed depends on the class", async () => {
    const [publicKey] = await pairOf([], []);
    const [data] = await client.call("C_CreateObject", session, [attribute(CKA.CLASS, CKO.DATA)]);
    const [certificate] = await client.call("C_CreateObject", session, [
      attribute(CKA.CLASS, CKO.CERTIFICATE),
      attribute(CKA.CERTIFICATE_TYPE, 0),
      attribute(CKA.SUBJECT, toUtf8("s")),
      attribute(CKA.VALUE, toUtf8("abc")),
    ]);
    const set = (object: number, type: number, value: boolean | Uint8Array) =>
      client.rv("C_SetAttributeValue", session, object, [attribute(type, value)]);
    const bytes = toUtf8("x");
    assert.equal(await set(data, CKA.ENCRYPT, true), CKR.ATTRIBUTE_TYPE_INVALID);
    assert.equal(await set(data, CKA.ID, bytes), CKR.ATTRIBUTE_TYPE_INVALID);
    assert.equal(await set(data, CKA.LABEL, bytes), CKR.OK);
    assert.equal(await set(await aes(), CKA.ISSUER, bytes), CKR.ATTRIBUTE_TYPE_INVALID);
    assert.equal(await set(publicKey, CKA.SUBJECT, bytes), CKR.OK);
    assert.equal(await set(certificate, CKA.SUBJECT, bytes), CKR.ATTRIBUTE_READ_ONLY);
    assert.equal(await set(certificate, CKA.START_DATE, toUtf8("20260101")), CKR.ATTRIBUTE_READ_ONLY);
    assert.equal(await set(certificate, CKA.SERIAL_NUMBER, bytes), CKR.OK);
  });

  test("a public key that is brought in has the size and the structure of its own value", async () => {
    const [publicKey] = await client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      [attribute(CKA.MODULUS_BITS, 1024)],
      [],
    );
    const template = [
      attribute(CKA.CLASS, CKO.PUBLIC_KEY),
      attribute(CKA.KEY_TYPE, CKK.RSA),
      attribute(CKA.MODULUS, (await read(publicKey, CKA.MODULUS)) as Uint8Array),
      attribute(CKA.PUBLIC_EXPONENT, new Uint8Array([1, 0, 1])),
    ];
    const create = (...more: Template) => client.rv("C_CreateObject", session, [...template, ...more]);
    assert.equal(await create(attribute(CKA.MODULUS_BITS, 1024)), CKR.OK);
    assert.equal(await create(attribute(CKA.MODULUS_BITS, 2048)), CKR.TEMPLATE_INCONSISTENT);
    assert.equal(await create(attribute(CKA.PUBLIC_KEY_INFO, KEY)), CKR.TEMPLATE_INCONSISTENT);
  });

  test("an even modulus and an exponent that is even, 0 or 1 make no RSA key", async () => {
    const { n = "" } = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "jwk" });
    const modulus = Uint8Array.fromBase64(n, { alphabet: "base64url" });
    const create = (from: Uint8Array, e: readonly number[]) =>
      client.rv("C_CreateObject", session, [
        attribute(CKA.CLASS, CKO.PUBLIC_KEY),
        attribute(CKA.KEY_TYPE, CKK.RSA),
        attribute(CKA.MODULUS, from),
        attribute(CKA.PUBLIC_EXPONENT, new Uint8Array(e)),
      ]);
    for (const e of [[3], [0, 0, 3], [1, 0, 1]]) assert.equal(await create(modulus, e), CKR.OK, e.join());
    for (const e of [[], [0], [1], [0, 0, 1], [4], [1, 0, 0]])
      assert.equal(await create(modulus, e), CKR.ATTRIBUTE_VALUE_INVALID, e.join());
    const even = modulus.slice();
    even[even.length - 1] = 0;
    assert.equal(await create(even, [1, 0, 1]), CKR.ATTRIBUTE_VALUE_INVALID);
  });

  test("a session that only reads unwraps nothing into a device", async () => {
    const use = [attribute(CKA.TOKEN, true), attribute(CKA.VALUE_LEN, 32)];
    const [wrapping] = await client.call("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), [
      ...use,
      attribute(CKA.WRAP, true),
      attribute(CKA.UNWRAP, true),
    ]);
    const [key] = await client.call("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), [
      ...use,
      attribute(CKA.EXTRACTABLE, true),
    ]);
    const kwp = mechanism(CKM.AES_KEY_WRAP_KWP);
    const [wrapped] = await client.call("C_WrapKey", session, kwp, wrapping, key, 1024);
    const template = [
      attribute(CKA.CLASS, CKO.SECRET_KEY),
      attribute(CKA.KEY_TYPE, CKK.AES),
      attribute(CKA.TOKEN, true),
    ];
    const [reader] = await client.call("C_OpenSession", 0, RO);
    const unwrap = (at: number) => client.rv("C_UnwrapKey", at, kwp, wrapping, wrapped as Uint8Array, template);
    assert.equal(await unwrap(reader), CKR.SESSION_READ_ONLY);
    assert.equal(await unwrap(session), CKR.OK);
    await client.call("C_CloseSession", reader);
  });

  test("a device unwraps keys of any size, which their templates need not say", async () => {
    const token = attribute(CKA.TOKEN, true);
    const exportable = [token, attribute(CKA.EXTRACTABLE, true)];
    const [wrapping] = await client.call("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), [
      attribute(CKA.VALUE_LEN, 32),
      token,
      attribute(CKA.WRAP, true),
      attribute(CKA.UNWRAP, true),
    ]);
    const kwp = mechanism(CKM.AES_KEY_WRAP_KWP);
    const again = async (key: number, objectClass: number, keyType: number): Promise<number> => {
      const [wrapped] = await client.call("C_WrapKey", session, kwp, wrapping, key, 8192);
      const template = [attribute(CKA.CLASS, objectClass), attribute(CKA.KEY_TYPE, keyType), token];
      return (await client.call("C_UnwrapKey", session, kwp, wrapping, wrapped as Uint8Array, template))[0];
    };
    for (const bytes of [16, 24, 32]) {
      const template = [attribute(CKA.VALUE_LEN, bytes), ...exportable];
      const [key] = await client.call("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), template);
      assert.equal(await read(await again(key, CKO.SECRET_KEY, CKK.AES), CKA.VALUE_LEN), bytes);
    }
    for (const bits of [2048, 3072, 4096]) {
      const [publicKey, key] = await client.call(
        "C_GenerateKeyPair",
        session,
        mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
        [attribute(CKA.MODULUS_BITS, bits), token],
        [attribute(CKA.SIGN, true), ...exportable],
      );
      const unwrapped = await again(key, CKO.PRIVATE_KEY, CKK.RSA);
      assert.deepEqual(await read(unwrapped, CKA.MODULUS), await read(publicKey, CKA.MODULUS));
    }
    const [, curveKey] = await pairOf([token], [attribute(CKA.SIGN, true), ...exportable]);
    await assert.rejects(again(curveKey, CKO.PRIVATE_KEY, CKK.EC), { rv: CKR.TEMPLATE_INCOMPLETE });
  });

  for (const token of [false, true]) {
    test(`every object has a name of its own, by which it is found (${token ? "token" : "session"} object)`, async () => {
      const make = async (): Promise<number> => (await pairOf([], [attribute(CKA.TOKEN, token)]))[1];
      const [one, two] = [await make(), await make()];
      const name = (await read(one, CKA.UNIQUE_ID)) as Uint8Array;
      assert.notDeepEqual(await read(two, CKA.UNIQUE_ID), name);
      await client.call("C_FindObjectsInit", session, [attribute(CKA.UNIQUE_ID, name)]);
      const [found] = await client.call("C_FindObjects", session, 10);
      await client.call("C_FindObjectsFinal", session);
      assert.deepEqual(found, [one]);
      const changes = [attribute(CKA.UNIQUE_ID, toUtf8("mine"))];
      assert.equal(await client.rv("C_SetAttributeValue", session, one, changes), CKR.ATTRIBUTE_READ_ONLY);
    });
  }

  test("what was not to be destroyed may be made so again; what was not to be copied may not", async () => {
    const [object] = await client.call("C_CreateObject", session, [
      attribute(CKA.CLASS, CKO.DATA),
      attribute(CKA.VALUE, toUtf8("kept")),
    ]);
    // p11-kit's table lacks CKA_DESTROYABLE, so that it travels as a byte string.
    const set = (type: number, value: boolean): Promise<number> =>
      client.rv("C_SetAttributeValue", session, object, [
        attribute(type, type === CKA.DESTROYABLE ? Uint8Array.of(value ? 1 : 0) : value),
      ]);
    assert.equal(await set(CKA.DESTROYABLE, false), CKR.OK);
    assert.equal(await client.rv("C_DestroyObject", session, object), CKR.ACTION_PROHIBITED);
    assert.equal(await set(CKA.COPYABLE, false), CKR.OK);
    assert.equal(await set(CKA.COPYABLE, true), CKR.ATTRIBUTE_READ_ONLY);
    assert.equal(await set(CKA.DESTROYABLE, true), CKR.OK);
    assert.equal(await client.rv("C_DestroyObject", session, object), CKR.OK);
  });

  test("a public key on a curve that is not known here is refused for its curve", async () => {
    const made = await client.rv("C_CreateObject", session, [
      attribute(CKA.CLASS, CKO.PUBLIC_KEY),
      attribute(CKA.KEY_TYPE, CKK.EC),
      attribute(CKA.EC_PARAMS, Uint8Array.fromHex("06052b8104001f")),
      attribute(CKA.EC_POINT, new Uint8Array(51)),
    ]);
    assert.equal(made, CKR.CURVE_NOT_SUPPORTED);
  });
});
