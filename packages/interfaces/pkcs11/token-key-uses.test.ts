import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKM, CKR } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, openLoggedIn, P256 } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const opened = await openLoggedIn((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
after(() => opened[Symbol.asyncDispose]());
const { bench, client, session, read } = opened;
type Template = ReturnType<typeof attribute>[];

const TOKEN = attribute(CKA.TOKEN, true);
const on = (type: number) => attribute(type, true);
const rsaPair = async (label: string, pub: Template, priv: Template): Promise<[number, number]> =>
  (await client.call(
    "C_GenerateKeyPair",
    session,
    mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
    [attribute(CKA.MODULUS_BITS, 2048), attribute(CKA.LABEL, label), ...pub],
    [TOKEN, attribute(CKA.LABEL, label), ...priv],
  )) as [number, number];
const aes = async (...template: Template): Promise<number> =>
  (
    await client.call("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), [attribute(CKA.VALUE_LEN, 32), ...template])
  )[0];
const set = (object: number, type: number, value: boolean): Promise<number> =>
  client.rv("C_SetAttributeValue", session, object, [attribute(type, value)]);

describe("what a token key is for", () => {
  test("the use attributes of a token key are changed to what it can do alone", async () => {
    const [publicKey, privateKey] = await rsaPair("signs", [on(CKA.VERIFY)], [on(CKA.SIGN)]);
    for (const [object, type] of [
      [privateKey, CKA.DECRYPT],
      [privateKey, CKA.UNWRAP],
      [privateKey, CKA.DERIVE],
      [publicKey, CKA.ENCRYPT],
      [publicKey, CKA.WRAP],
    ] as const) {
      assert.equal(await set(object, type, true), CKR.ATTRIBUTE_VALUE_INVALID);
      assert.equal(await read(object, type), 0);
    }
    assert.equal(await set(privateKey, CKA.SIGN, false), CKR.OK);
    assert.equal(await read(privateKey, CKA.SIGN), 0);
    assert.equal(
      await client.rv("C_SignInit", session, mechanism(CKM.SHA256_RSA_PKCS), privateKey),
      CKR.KEY_FUNCTION_NOT_PERMITTED,
    );
    assert.equal(await set(privateKey, CKA.SIGN, true), CKR.OK);
    assert.equal(await client.rv("C_SignInit", session, mechanism(CKM.SHA256_RSA_PKCS), privateKey), CKR.OK);
    await client.call("C_Sign", session, toUtf8("x"), 512);
    const [, ec] = (await client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.EC_KEY_PAIR_GEN),
      [attribute(CKA.EC_PARAMS, P256)],
      [TOKEN, on(CKA.SIGN)],
    )) as [number, number];
    assert.equal(await set(ec, CKA.DECRYPT, true), CKR.ATTRIBUTE_VALUE_INVALID);
    const mac = await aes(TOKEN, on(CKA.SIGN));
    assert.equal(await set(mac, CKA.VERIFY, true), CKR.OK);
    assert.equal(await set(mac, CKA.ENCRYPT, true), CKR.ATTRIBUTE_VALUE_INVALID);
  });

  test("what binds PKCS#11 alone is not promised afterwards either", async () => {
    const key = await aes(TOKEN, on(CKA.ENCRYPT), on(CKA.EXTRACTABLE));
    assert.equal(await set(key, CKA.WRAP_WITH_TRUSTED, true), CKR.TEMPLATE_INCONSISTENT);
    assert.equal(await read(key, CKA.WRAP_WITH_TRUSTED), 0);
  });

  test("a key that was extractable once was not never so", async () => {
    const key = await aes(TOKEN, on(CKA.ENCRYPT), on(CKA.EXTRACTABLE), attribute(CKA.LABEL, "once"));
    assert.equal(await read(key, CKA.NEVER_EXTRACTABLE), 0);
    assert.equal(await set(key, CKA.EXTRACTABLE, false), CKR.OK);
    assert.equal(await read(key, CKA.EXTRACTABLE), 0);
    assert.equal(await read(key, CKA.NEVER_EXTRACTABLE), 0);
    assert.equal(await read(await aes(TOKEN, on(CKA.ENCRYPT)), CKA.NEVER_EXTRACTABLE), 1);
  });

  test("one call, or one part of one, takes up to 1 MiB under a device key, and a MAC that much in all", async () => {
    const most = new Uint8Array(1024 * 1024);
    const more = new Uint8Array(1024 * 1024 + 16);
    const cipher = await aes(TOKEN, on(CKA.ENCRYPT));
    const ecb = mechanism(CKM.AES_ECB);
    const encrypt = async (data: Uint8Array): Promise<number> => {
      await client.call("C_EncryptInit", session, ecb, cipher);
      return client.rv("C_Encrypt", session, data, 2 * more.length);
    };
    assert.deepEqual([await encrypt(most), await encrypt(more)], [CKR.OK, CKR.DATA_LEN_RANGE]);
    await client.call("C_EncryptInit", session, ecb, cipher);
    const update = (data: Uint8Array): Promise<number> => client.rv("C_EncryptUpdate", session, data, 2 * more.length);
    assert.deepEqual(
      [await update(most), await update(most), await update(more)],
      [CKR.OK, CKR.OK, CKR.DATA_LEN_RANGE],
    );

    const [hmac] = await client.call("C_GenerateKey", session, mechanism(CKM.GENERIC_SECRET_KEY_GEN), [
      attribute(CKA.VALUE_LEN, 32),
      TOKEN,
      on(CKA.SIGN),
    ]);
    for (const [data, rv] of [
      [most, CKR.OK],
      [more, CKR.DATA_LEN_RANGE],
    ] as const) {
      await client.call("C_SignInit", session, mechanism(CKM.SHA256_HMAC), hmac);
      await client.call("C_SignUpdate", session, data.subarray(0, 1000));
      await client.call("C_SignUpdate", session, data.subarray(1000));
      assert.equal(await client.rv("C_SignFinal", session, 64), rv);
    }
  });

  test("nothing is wrapped under a device key that the key could not open again", async () => {
    const secret = await aes(on(CKA.EXTRACTABLE));
    const [wrapOnly] = await rsaPair("wraps", [on(CKA.WRAP)], [on(CKA.UNWRAP)]);
    const wrap = (by: number): Promise<number> =>
      client.rv("C_WrapKey", session, mechanism(CKM.RSA_PKCS), by, secret, 512);
    assert.equal(await wrap(wrapOnly), CKR.KEY_FUNCTION_NOT_PERMITTED);

    const [publicKey, privateKey] = await rsaPair("opens", [on(CKA.ENCRYPT)], [on(CKA.DECRYPT)]);
    assert.equal(await wrap(publicKey), CKR.KEY_FUNCTION_NOT_PERMITTED, "CKA_WRAP is false");
    assert.deepEqual([await set(publicKey, CKA.WRAP, true), await set(privateKey, CKA.UNWRAP, true)], [CKR.OK, CKR.OK]);
    const [wrapped] = (await client.call("C_WrapKey", session, mechanism(CKM.RSA_PKCS), publicKey, secret, 512)) as [
      Uint8Array,
    ];
    const template = [attribute(CKA.CLASS, 4), attribute(CKA.KEY_TYPE, 0x1f)];
    assert.equal(
      await client.rv("C_UnwrapKey", session, mechanism(CKM.RSA_PKCS), privateKey, wrapped, template),
      CKR.OK,
    );
  });

  test("wrapping and recovering with the public half are uses of the device key: on record, and under its policies", async () => {
    const [publicKey, privateKey] = await rsaPair(
      "ruled",
      [on(CKA.ENCRYPT), on(CKA.VERIFY)],
      [on(CKA.DECRYPT), on(CKA.SIGN)],
    );
    await set(publicKey, CKA.WRAP, true);
    const secret = await aes(on(CKA.EXTRACTABLE));
    await client.call("C_SignRecoverInit", session, mechanism(CKM.RSA_PKCS), privateKey);
    const [signature] = (await client.call("C_SignRecover", session, toUtf8("who"), 512)) as [Uint8Array];
    const wrap = (): Promise<number> =>
      client.rv("C_WrapKey", session, mechanism(CKM.RSA_PKCS), publicKey, secret, 512);
    const recover = async (): Promise<number> => {
      await client.call("C_VerifyRecoverInit", session, mechanism(CKM.RSA_PKCS), publicKey);
      return client.rv("C_VerifyRecover", session, signature, 512);
    };
    const outcomes = async (action: string): Promise<readonly string[]> => {
      const { items } = await bench.keyring.auditRecords(bench.admin, { resource: "key/ruled", limit: 1000 });
      return items.filter((record) => record.action === action).map(({ outcome }) => outcome);
    };
    assert.deepEqual([await wrap(), await recover()], [CKR.OK, CKR.OK]);
    assert.deepEqual([await outcomes("key.encrypt"), await outcomes("key.verify")], [["ok"], ["ok"]]);

    const text = `forbid(principal, action in [Action::"key.encrypt", Action::"key.verify"], resource) when { resource is Key && resource.name == "ruled" };`;
    await bench.keyring.setPolicy(bench.admin, "ruled", text);
    assert.deepEqual([await wrap(), await recover()], [CKR.ACTION_PROHIBITED, CKR.ACTION_PROHIBITED]);
    await bench.keyring.setPolicy(bench.admin, "ruled", "");
    await bench.keyring.transition(bench.admin, "ruled", "suspend");
    assert.notEqual(await wrap(), CKR.OK);
  });
});
