/** Rules of the standard about single attributes, logins and return values, each as its section has it. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKF, CKG, CKK, CKM, CKO, CKR, CKS, CKU, SIZE_QUERY } from "@casemate/protocols/p11-rpc";
import { attribute, KEY, mechanism, openLoggedIn } from "@casemate/testkit/pkcs11";
import { CasemateError } from "@casemate/foundation/errors";
import { createPkcs11Server } from "./index.ts";

const EMPTY = new Uint8Array(0);

describe("rules of the standard", () => {
  let one: Awaited<ReturnType<typeof openLoggedIn>>;
  before(async () => {
    one = await openLoggedIn((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
  });
  after(() => one[Symbol.asyncDispose]());

  test("§4.9: a key that asks for a login before each use is private", async () => {
    const pair = (isPrivate: boolean) =>
      one.pairOf([], [attribute(CKA.ALWAYS_AUTHENTICATE, true), attribute(CKA.PRIVATE, isPrivate)]);
    await assert.rejects(pair(false), /CKR_TEMPLATE_INCONSISTENT/);
    const [, key] = await pair(true);
    assert.equal(await one.read(key, CKA.ALWAYS_AUTHENTICATE), 1);
  });

  test("§4.10: no value takes a check value away, and nothing else changes it", async () => {
    const key = await one.aes();
    const set = (value: Uint8Array) =>
      one.client.rv("C_SetAttributeValue", one.session, key, [attribute(CKA.CHECK_VALUE, value)]);
    assert.equal(((await one.read(key, CKA.CHECK_VALUE)) as Uint8Array).length, 3);
    assert.equal(await set(Uint8Array.of(1, 2, 3)), CKR.ATTRIBUTE_READ_ONLY);
    assert.equal(await set(EMPTY), CKR.OK);
    assert.deepEqual(await one.read(key, CKA.CHECK_VALUE), EMPTY);
  });

  test("§4.6.5: issuer and types of an attribute certificate are empty at first, and may be set", async () => {
    const [certificate] = await one.client.call("C_CreateObject", one.session, [
      attribute(CKA.CLASS, CKO.CERTIFICATE),
      attribute(CKA.CERTIFICATE_TYPE, 1),
      attribute(CKA.OWNER, toUtf8("owner")),
      attribute(CKA.VALUE, toUtf8("value")),
    ]);
    for (const type of [CKA.AC_ISSUER, CKA.ATTR_TYPES]) {
      assert.deepEqual(await one.read(certificate, type), EMPTY);
      await one.client.call("C_SetAttributeValue", one.session, certificate, [attribute(type, toUtf8("x"))]);
      assert.deepEqual(await one.read(certificate, type), toUtf8("x"));
    }
  });

  test("§4.6.3: a certificate that is a URL comes with the hashes of its subject's and its issuer's public key", async () => {
    const hash = new Uint8Array(20).fill(1);
    const create = (...more: Parameters<typeof attribute>[]) =>
      one.client.rv("C_CreateObject", one.session, [
        attribute(CKA.CLASS, CKO.CERTIFICATE),
        attribute(CKA.CERTIFICATE_TYPE, 0),
        attribute(CKA.SUBJECT, toUtf8("s")),
        ...more.map((given) => attribute(...given)),
      ]);
    const url = [CKA.URL, "https://ca.example/s.cer"] as const;
    const subject = [CKA.HASH_OF_SUBJECT_PUBLIC_KEY, hash] as const;
    const issuer = [CKA.HASH_OF_ISSUER_PUBLIC_KEY, hash] as const;
    assert.equal(await create([...url], [...subject], [...issuer]), CKR.OK);
    assert.equal(await create([CKA.VALUE, toUtf8("abc")], [CKA.URL, EMPTY]), CKR.OK);
    assert.equal(await create([...url]), CKR.TEMPLATE_INCOMPLETE);
    assert.equal(await create([...url], [...subject]), CKR.TEMPLATE_INCOMPLETE);
    assert.equal(await create([...url], [...issuer], [CKA.VALUE, toUtf8("abc")]), CKR.TEMPLATE_INCOMPLETE);
    assert.equal(await create([...url], [...subject], [CKA.HASH_OF_ISSUER_PUBLIC_KEY, EMPTY]), CKR.TEMPLATE_INCOMPLETE);
    assert.equal(await create([...subject], [...issuer]), CKR.TEMPLATE_INCOMPLETE, "neither value nor URL");
  });

  test("§5.18.4: what is unwrapped and is no key of the type that was asked for is no wrapped key", async () => {
    const [wrapping] = await one.client.call("C_CreateObject", one.session, [
      attribute(CKA.CLASS, CKO.SECRET_KEY),
      attribute(CKA.KEY_TYPE, CKK.AES),
      attribute(CKA.VALUE, KEY),
      attribute(CKA.UNWRAP, true),
    ]);
    const template = [attribute(CKA.CLASS, CKO.SECRET_KEY), attribute(CKA.KEY_TYPE, CKK.DES3)];
    const how = mechanism(CKM.AES_ECB);
    const rv = await one.client.rv("C_UnwrapKey", one.session, how, wrapping, new Uint8Array(16), template);
    assert.equal(rv, CKR.WRAPPED_KEY_INVALID);
  });

  test("§5.7: a data object for which there is no room is told so", async () => {
    const template = [
      attribute(CKA.CLASS, CKO.DATA),
      attribute(CKA.TOKEN, true),
      attribute(CKA.VALUE, new Uint8Array(70_000)),
    ];
    assert.equal(await one.client.rv("C_CreateObject", one.session, template), CKR.DEVICE_MEMORY);
  });

  test("CKM_GENERIC_SECRET_KEY_GEN tells its sizes in bits, CKM_AES_KEY_GEN in bytes", async () => {
    const sizes = async (type: number) => (await one.client.call("C_GetMechanismInfo", 0, type)).slice(0, 2);
    assert.deepEqual(await sizes(CKM.GENERIC_SECRET_KEY_GEN), [8, 32_768]);
    assert.deepEqual(await sizes(CKM.AES_KEY_GEN), [16, 32]);
  });

  test("§5.5: a slot event for each token that came or went, once, and none else", async (t) => {
    const event = () => one.client.rv("C_WaitForSlotEvent", CKF.DONT_BLOCK);
    await one.client.call("C_GetSlotList", 1, 100);
    assert.equal(await event(), CKR.NO_EVENT);
    assert.equal(await one.client.rv("C_WaitForSlotEvent", 0), CKR.FUNCTION_NOT_SUPPORTED);
    const { keyring, service } = one.bench;
    const devices = await keyring.listDevices(service);
    const away = devices.map((device) => ({ ...device, status: { ...device.status, state: "absent" as const } }));
    t.mock.method(keyring, "listDevices", () => Promise.resolve(away));
    const [gone] = await one.client.call("C_WaitForSlotEvent", CKF.DONT_BLOCK);
    const flags = async () => (await one.client.call("C_GetSlotInfo", gone))[2];
    assert.equal(await flags(), CKF.REMOVABLE_DEVICE);
    assert.equal(await event(), CKR.NO_EVENT);
    t.mock.restoreAll();
    assert.deepEqual(await one.client.call("C_WaitForSlotEvent", CKF.DONT_BLOCK), [gone]);
    assert.equal(await flags(), CKF.TOKEN_PRESENT);
    assert.equal(await event(), CKR.NO_EVENT);
  });

  test("§5.5, §5.6: a device that was removed leaves its slot empty, tells of it, and ends the sessions with its token", async (t) => {
    const { client } = one;
    const { keyring, service, adminToken } = one.bench;
    const [device] = await keyring.listDevices(service);
    const slot = 1;
    const [own] = await client.call("C_OpenSession", slot, CKF.SERIAL_SESSION | CKF.RW_SESSION);
    await client.call("C_Login", own, CKU.USER, toUtf8(adminToken));
    await client.call("C_GetSlotList", 1, 100);
    const generate = (): Promise<number> =>
      client.rv("C_GenerateKey", own, mechanism(CKM.AES_KEY_GEN), [
        attribute(CKA.VALUE_LEN, 32),
        attribute(CKA.TOKEN, true),
      ]);
    const missing = new CasemateError("NOT_FOUND", `there is no device ${device?.identity.id}`);
    t.mock.method(keyring, "createKey", () => Promise.reject(missing));
    assert.equal(await generate(), CKR.DEVICE_REMOVED);
    t.mock.method(keyring, "listDevices", () => Promise.resolve([]));
    assert.deepEqual(await client.call("C_WaitForSlotEvent", CKF.DONT_BLOCK), [slot]);
    assert.equal(await client.rv("C_WaitForSlotEvent", CKF.DONT_BLOCK), CKR.NO_EVENT);
    assert.equal(await client.rv("C_GetTokenInfo", slot), CKR.TOKEN_NOT_PRESENT);
    assert.equal(await client.rv("C_GetSessionInfo", own), CKR.SESSION_HANDLE_INVALID);
    assert.equal(await client.rv("C_OpenSession", slot, CKF.SERIAL_SESSION), CKR.TOKEN_NOT_PRESENT);
    assert.equal(await client.rv("C_GetSessionInfo", one.session), CKR.OK, "the whole keyring is still there");
    t.mock.restoreAll();
    assert.deepEqual(await client.call("C_WaitForSlotEvent", CKF.DONT_BLOCK), [slot]);
    assert.equal(await client.rv("C_GetSessionInfo", own), CKR.SESSION_HANDLE_INVALID);
    const [again] = await client.call("C_OpenSession", slot, CKF.SERIAL_SESSION);
    assert.equal((await client.call("C_GetSessionInfo", again))[1], CKS.RO_PUBLIC_SESSION, "nobody is logged in");
  });

  test("§5.5: a list of devices that was overtaken takes no token away", async (t) => {
    const { client } = one;
    const { keyring, service } = one.bench;
    const devices = await keyring.listDevices(service);
    const slow = Promise.withResolvers<typeof devices>();
    const lists = [slow.promise, Promise.resolve(devices)];
    t.mock.method(keyring, "listDevices", () => lists.shift() ?? Promise.resolve(devices));
    const [own] = await client.call("C_OpenSession", 1, CKF.SERIAL_SESSION);
    const first = client.rv("C_GetSlotList", 1, SIZE_QUERY);
    await client.call("C_GetSlotList", 1, SIZE_QUERY);
    slow.resolve([]);
    assert.equal(await first, CKR.OK);
    assert.equal(await client.rv("C_GetTokenInfo", 1), CKR.OK);
    assert.equal(await client.rv("C_GetSessionInfo", own), CKR.OK);
  });

  test("§4.1.1: sizes and types that a token does not make are refused by the values that ask for them", async () => {
    const { client, session } = one;
    const generate = (type: number, ...more: Parameters<typeof attribute>[]) =>
      client.rv(
        "C_GenerateKey",
        session,
        mechanism(type),
        more.map((one) => attribute(...one)),
      );
    // CKM_GENERIC_SECRET_KEY_GEN tells its sizes in bits, CKA_VALUE_LEN in bytes.
    for (const bytes of [1, 7, 4096])
      assert.equal(await generate(CKM.GENERIC_SECRET_KEY_GEN, [CKA.VALUE_LEN, bytes]), CKR.OK, `${bytes} bytes`);
    for (const bytes of [0, 4097, 40_000])
      assert.equal(await generate(CKM.GENERIC_SECRET_KEY_GEN, [CKA.VALUE_LEN, bytes]), CKR.ATTRIBUTE_VALUE_INVALID);
    const onToken = [CKA.TOKEN, true] as const;
    assert.equal(
      await generate(CKM.GENERIC_SECRET_KEY_GEN, [CKA.VALUE_LEN, 33], [...onToken]),
      CKR.ATTRIBUTE_VALUE_INVALID,
    );
    assert.equal(await generate(CKM.DES3_KEY_GEN, [...onToken]), CKR.TEMPLATE_INCONSISTENT);
  });

  test("RSA-OAEP §2.1.8: a label has a source that is specified", async () => {
    const { client, session } = one;
    const [publicKey] = await client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      [attribute(CKA.MODULUS_BITS, 2048), attribute(CKA.ENCRYPT, true)],
      [],
    );
    const begin = async (source: number, label: Uint8Array): Promise<number> => {
      const how = { kind: "oaep", hash: CKM.SHA_1, mgf: CKG.MGF1_SHA1, source, label } as const;
      const rv = await client.rv("C_EncryptInit", session, mechanism(CKM.RSA_PKCS_OAEP, how), publicKey);
      if (rv === CKR.OK) await client.call("C_Encrypt", session, toUtf8("secret"), 512);
      return rv;
    };
    assert.equal(await begin(1, toUtf8("label")), CKR.OK);
    assert.equal(await begin(0, EMPTY), CKR.OK);
    assert.equal(await begin(0, toUtf8("label")), CKR.MECHANISM_PARAM_INVALID);
    assert.equal(await begin(2, EMPTY), CKR.MECHANISM_PARAM_INVALID);
  });

  test("§3.4: a date is one of the calendar, or none", async () => {
    const { client, session } = one;
    const date = (text: string) => [attribute(CKA.END_DATE, toUtf8(text))];
    const make = (token: boolean, text: string) => {
      const template = [attribute(CKA.VALUE_LEN, 32), attribute(CKA.TOKEN, token), ...date(text)];
      return client.rv("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), template);
    };
    const onToken = [attribute(CKA.TOKEN, true), attribute(CKA.EXTRACTABLE, true)];
    const [wrapping] = await client.call("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), [
      attribute(CKA.VALUE_LEN, 32),
      attribute(CKA.UNWRAP, true),
      attribute(CKA.WRAP, true),
      attribute(CKA.TOKEN, true),
    ]);
    const [key] = await client.call("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), [
      attribute(CKA.VALUE_LEN, 32),
      ...onToken,
    ]);
    const kwp = mechanism(CKM.AES_KEY_WRAP_KWP);
    const [wrapped] = await client.call("C_WrapKey", session, kwp, wrapping, key, 1024);
    const ofKey = [attribute(CKA.CLASS, CKO.SECRET_KEY), attribute(CKA.KEY_TYPE, CKK.AES), ...onToken];
    const unwrap = (text: string) =>
      client.rv("C_UnwrapKey", session, kwp, wrapping, wrapped as Uint8Array, [...ofKey, ...date(text)]);
    const ofSession = await one.aes();
    const calls: readonly ((text: string) => Promise<number>)[] = [
      (text) => make(false, text),
      (text) => make(true, text),
      unwrap,
      (text) => client.rv("C_SetAttributeValue", session, key, date(text)),
      (text) => client.rv("C_SetAttributeValue", session, ofSession, date(text)),
      (text) => client.rv("C_CopyObject", session, ofSession, date(text)),
    ];
    for (const [at, call] of calls.entries()) {
      for (const text of ["20301399", "00000000", "20300229", "20300001", "18991231"])
        assert.equal(await call(text), CKR.ATTRIBUTE_VALUE_INVALID, `${at}: ${text}`);
      for (const text of ["20280229", "99991231", ""]) assert.equal(await call(text), CKR.OK, `${at}: ${text}`);
    }
  });

  const rsaPair = (bits: number, token: boolean) =>
    one.client.call(
      "C_GenerateKeyPair",
      one.session,
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      [attribute(CKA.MODULUS_BITS, bits), attribute(CKA.TOKEN, token)],
      [attribute(CKA.SIGN, true), attribute(CKA.DECRYPT, true), attribute(CKA.TOKEN, token)],
    );

  for (const [where, bits, token] of [
    ["session", 1024, false],
    ["device", 2048, true],
  ] as const) {
    test(`RSA-PSS §2.1.10: a salt for which the modulus has no room is refused at once (${where})`, async () => {
      const { client, session } = one;
      const [publicKey, privateKey] = await rsaPair(bits, token);
      for (const [hash, mgf, type, length] of [
        [CKM.SHA256, CKG.MGF1_SHA256, CKM.SHA256_RSA_PKCS_PSS, 32],
        [CKM.SHA512, CKG.MGF1_SHA512, CKM.SHA512_RSA_PKCS_PSS, 64],
      ] as const) {
        const how = (saltLength: number) => mechanism(type, { kind: "pss", hash, mgf, saltLength });
        const most = bits / 8 - 2 - length;
        for (const salt of [most + 1, 0xffffffff]) {
          assert.equal(await client.rv("C_SignInit", session, how(salt), privateKey), CKR.MECHANISM_PARAM_INVALID);
          assert.equal(await client.rv("C_VerifyInit", session, how(salt), publicKey), CKR.MECHANISM_PARAM_INVALID);
        }
        await client.call("C_SignInit", session, how(most), privateKey);
        const [signature] = await client.call("C_Sign", session, toUtf8("x"), 512);
        await client.call("C_VerifyInit", session, how(most), publicKey);
        await client.call("C_Verify", session, toUtf8("x"), signature as Uint8Array);
      }
    });

    test(`RSA X.509 §2.1.12: what is not below the modulus is no data to sign (${where})`, async () => {
      const { client, session } = one;
      const [publicKey, privateKey] = await rsaPair(bits, token);
      const modulus = (await one.read(publicKey, CKA.MODULUS)) as Uint8Array;
      for (const input of [modulus, new Uint8Array(bits / 8).fill(0xff)]) {
        await client.call("C_SignInit", session, mechanism(CKM.RSA_X_509), privateKey);
        assert.equal(await client.rv("C_Sign", session, input, 512), CKR.DATA_INVALID);
        await client.call("C_VerifyInit", session, mechanism(CKM.RSA_X_509), publicKey);
        const rv = await client.rv("C_Verify", session, input, new Uint8Array(bits / 8).fill(1));
        assert.equal(rv, CKR.SIGNATURE_INVALID);
      }
    });
  }

  test("§4.9: a PIN that logins before each use lock logs the user out", async () => {
    const pin = "4711-0815";
    const { client, session } = one;
    await client.call("C_Logout", session);
    await client.call("C_Login", session, CKU.SO, toUtf8(one.bench.adminToken));
    await client.call("C_InitPIN", session, toUtf8(pin));
    await client.call("C_Logout", session);
    await client.call("C_Login", session, CKU.USER, toUtf8(pin));
    const [, key] = await one.pairOf([], [attribute(CKA.ALWAYS_AUTHENTICATE, true)]);
    await client.call("C_SignInit", session, mechanism(CKM.ECDSA), key);
    const answers: number[] = [];
    while (answers.at(-1) !== CKR.PIN_LOCKED && answers.length < 20) {
      answers.push(await client.rv("C_Login", session, CKU.CONTEXT_SPECIFIC, toUtf8("wrong-pin")));
    }
    assert.deepEqual([...new Set(answers)], [CKR.PIN_INCORRECT, CKR.PIN_LOCKED]);
    assert.equal((await client.call("C_GetSessionInfo", session))[1], CKS.RW_PUBLIC_SESSION);
  });
});
