import assert from "node:assert/strict";
import { createHash, createPublicKey, verify as nodeVerify } from "node:crypto";
import { statSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CK_UNAVAILABLE, CKA, CKF, CKK, CKM, CKO, CKR, CKU, NULL_BYTES, SIZE_QUERY } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, pkcs11Bench, TestClient, type Pkcs11Bench } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const RW = CKF.SERIAL_SESSION | CKF.RW_SESSION;
const P256 = Uint8Array.fromHex("06082a8648ce3d030107");

describe("Casemate as a PKCS#11 token", () => {
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
  const tokenPair = async (client: TestClient, handle: number, label: string) =>
    client.call(
      "C_GenerateKeyPair",
      handle,
      mechanism(CKM.EC_KEY_PAIR_GEN),
      [
        attribute(CKA.EC_PARAMS, P256),
        attribute(CKA.TOKEN, true),
        attribute(CKA.VERIFY, true),
        attribute(CKA.LABEL, label),
      ],
      [
        attribute(CKA.TOKEN, true),
        attribute(CKA.SIGN, true),
        attribute(CKA.LABEL, label),
        attribute(CKA.ID, toUtf8(label)),
      ],
    );
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

  test("an RSA pair that is asked to sign and to wrap signs, and its attributes say that it does not wrap", async () => {
    await using client = await open();
    const handle = await logIn(client);
    const [publicKey, privateKey] = await client.call(
      "C_GenerateKeyPair",
      handle,
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      [
        attribute(CKA.MODULUS_BITS, 2048),
        attribute(CKA.TOKEN, true),
        attribute(CKA.VERIFY, true),
        attribute(CKA.WRAP, true),
      ],
      [attribute(CKA.TOKEN, true), attribute(CKA.SIGN, true), attribute(CKA.UNWRAP, true)],
    );
    assert.equal(await value(client, handle, privateKey, CKA.SIGN), 1);
    assert.equal(await value(client, handle, privateKey, CKA.UNWRAP), 0);
    assert.equal(await value(client, handle, publicKey, CKA.VERIFY), 1);
    assert.equal(await value(client, handle, publicKey, CKA.WRAP), 0);
  });

  test("a secret key of the device that wraps others is not extractable", async () => {
    await using client = await open();
    const handle = await logIn(client);
    const wraps = [attribute(CKA.VALUE_LEN, 32), attribute(CKA.TOKEN, true), attribute(CKA.WRAP, true)];
    const how = mechanism(CKM.AES_KEY_GEN);
    const extractable = [...wraps, attribute(CKA.EXTRACTABLE, true)];
    assert.equal(await client.rv("C_GenerateKey", handle, how, extractable), CKR.TEMPLATE_INCONSISTENT);
    const [key] = await client.call("C_GenerateKey", handle, how, wraps);
    assert.equal(await value(client, handle, key, CKA.EXTRACTABLE), 0);
  });

  test("the socket belongs to its owner alone", () => {
    assert.equal(statSync(bench.socketPath).mode & 0o777, 0o600);
  });

  test("nothing is answered before C_Initialize, and it is not done twice", async () => {
    await using client = await TestClient.open(bench.socketPath, { initialize: false });
    assert.equal(await client.rv("C_GetInfo"), CKR.CRYPTOKI_NOT_INITIALIZED);
    assert.equal(await client.rv("C_Initialize", toUtf8("something else"), 0, NULL_BYTES), CKR.GENERAL_ERROR);
    await using other = await open();
    assert.equal(
      await other.rv("C_Initialize", toUtf8("PRIVATE-GNOME-KEYRING-PKCS11-PROTOCOL-V-1"), 0, NULL_BYTES),
      CKR.CRYPTOKI_ALREADY_INITIALIZED,
    );
  });

  for (const version of [0, 1, 2] as const) {
    test(`version ${version}: a key pair is made in the device and its signature verifies outside`, async () => {
      await using client = await open(version);
      const handle = await logIn(client);
      const [publicKey, privateKey] = await tokenPair(client, handle, `sign-v${version}`);
      const digest = createHash("sha256").update("message").digest();
      await client.call("C_SignInit", handle, mechanism(CKM.ECDSA), privateKey);
      const [signature] = await client.call("C_Sign", handle, digest, 64);
      const spki = await value(client, handle, publicKey, CKA.PUBLIC_KEY_INFO);
      const key = createPublicKey({ key: Buffer.from(spki as Uint8Array), format: "der", type: "spki" });
      assert.ok(nodeVerify("sha256", toUtf8("message"), { key, dsaEncoding: "ieee-p1363" }, signature as Uint8Array));
      await client.call("C_VerifyInit", handle, mechanism(CKM.ECDSA), publicKey);
      assert.equal(await client.rv("C_Verify", handle, digest, signature as Uint8Array), CKR.OK);
      await client.call("C_VerifyInit", handle, mechanism(CKM.ECDSA), publicKey);
      assert.equal(await client.rv("C_Verify", handle, digest, new Uint8Array(64).fill(1)), CKR.SIGNATURE_INVALID);
    });
  }

  test("a key of the device tells the truth about itself and shows no secret", async () => {
    await using client = await open();
    const handle = await logIn(client);
    const [, key] = await tokenPair(client, handle, "truth");
    for (const type of [
      CKA.SENSITIVE,
      CKA.ALWAYS_SENSITIVE,
      CKA.NEVER_EXTRACTABLE,
      CKA.LOCAL,
      CKA.PRIVATE,
      CKA.TOKEN,
    ]) {
      assert.equal(await value(client, handle, key, type), 1, `0x${type.toString(16)}`);
    }
    assert.equal(await value(client, handle, key, CKA.EXTRACTABLE), 0);
    const [attributes, rv] = await client.call("C_GetAttributeValue", handle, key, [
      { type: CKA.VALUE, capacity: 100 },
      { type: CKA.KEY_TYPE, capacity: 8 },
    ]);
    assert.equal(rv, CKR.ATTRIBUTE_SENSITIVE);
    assert.equal(attributes[0]?.value, undefined);
    assert.equal(attributes[1]?.value, CKK.EC);
  });

  test("use through PKCS#11 is audited like any other", async () => {
    await using client = await open();
    const handle = await logIn(client);
    const [, key] = await tokenPair(client, handle, "audited");
    await client.call("C_SignInit", handle, mechanism(CKM.ECDSA), key);
    await client.call("C_Sign", handle, new Uint8Array(32), 64);
    const { items } = await bench.keyring.auditRecords(bench.admin, { resource: "key/audited" });
    const signed = items.find((record) => record.action === "key.sign");
    assert.equal(signed?.source, "pkcs11");
    assert.equal(signed?.outcome, "ok");
  });

  test("a key whose lifecycle forbids signing is refused", async () => {
    await using client = await open();
    const handle = await logIn(client);
    const [, key] = await tokenPair(client, handle, "retired");
    await bench.keyring.transition(bench.admin, "retired", "deactivate");
    await client.call("C_SignInit", handle, mechanism(CKM.ECDSA), key);
    assert.equal(await client.rv("C_Sign", handle, new Uint8Array(32), 64), CKR.KEY_FUNCTION_NOT_PERMITTED);
    assert.equal(await client.rv("C_Sign", handle, new Uint8Array(32), 64), CKR.OPERATION_NOT_INITIALIZED);
  });

  test("without a login public keys are seen and private ones are not, nor do their handles work", async () => {
    await using owner = await open();
    const own = await logIn(owner);
    await tokenPair(owner, own, "visible");
    await using client = await open();
    const handle = await session(client);
    const label = attribute(CKA.LABEL, "visible");
    assert.equal((await find(client, handle, label)).length, 1);
    await client.call("C_Login", handle, CKU.USER, toUtf8(bench.adminToken));
    const [privateKey] = await find(client, handle, label, attribute(CKA.CLASS, CKO.PRIVATE_KEY));
    assert.ok(privateKey);
    await client.call("C_Logout", handle);
    assert.equal(await client.rv("C_SignInit", handle, mechanism(CKM.ECDSA), privateKey), CKR.KEY_HANDLE_INVALID);
  });

  test("a session key of the application encrypts, multi-part equals one-shot, and ends with its session", async () => {
    await using client = await open();
    const handle = await session(client, CKF.SERIAL_SESSION);
    const [key] = await client.call("C_CreateObject", handle, [
      attribute(CKA.CLASS, CKO.SECRET_KEY),
      attribute(CKA.KEY_TYPE, CKK.AES),
      attribute(CKA.VALUE, Uint8Array.fromHex("2b7e151628aed2a6abf7158809cf4f3c")),
      attribute(CKA.ENCRYPT, true),
    ]);
    const plain = Uint8Array.fromHex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
    const expected = "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2";
    const cbc = mechanism(CKM.AES_CBC, {
      kind: "bytes",
      bytes: Uint8Array.fromHex("000102030405060708090a0b0c0d0e0f"),
    });
    await client.call("C_EncryptInit", handle, cbc, key);
    assert.equal(await client.rv("C_EncryptInit", handle, cbc, key), CKR.OPERATION_ACTIVE);
    assert.deepEqual(await client.call("C_Encrypt", handle, plain, SIZE_QUERY), [32]);
    assert.deepEqual(await client.call("C_Encrypt", handle, plain, 31), [32]);
    const [whole] = await client.call("C_Encrypt", handle, plain, 32);
    assert.equal((whole as Uint8Array).toHex(), expected);
    await client.call("C_EncryptInit", handle, cbc, key);
    const parts: string[] = [];
    for (let at = 0; at < plain.length; at += 5) {
      const [out] = await client.call("C_EncryptUpdate", handle, plain.subarray(at, at + 5), 100);
      parts.push((out as Uint8Array).toHex());
    }
    assert.deepEqual((await client.call("C_EncryptFinal", handle, 100))[0], new Uint8Array(0));
    assert.equal(parts.join(""), expected);
    assert.equal(await value(client, handle, key, CKA.LOCAL), 0);
    assert.equal(await value(client, handle, key, CKA.NEVER_EXTRACTABLE), 0);
    const second = await session(client);
    await client.call("C_CloseSession", handle);
    assert.equal(await client.rv("C_GetObjectSize", second, key), CKR.OBJECT_HANDLE_INVALID);
  });

  test("AES in the device: ECB, CBC, CBC with padding and CTR decrypt what they encrypt", async () => {
    await using client = await open();
    const handle = await logIn(client);
    const [key] = await client.call("C_GenerateKey", handle, mechanism(CKM.AES_KEY_GEN), [
      attribute(CKA.TOKEN, true),
      attribute(CKA.VALUE_LEN, 32),
      attribute(CKA.ENCRYPT, true),
      attribute(CKA.DECRYPT, true),
      attribute(CKA.LABEL, "aes modes"),
    ]);
    const iv = { kind: "bytes", bytes: new Uint8Array(16).fill(7) } as const;
    const modes = [
      mechanism(CKM.AES_ECB),
      mechanism(CKM.AES_CBC, iv),
      mechanism(CKM.AES_CBC_PAD, iv),
      mechanism(CKM.AES_CTR, { kind: "ctr", bits: 32, block: new Uint8Array(16).fill(255, 0, 12) }),
    ];
    for (const mode of modes) {
      const plain = new Uint8Array(mode.type === CKM.AES_CBC_PAD || mode.type === CKM.AES_CTR ? 45 : 48).fill(9);
      await client.call("C_EncryptInit", handle, mode, key);
      const [ciphertext] = await client.call("C_Encrypt", handle, plain, 1000);
      await client.call("C_DecryptInit", handle, mode, key);
      const [first] = await client.call("C_DecryptUpdate", handle, (ciphertext as Uint8Array).subarray(0, 20), 1000);
      const [rest] = await client.call("C_DecryptUpdate", handle, (ciphertext as Uint8Array).subarray(20), 1000);
      const [last] = await client.call("C_DecryptFinal", handle, 1000);
      const text = Buffer.concat([first, rest, last] as Uint8Array[]);
      assert.deepEqual(new Uint8Array(text), plain, `mechanism 0x${mode.type.toString(16)}`);
    }
  });

  test("an application's own secret becomes a device key that is not local", async () => {
    await using client = await open();
    const handle = await logIn(client);
    const secret = new Uint8Array(32).fill(3);
    const [key] = await client.call("C_CreateObject", handle, [
      attribute(CKA.CLASS, CKO.SECRET_KEY),
      attribute(CKA.KEY_TYPE, CKK.AES),
      attribute(CKA.TOKEN, true),
      attribute(CKA.VALUE, secret),
      attribute(CKA.ENCRYPT, true),
      attribute(CKA.LABEL, "imported"),
    ]);
    assert.equal(await value(client, handle, key, CKA.LOCAL), 0);
    assert.equal(await value(client, handle, key, CKA.ALWAYS_SENSITIVE), 0);
    assert.equal(await value(client, handle, key, CKA.SENSITIVE), 1);
    await client.call("C_EncryptInit", handle, mechanism(CKM.AES_ECB), key);
    const [out] = await client.call("C_Encrypt", handle, new Uint8Array(16), 16);
    const { createCipheriv } = await import("node:crypto");
    const outside = createCipheriv("aes-256-ecb", secret, null).setAutoPadding(false).update(new Uint8Array(16));
    assert.deepEqual(out, new Uint8Array(outside));
  });

  test("a key that came in through another interface does not claim to be local; what a rotation adds does", async () => {
    const { keyring, admin } = bench;
    await keyring.createKey(admin, { name: "carrier", algorithm: "aes-256", usages: ["wrap"] });
    await keyring.createKey(admin, { name: "leaves", algorithm: "ec-p256", usages: ["sign"], exportable: true });
    const wrapping = { wrappingKey: "carrier", scheme: "aes-kwp" } as const;
    const { wrapped } = await keyring.wrapKey(admin, "leaves", wrapping);
    await keyring.importKey(admin, { name: "returns", algorithm: "ec-p256", usages: ["sign"], ...wrapping, wrapped });
    await keyring.rotateKey(admin, "returns");
    await using client = await open();
    const handle = await logIn(client);
    const said = async (label: string) => {
      const [object] = await find(
        client,
        handle,
        attribute(CKA.CLASS, CKO.PRIVATE_KEY),
        attribute(CKA.LABEL, toUtf8(label)),
      );
      assert.ok(object, label);
      const types = [CKA.LOCAL, CKA.ALWAYS_SENSITIVE, CKA.NEVER_EXTRACTABLE, CKA.KEY_GEN_MECHANISM];
      return Promise.all(types.map((type) => value(client, handle, object, type)));
    };
    assert.deepEqual(await said("leaves"), [1, 1, 0, CKM.EC_KEY_PAIR_GEN]);
    assert.deepEqual(await said("returns (version 1)"), [0, 0, 0, CK_UNAVAILABLE]);
    assert.deepEqual(await said("returns"), [1, 1, 1, CKM.EC_KEY_PAIR_GEN]);
  });

  test("certificates and data objects outlive the session and are found by any attribute", async () => {
    await using client = await open();
    const handle = await logIn(client);
    const [data] = await client.call("C_CreateObject", handle, [
      attribute(CKA.CLASS, CKO.DATA),
      attribute(CKA.TOKEN, true),
      attribute(CKA.LABEL, "note"),
      attribute(CKA.APPLICATION, "app-x"),
      attribute(CKA.VALUE, toUtf8("kept")),
    ]);
    await client.call("C_SetAttributeValue", handle, data, [attribute(CKA.LABEL, "changed")]);
    // What has no footnote 8 in the standard's table stays as it was made.
    for (const type of [CKA.VALUE, CKA.APPLICATION, CKA.OBJECT_ID])
      assert.equal(
        await client.rv("C_SetAttributeValue", handle, data, [attribute(type, toUtf8("x"))]),
        CKR.ATTRIBUTE_READ_ONLY,
      );
    await using other = await open();
    const again = await session(other);
    const [found] = await find(other, again, attribute(CKA.APPLICATION, "app-x"));
    assert.ok(found);
    assert.deepEqual(await value(other, again, found, CKA.LABEL), toUtf8("changed"));
    assert.deepEqual(await value(other, again, found, CKA.VALUE), toUtf8("kept"));
    assert.equal(
      await client.rv("C_SetAttributeValue", handle, data, [attribute(CKA.CLASS, 3)]),
      CKR.ATTRIBUTE_READ_ONLY,
    );
    await client.call("C_DestroyObject", handle, data);
    assert.deepEqual(await find(client, handle, attribute(CKA.APPLICATION, "app-x")), []);
  });

  test("templates are checked: incomplete, inconsistent, unknown, read-only", async () => {
    await using client = await open();
    const handle = await logIn(client);
    const create = (...template: ReturnType<typeof attribute>[]) => client.rv("C_CreateObject", handle, template);
    assert.equal(await create(), CKR.TEMPLATE_INCOMPLETE);
    assert.equal(
      await create(attribute(CKA.CLASS, CKO.SECRET_KEY), attribute(CKA.KEY_TYPE, CKK.AES)),
      CKR.TEMPLATE_INCOMPLETE,
    );
    assert.equal(
      await create(attribute(CKA.CLASS, CKO.DATA), attribute(CKA.ENCRYPT, true)),
      CKR.ATTRIBUTE_TYPE_INVALID,
    );
    assert.equal(
      await create(
        attribute(CKA.CLASS, CKO.SECRET_KEY),
        attribute(CKA.KEY_TYPE, CKK.AES),
        attribute(CKA.VALUE, new Uint8Array(16)),
        attribute(CKA.LOCAL, true),
      ),
      CKR.ATTRIBUTE_READ_ONLY,
    );
    assert.equal(
      await create(
        attribute(CKA.CLASS, CKO.SECRET_KEY),
        attribute(CKA.KEY_TYPE, CKK.AES),
        attribute(CKA.VALUE, new Uint8Array(17)),
      ),
      CKR.ATTRIBUTE_VALUE_INVALID,
    );
    assert.equal(
      await create(attribute(CKA.CLASS, CKO.DATA), attribute(CKA.LABEL, "a"), attribute(CKA.LABEL, "b")),
      CKR.TEMPLATE_INCONSISTENT,
    );
    assert.equal(
      await client.rv("C_GenerateKey", handle, mechanism(CKM.AES_KEY_GEN), [attribute(CKA.KEY_TYPE, CKK.DES3)]),
      CKR.TEMPLATE_INCONSISTENT,
    );
    assert.equal(await client.rv("C_GenerateKey", handle, mechanism(999), []), CKR.MECHANISM_INVALID);
  });
});
