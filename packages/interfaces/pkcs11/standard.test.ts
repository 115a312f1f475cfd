import assert from "node:assert/strict";
import { createCipheriv, createHmac } from "node:crypto";
import { after, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKD, CKK, CKM, CKO, CKR, CKU, SIZE_QUERY, type MechanismParameter } from "@casemate/protocols/p11-rpc";
import { attribute, KEY, mechanism, openLoggedIn, RO, RW, TestClient, type Template } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const OPEN = [attribute(CKA.SENSITIVE, false), attribute(CKA.EXTRACTABLE, true)];

const opened = await openLoggedIn((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
after(() => opened[Symbol.asyncDispose]());
const { bench, client, session, read, aes, pairOf } = opened;

/** Details of PKCS #11 v3.0 that programs seldom ask about, and conformance suites always. */
describe("the letter of PKCS #11", () => {
  const count = async (...template: Template): Promise<number> => {
    await client.call("C_FindObjectsInit", session, [...template]);
    const [found] = await client.call("C_FindObjects", session, 1000);
    await client.call("C_FindObjectsFinal", session);
    return (found as readonly number[]).length;
  };

  const iv: MechanismParameter = { kind: "bytes", bytes: new Uint8Array(16) };
  const short: MechanismParameter = { kind: "ctr", bits: 2, block: new Uint8Array(16) };
  const lengths: readonly (readonly [string, number, MechanismParameter | undefined, number, boolean])[] = [
    ["AES-ECB", CKM.AES_ECB, undefined, 17, true],
    ["AES-CBC", CKM.AES_CBC, iv, 17, true],
    ["AES-CTS", CKM.AES_CTS, iv, 15, true],
    ["AES-CTR with two bits of counter", CKM.AES_CTR, short, 65, true],
    ["AES-ECB", CKM.AES_ECB, undefined, 17, false],
    ["AES-CBC with padding", CKM.AES_CBC_PAD, iv, 17, false],
    ["AES-CTR with two bits of counter", CKM.AES_CTR, short, 65, false],
    [
      "AES-GCM",
      CKM.AES_GCM,
      { kind: "gcm", iv: new Uint8Array(12), ivBits: 96, aad: new Uint8Array(0), tagBits: 128 },
      15,
      false,
    ],
  ];
  for (const [name, type, parameter, length, encrypt] of lengths) {
    test(`${encrypt ? "encrypting" : "decrypting"} by ${name}: a length that cannot be is refused to who asks for a size, too`, async () => {
      const [init, one, update, final] = encrypt
        ? (["C_EncryptInit", "C_Encrypt", "C_EncryptUpdate", "C_EncryptFinal"] as const)
        : (["C_DecryptInit", "C_Decrypt", "C_DecryptUpdate", "C_DecryptFinal"] as const);
      const wrong = encrypt ? CKR.DATA_LEN_RANGE : CKR.ENCRYPTED_DATA_LEN_RANGE;
      const key = await aes();
      const data = new Uint8Array(length);
      await client.call(init, session, mechanism(type, parameter), key);
      assert.equal(await client.rv(one, session, data, SIZE_QUERY), wrong);
      assert.equal(await client.rv(one, session, data, 1024), CKR.OPERATION_NOT_INITIALIZED, "it ended");
      await client.call(init, session, mechanism(type, parameter), key);
      if (type === CKM.AES_CTR) assert.equal(await client.rv(update, session, data, SIZE_QUERY), wrong);
      else {
        await client.call(update, session, data, 1024);
        assert.equal(await client.rv(final, session, SIZE_QUERY), wrong);
      }
      assert.equal(await client.rv(final, session, 1024), CKR.OPERATION_NOT_INITIALIZED, "it ended");
    });
  }

  test("RSA: a text too long for the key is refused to who asks for a size, too", async () => {
    const [publicKey, privateKey] = await client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      [attribute(CKA.MODULUS_BITS, 1024)],
      [],
    );
    await client.call("C_EncryptInit", session, mechanism(CKM.RSA_PKCS), publicKey);
    assert.equal(await client.rv("C_Encrypt", session, new Uint8Array(118), SIZE_QUERY), CKR.DATA_LEN_RANGE);
    await client.call("C_DecryptInit", session, mechanism(CKM.RSA_PKCS), privateKey);
    assert.equal(await client.rv("C_Decrypt", session, new Uint8Array(127), SIZE_QUERY), CKR.ENCRYPTED_DATA_LEN_RANGE);
  });

  test("AES-GCM takes its input in parts, and shows nothing of a text before its tag was right", async () => {
    const nonce = new Uint8Array(12).fill(7);
    const aad = toUtf8("header");
    const gcm = mechanism(CKM.AES_GCM, { kind: "gcm", iv: nonce, ivBits: 96, aad, tagBits: 128 });
    const text = toUtf8("a text of more than one block, and not of whole blocks");
    const cipher = createCipheriv("aes-128-gcm", KEY, nonce).setAAD(aad);
    const expected = Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]);
    const key = await aes();
    const inParts = async (kind: "Encrypt" | "Decrypt", data: Uint8Array): Promise<Uint8Array> => {
      await client.call(`C_${kind}Init`, session, gcm, key);
      for (let at = 0; at < data.length; at += 17) {
        const part = data.subarray(at, at + 17);
        assert.deepEqual(await client.call(`C_${kind}Update`, session, part, SIZE_QUERY), [0]);
        assert.deepEqual(await client.call(`C_${kind}Update`, session, part, 64), [new Uint8Array(0)]);
      }
      const [size] = await client.call(`C_${kind}Final`, session, SIZE_QUERY);
      const [output] = await client.call(`C_${kind}Final`, session, size as number);
      return output as Uint8Array;
    };
    const sealed = await inParts("Encrypt", text);
    assert.deepEqual(Buffer.from(sealed), expected);
    assert.deepEqual(await inParts("Decrypt", sealed), text);
    sealed[0] = (sealed[0] ?? 0) ^ 1;
    await client.call("C_DecryptInit", session, gcm, key);
    await client.call("C_DecryptUpdate", session, sealed, 1024);
    assert.equal(await client.rv("C_DecryptFinal", session, 1024), CKR.ENCRYPTED_DATA_INVALID);
  });

  for (const [name, digest, mac, derivation, abc] of [
    [
      "sha512-224",
      CKM.SHA512_224,
      CKM.SHA512_224_HMAC,
      CKM.SHA512_224_KEY_DERIVATION,
      "4634270f707b6a54daae7530460842e20e37ed265ceee9a43e8924aa",
    ],
    [
      "sha512-256",
      CKM.SHA512_256,
      CKM.SHA512_256_HMAC,
      CKM.SHA512_256_KEY_DERIVATION,
      "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23",
    ],
  ] as const) {
    test(`${name} digests as FIPS 180-4 says, makes MACs and derives keys`, async () => {
      await client.call("C_DigestInit", session, mechanism(digest));
      const [hashed] = await client.call("C_Digest", session, toUtf8("abc"), 64);
      assert.equal((hashed as Uint8Array).toHex(), abc);
      const [key] = await client.call("C_CreateObject", session, [
        attribute(CKA.CLASS, CKO.SECRET_KEY),
        attribute(CKA.KEY_TYPE, CKK.GENERIC_SECRET),
        attribute(CKA.VALUE, toUtf8("abc")),
        attribute(CKA.SIGN, true),
        attribute(CKA.VERIFY, true),
        attribute(CKA.DERIVE, true),
      ]);
      await client.call("C_SignInit", session, mechanism(mac), key);
      const [signed] = await client.call("C_Sign", session, toUtf8("message"), 64);
      const expected = createHmac(name, "abc").update("message").digest();
      assert.deepEqual(Buffer.from(signed as Uint8Array), expected);
      await client.call("C_VerifyInit", session, mechanism(mac), key);
      assert.equal(await client.rv("C_Verify", session, toUtf8("message"), signed as Uint8Array), CKR.OK);
      const [derived] = await client.call("C_DeriveKey", session, mechanism(derivation), key, OPEN);
      assert.equal(((await read(derived, CKA.VALUE)) as Uint8Array).toHex(), abc);
    });
  }

  test("C_Verify ends an operation that began in parts, as C_Sign does", async () => {
    const [publicKey] = await pairOf([], []);
    await client.call("C_VerifyInit", session, mechanism(CKM.ECDSA_SHA256), publicKey);
    await client.call("C_VerifyUpdate", session, toUtf8("part"));
    assert.equal(await client.rv("C_Verify", session, toUtf8("all"), new Uint8Array(64)), CKR.OPERATION_ACTIVE);
    assert.equal(await client.rv("C_VerifyFinal", session, new Uint8Array(64)), CKR.OPERATION_NOT_INITIALIZED);
  });

  test("the call by which p11-kit 0.26 derives answers a return value first and the key last", async () => {
    const [publicKey, privateKey] = await pairOf([], [attribute(CKA.DERIVE, true)]);
    const peer = (await read(publicKey, CKA.EC_POINT)) as Uint8Array;
    const ecdh = mechanism(CKM.ECDH1_DERIVE, { kind: "ecdh", kdf: CKD.NULL, shared: new Uint8Array(0), peer });
    const template = [attribute(CKA.KEY_TYPE, CKK.GENERIC_SECRET), ...OPEN];
    const [rv, , key] = await client.call("C_DeriveKey2", session, ecdh, privateKey, template);
    assert.equal(rv, CKR.OK);
    const [same] = await client.call("C_DeriveKey", session, ecdh, privateKey, template);
    assert.deepEqual(await read(key, CKA.VALUE), await read(same, CKA.VALUE));
  });

  test("a derived key was always sensitive and never extractable as far as its base key was", async () => {
    const derive = async (base: Template, derived: Template): Promise<readonly unknown[]> => {
      const [key] = await client.call("C_GenerateKey", session, mechanism(CKM.GENERIC_SECRET_KEY_GEN), [
        attribute(CKA.VALUE_LEN, 32),
        attribute(CKA.DERIVE, true),
        ...base,
      ]);
      const [made] = await client.call("C_DeriveKey", session, mechanism(CKM.SHA256_KEY_DERIVATION), key, [...derived]);
      assert.equal(await read(made, CKA.LOCAL), 0);
      return [await read(made, CKA.ALWAYS_SENSITIVE), await read(made, CKA.NEVER_EXTRACTABLE)];
    };
    const hidden = [attribute(CKA.SENSITIVE, true), attribute(CKA.EXTRACTABLE, false)];
    assert.deepEqual(await derive(hidden, hidden), [1, 1]);
    assert.deepEqual(await derive(hidden, OPEN), [0, 0]);
    assert.deepEqual(await derive(OPEN, hidden), [0, 0]);
  });

  test("no key derives others unless its template says so", async () => {
    const [, privateKey] = await pairOf([], []);
    for (const key of [privateKey, await aes()]) assert.equal(await read(key, CKA.DERIVE), 0);
  });

  test("a template names no value of a key that is made here", async () => {
    const wrong = attribute(CKA.MODULUS, new Uint8Array(128).fill(0xff));
    const bits = attribute(CKA.MODULUS_BITS, 1024);
    const rsa = (publicPart: Template, privatePart: Template) =>
      client.rv(
        "C_GenerateKeyPair",
        session,
        mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
        [bits, ...publicPart],
        [...privatePart],
      );
    assert.equal(await rsa([wrong], []), CKR.TEMPLATE_INCONSISTENT);
    assert.equal(await rsa([], [wrong]), CKR.TEMPLATE_INCONSISTENT);
    assert.equal(
      await rsa([], [attribute(CKA.PRIVATE_EXPONENT, new Uint8Array(128).fill(1))]),
      CKR.TEMPLATE_INCONSISTENT,
    );
    const template = [attribute(CKA.VALUE_LEN, 16), attribute(CKA.VALUE, KEY)];
    assert.equal(
      await client.rv("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), template),
      CKR.TEMPLATE_INCONSISTENT,
    );
  });

  test("of a pair that cannot be kept whole nothing is kept", async () => {
    const [reader] = await client.call("C_OpenSession", 0, RO);
    const label = attribute(CKA.LABEL, "half a pair");
    const halves = [[label, attribute(CKA.TOKEN, true)], [label]] as const;
    await assert.rejects(pairOf(halves[0], halves[1], reader), { rv: CKR.SESSION_READ_ONLY });
    assert.equal(await count(label), 0);
    await client.call("C_CloseSession", reader);
  });

  test("a token says how many sessions the asking application has open", async () => {
    await using other = await TestClient.open(bench.socketPath, { version: 2 });
    await other.call("C_OpenSession", 0, RO);
    await other.call("C_OpenSession", 0, RO);
    await other.call("C_OpenSession", 0, RW);
    const info = await other.call("C_GetTokenInfo", 0);
    assert.deepEqual([info[6], info[8]], [3, 1]);
  });

  test("keys have templates for other keys, empty when none were given", async () => {
    const [publicKey, privateKey] = await pairOf([], []);
    for (const [object, type] of [
      [publicKey, CKA.WRAP_TEMPLATE],
      [privateKey, CKA.UNWRAP_TEMPLATE],
      [privateKey, CKA.DERIVE_TEMPLATE],
      [await aes(), CKA.WRAP_TEMPLATE],
    ] as const) {
      const [[found], rv] = await client.call("C_GetAttributeValue", session, object, [{ type, capacity: SIZE_QUERY }]);
      assert.equal(rv, CKR.OK);
      assert.deepEqual(found?.value, []);
      assert.equal(found?.length, 0);
    }
  });

  test("the security officer alone says what is trusted, and of no key in a device", async () => {
    const [devicePublic] = await pairOf([], [attribute(CKA.TOKEN, true), attribute(CKA.PRIVATE, true)]);
    const certificate = [
      attribute(CKA.CLASS, CKO.CERTIFICATE),
      attribute(CKA.CERTIFICATE_TYPE, 0),
      attribute(CKA.SUBJECT, toUtf8("s")),
      attribute(CKA.VALUE, toUtf8("abc")),
      attribute(CKA.TOKEN, true),
    ];
    const trusted = [attribute(CKA.TRUSTED, true)];
    assert.equal(
      await client.rv("C_CreateObject", session, [...certificate, ...trusted]),
      CKR.ATTRIBUTE_READ_ONLY,
      "not a user",
    );
    const [plain] = await client.call("C_CreateObject", session, certificate);
    assert.equal(await client.rv("C_SetAttributeValue", session, plain, trusted), CKR.ATTRIBUTE_READ_ONLY);
    await client.call("C_Logout", session);
    await client.call("C_Login", session, CKU.SO, toUtf8(bench.adminToken));
    assert.equal(await client.rv("C_SetAttributeValue", session, plain, trusted), CKR.OK);
    assert.equal(await read(plain, CKA.TRUSTED), 1);
    const [made] = await client.call("C_CreateObject", session, [...certificate, ...trusted]);
    assert.equal(await read(made, CKA.TRUSTED), 1);
    assert.equal(await client.rv("C_SetAttributeValue", session, devicePublic, trusted), CKR.ATTRIBUTE_READ_ONLY);
    await client.call("C_Logout", session);
    await client.call("C_Login", session, CKU.USER, toUtf8(bench.adminToken));
    // PKCS #11 v3.0 §4.6.2: trusted certificates are not modified; a copy is not trusted.
    for (const change of [attribute(CKA.TRUSTED, false), attribute(CKA.LABEL, toUtf8("other"))])
      assert.equal(await client.rv("C_SetAttributeValue", session, plain, [change]), CKR.ACTION_PROHIBITED);
    const [copy] = await client.call("C_CopyObject", session, plain, []);
    assert.equal(await read(copy, CKA.TRUSTED), 0);
    assert.equal(await read(plain, CKA.TRUSTED), 1);
  });
});
