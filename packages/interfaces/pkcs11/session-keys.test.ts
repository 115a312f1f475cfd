import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fromHex, toUtf8 } from "@casemate/foundation/bytes";
import { CK_UNAVAILABLE, CKA, CKF, CKK, CKM, CKO, CKR, CKU, SIZE_QUERY } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, pkcs11Bench, TestClient, type Pkcs11Bench } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const RO = CKF.SERIAL_SESSION;
const RW = RO | CKF.RW_SESSION;

/** What conformance suites do without a login, with keys that live as long as the session. */
describe("session keys of an application", () => {
  let bench: Pkcs11Bench;
  let client: TestClient;
  let session: number;
  before(async () => {
    bench = await pkcs11Bench((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
    client = await TestClient.open(bench.socketPath, { version: 0 });
    [session] = await client.call("C_OpenSession", 0, RO);
  });
  after(async () => {
    await client[Symbol.asyncDispose]();
    await bench[Symbol.asyncDispose]();
  });

  const secret = async (type: number, ...template: ReturnType<typeof attribute>[]): Promise<number> =>
    (await client.call("C_GenerateKey", session, mechanism(type), [attribute(CKA.PRIVATE, false), ...template]))[0];
  const pair = (publicUse: number, privateUse: number) =>
    client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      [
        attribute(CKA.MODULUS_BITS, 1024),
        attribute(publicUse, true),
        attribute(CKA.PUBLIC_EXPONENT, new Uint8Array([1, 0, 1])),
      ],
      [attribute(privateUse, true), attribute(CKA.PRIVATE, false)],
    );
  const read = async (object: number, type: number) => {
    const [[found], rv] = await client.call("C_GetAttributeValue", session, object, [{ type, capacity: 4096 }]);
    return rv === CKR.OK ? found?.value : rv;
  };

  for (const [keyGen, type, size] of [
    [CKM.DES_KEY_GEN, CKM.DES_ECB, 8],
    [CKM.DES3_KEY_GEN, CKM.DES3_ECB, 8],
    [CKM.AES_KEY_GEN, CKM.AES_ECB, 16],
  ] as const) {
    test(`mechanism 0x${type.toString(16)} decrypts what it encrypts and knows its errors`, async () => {
      const use = [attribute(CKA.ENCRYPT, true), attribute(CKA.DECRYPT, true)];
      const key = await secret(keyGen, ...use, ...(keyGen === CKM.AES_KEY_GEN ? [attribute(CKA.VALUE_LEN, 16)] : []));
      const plain = new Uint8Array(4 * size).fill(7);
      const mode = mechanism(type);
      await client.call("C_EncryptInit", session, mode, key);
      assert.deepEqual(await client.call("C_Encrypt", session, plain, SIZE_QUERY), [plain.length]);
      assert.equal(await client.rv("C_EncryptUpdate", session, plain, 100), CKR.OPERATION_ACTIVE);
      await client.call("C_EncryptInit", session, mode, key);
      const [ciphertext] = await client.call("C_Encrypt", session, plain, 1024);
      await client.call("C_DecryptInit", session, mode, key);
      assert.deepEqual((await client.call("C_Decrypt", session, ciphertext as Uint8Array, 1024))[0], plain);
      await client.call("C_EncryptInit", session, mode, key);
      assert.equal(await client.rv("C_Encrypt", session, plain.subarray(1), 1024), CKR.DATA_LEN_RANGE);
      assert.equal(await client.rv("C_Encrypt", session, plain, 1024), CKR.OPERATION_NOT_INITIALIZED);
      await client.call("C_DecryptInit", session, mode, key);
      assert.equal(await client.rv("C_Decrypt", session, plain.subarray(1), 1024), CKR.ENCRYPTED_DATA_LEN_RANGE);
      assert.equal(await client.rv("C_EncryptInit", session, mechanism(999), key), CKR.MECHANISM_INVALID);
      assert.equal(await client.rv("C_EncryptInit", session, mode, 77777), CKR.KEY_HANDLE_INVALID);
      assert.equal(await client.rv("C_EncryptInit", session, mechanism(CKM.RSA_PKCS), key), CKR.KEY_TYPE_INCONSISTENT);
    });
  }

  test("single DES gives the published ciphertext", async () => {
    const [key] = await client.call("C_CreateObject", session, [
      attribute(CKA.CLASS, CKO.SECRET_KEY),
      attribute(CKA.KEY_TYPE, CKK.DES),
      attribute(CKA.VALUE, Uint8Array.fromHex("8000000000000000")),
      attribute(CKA.ENCRYPT, true),
    ]);
    await client.call("C_EncryptInit", session, mechanism(CKM.DES_ECB), key);
    const [out] = await client.call("C_Encrypt", session, new Uint8Array(8), 8);
    assert.equal((out as Uint8Array).toHex(), "95a8d72813daa94d");
    assert.equal(await read(key, CKA.KEY_GEN_MECHANISM), CK_UNAVAILABLE);
  });

  test("a sensitive key never becomes insensitive again", async () => {
    const key = await secret(CKM.DES_KEY_GEN);
    assert.equal(await read(key, CKA.SENSITIVE), 0);
    assert.equal(((await read(key, CKA.VALUE)) as Uint8Array).length, 8);
    await client.call("C_SetAttributeValue", session, key, [attribute(CKA.SENSITIVE, true)]);
    assert.equal(
      await client.rv("C_SetAttributeValue", session, key, [attribute(CKA.SENSITIVE, false)]),
      CKR.ATTRIBUTE_READ_ONLY,
    );
    assert.equal(await read(key, CKA.VALUE), CKR.ATTRIBUTE_SENSITIVE);
    assert.equal(await read(key, CKA.ALWAYS_SENSITIVE), 0);
  });

  for (const token of [false, true])
    test(`an ECDSA signature of ${token ? "a token" : "a session"} key may be written shorter, in two equal halves`, async () => {
      const p521 = attribute(CKA.EC_PARAMS, fromHex("06052b81040023"));
      const user = token ? await TestClient.open(bench.socketPath, { version: 1 }) : client;
      const [own] = token ? await user.call("C_OpenSession", 0, RW) : [session];
      if (token) await user.call("C_Login", own, CKU.USER, toUtf8(bench.adminToken));
      const [publicKey, privateKey] = await user.call(
        "C_GenerateKeyPair",
        own,
        mechanism(CKM.EC_KEY_PAIR_GEN),
        [p521, attribute(CKA.VERIFY, true), attribute(CKA.TOKEN, token)],
        [attribute(CKA.SIGN, true), attribute(CKA.PRIVATE, token), attribute(CKA.TOKEN, token)],
      );
      const data = new Uint8Array(32).fill(5);
      let signature = Uint8Array.of(1);
      // Each of the two numbers is below 2^520 every other time.
      while (signature[0] !== 0 || signature[66] !== 0) {
        await user.call("C_SignInit", own, mechanism(CKM.ECDSA), privateKey);
        [signature] = (await user.call("C_Sign", own, data, 1024)) as [Uint8Array<ArrayBuffer>];
      }
      const short = Uint8Array.of(...signature.subarray(1, 66), ...signature.subarray(67));
      const changed = short.slice();
      changed[100] = (changed[100] ?? 0) ^ 1;
      for (const [given, rv] of [
        [signature, CKR.OK],
        [short, CKR.OK],
        [changed, CKR.SIGNATURE_INVALID],
        [short.subarray(0, 2), CKR.SIGNATURE_INVALID],
        [short.subarray(1), CKR.SIGNATURE_LEN_RANGE],
        [new Uint8Array(134), CKR.SIGNATURE_LEN_RANGE],
        [new Uint8Array(0), CKR.SIGNATURE_LEN_RANGE],
      ] as const) {
        await user.call("C_VerifyInit", own, mechanism(CKM.ECDSA), publicKey);
        assert.equal(await user.rv("C_Verify", own, data, given), rv, `${given.length} bytes`);
      }
      if (token) await user[Symbol.asyncDispose]();
    });

  for (const type of [
    CKM.RSA_PKCS,
    CKM.RSA_X_509,
    CKM.MD5_RSA_PKCS,
    CKM.SHA1_RSA_PKCS,
    CKM.SHA256_RSA_PKCS,
    CKM.SHA512_RSA_PKCS,
  ]) {
    test(`RSA mechanism 0x${type.toString(16)} verifies its own signatures and no others`, async () => {
      const [publicKey, privateKey] = await pair(CKA.VERIFY, CKA.SIGN);
      const data = toUtf8("some data");
      await client.call("C_SignInit", session, mechanism(type), privateKey);
      assert.deepEqual(await client.call("C_Sign", session, data, SIZE_QUERY), [128]);
      const [signature] = await client.call("C_Sign", session, data, 1024);
      await client.call("C_VerifyInit", session, mechanism(type), publicKey);
      assert.equal(await client.rv("C_Verify", session, data, signature as Uint8Array), CKR.OK);
      const wrong = (signature as Uint8Array).slice();
      wrong[127] = (wrong[127] ?? 0) ^ 1;
      await client.call("C_VerifyInit", session, mechanism(type), publicKey);
      assert.equal(await client.rv("C_Verify", session, data, wrong), CKR.SIGNATURE_INVALID);
      await client.call("C_VerifyInit", session, mechanism(type), publicKey);
      assert.equal(await client.rv("C_Verify", session, data, wrong.subarray(0, 4)), CKR.SIGNATURE_LEN_RANGE);
      assert.equal(await client.rv("C_SignInit", session, mechanism(type), publicKey), CKR.KEY_FUNCTION_NOT_PERMITTED);
    });
  }

  test("RSA encrypts and decrypts, and recovers what it signed", async () => {
    const [publicKey, privateKey] = await pair(CKA.ENCRYPT, CKA.DECRYPT);
    await client.call("C_EncryptInit", session, mechanism(CKM.RSA_PKCS), publicKey);
    const [ciphertext] = await client.call("C_Encrypt", session, toUtf8("0123456789"), 1024);
    await client.call("C_DecryptInit", session, mechanism(CKM.RSA_PKCS), privateKey);
    assert.deepEqual((await client.call("C_Decrypt", session, ciphertext as Uint8Array, 10))[0], toUtf8("0123456789"));
    const [verifying, signing] = await pair(CKA.VERIFY_RECOVER, CKA.SIGN_RECOVER);
    const data = new Uint8Array(64).fill(1);
    await client.call("C_SignRecoverInit", session, mechanism(CKM.RSA_PKCS), signing);
    const [signature] = await client.call("C_SignRecover", session, data, 2048);
    await client.call("C_VerifyRecoverInit", session, mechanism(CKM.RSA_PKCS), verifying);
    assert.deepEqual((await client.call("C_VerifyRecover", session, signature as Uint8Array, 2048))[0], data);
  });

  test("a session key wraps another, and unwrapping gives its value back", async () => {
    const target = await secret(CKM.DES_KEY_GEN, attribute(CKA.SENSITIVE, false));
    const wrapping = await secret(
      CKM.DES_KEY_GEN,
      attribute(CKA.WRAP, true),
      attribute(CKA.UNWRAP, true),
      attribute(CKA.DECRYPT, true),
    );
    const ecb = mechanism(CKM.DES_ECB);
    const [wrapped] = await client.call("C_WrapKey", session, ecb, wrapping, target, 100);
    assert.deepEqual(await client.call("C_WrapKey", session, ecb, wrapping, target, 1), [8]);
    const [again] = await client.call("C_UnwrapKey", session, ecb, wrapping, wrapped as Uint8Array, [
      attribute(CKA.CLASS, CKO.SECRET_KEY),
      attribute(CKA.KEY_TYPE, CKK.DES),
    ]);
    assert.deepEqual(await read(again, CKA.VALUE), await read(target, CKA.VALUE));
    assert.equal(await read(again, CKA.LOCAL), 0);
    assert.equal(await client.rv("C_WrapKey", session, ecb, 77777, target, 100), CKR.WRAPPING_KEY_HANDLE_INVALID);
    assert.equal(await client.rv("C_WrapKey", session, ecb, wrapping, 77777, 100), CKR.KEY_HANDLE_INVALID);
    assert.equal(
      await client.rv("C_UnwrapKey", session, ecb, 0, new Uint8Array(8), []),
      CKR.UNWRAPPING_KEY_HANDLE_INVALID,
    );
  });

  test("digests run beside encryption, and take a session key", async () => {
    const key = await secret(CKM.AES_KEY_GEN, attribute(CKA.VALUE_LEN, 16), attribute(CKA.ENCRYPT, true));
    await client.call("C_DigestInit", session, mechanism(CKM.SHA_1));
    await client.call("C_EncryptInit", session, mechanism(CKM.AES_ECB), key);
    const [part] = await client.call("C_DigestEncryptUpdate", session, new Uint8Array(16), 100);
    assert.equal((part as Uint8Array).length, 16);
    await client.call("C_EncryptFinal", session, 100);
    await client.call("C_DigestKey", session, key);
    assert.equal(await client.rv("C_DigestKey", session, 77777), CKR.KEY_HANDLE_INVALID);
    const [digest] = await client.call("C_DigestFinal", session, 100);
    assert.equal((digest as Uint8Array).length, 20);
  });

  test("initializing a token removes what was made on it and keeps the security officer's PIN", async () => {
    await using other = await TestClient.open(bench.socketPath, { version: 2 });
    await other.call("C_GetSlotList", 1, SIZE_QUERY);
    const slot = 1;
    const officer = toUtf8("officer pin");
    const [handle] = await other.call("C_OpenSession", slot, RW);
    await other.call("C_Login", handle, CKU.SO, toUtf8(bench.adminToken));
    await other.call("C_SetPIN", handle, toUtf8(bench.adminToken), officer);
    assert.equal(await other.rv("C_InitToken2", slot, officer, "new name".padEnd(32)), CKR.SESSION_EXISTS);
    await other.call("C_CloseAllSessions", slot);
    await other.call("C_InitToken2", slot, officer, "new name".padEnd(32));
    assert.match((await other.call("C_GetTokenInfo", slot))[0], /^new name +$/);
    const [again] = await other.call("C_OpenSession", slot, RW);
    await other.call("C_Login", again, CKU.SO, officer);
    await other.call("C_InitPIN", again, toUtf8("user pin"));
    await other.call("C_Logout", again);
    await other.call("C_Login", again, CKU.USER, toUtf8("user pin"));
    const [key] = await other.call("C_GenerateKey", again, mechanism(CKM.AES_KEY_GEN), [
      attribute(CKA.TOKEN, true),
      attribute(CKA.VALUE_LEN, 32),
      attribute(CKA.LABEL, "to go"),
    ]);
    await other.call("C_DestroyObject", again, key);
    await other.call("C_FindObjectsInit", again, [attribute(CKA.LABEL, "to go")]);
    assert.deepEqual(await other.call("C_FindObjects", again, 10), [[]]);
  });
});
