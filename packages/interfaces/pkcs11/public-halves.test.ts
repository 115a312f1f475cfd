import assert from "node:assert/strict";
import { constants, createHash, createPublicKey, publicEncrypt } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKF, CKG, CKM, CKR, CKU, type MechanismParameter } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, pkcs11Bench, TestClient, type Pkcs11Bench } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const RW = CKF.SERIAL_SESSION | CKF.RW_SESSION;
const PSS: MechanismParameter = { kind: "pss", hash: CKM.SHA256, mgf: CKG.MGF1_SHA256, saltLength: 32 };
const OAEP: MechanismParameter = {
  kind: "oaep",
  hash: CKM.SHA256,
  mgf: CKG.MGF1_SHA256,
  source: 1,
  label: toUtf8("for you"),
};

describe("the public half of a device key, used through PKCS#11", () => {
  let bench: Pkcs11Bench;
  let client: TestClient;
  let session: number;
  let keys: [number, number];
  before(async () => {
    bench = await pkcs11Bench((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
    client = await TestClient.open(bench.socketPath, { version: 2 });
    [session] = await client.call("C_OpenSession", 0, RW);
    await client.call("C_Login", session, CKU.USER, toUtf8(bench.adminToken));
    keys = await client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      [attribute(CKA.MODULUS_BITS, 2048), attribute(CKA.LABEL, "both")],
      [attribute(CKA.TOKEN, true), attribute(CKA.SIGN, true), attribute(CKA.DECRYPT, true)],
    );
  });
  after(async () => {
    await client[Symbol.asyncDispose]();
    await bench[Symbol.asyncDispose]();
  });

  const records = async (action: "key.verify" | "key.encrypt") => {
    const { items } = await bench.keyring.auditRecords(bench.admin, { resource: "key/both", limit: 1000 });
    return items.filter((record) => record.action === action);
  };

  for (const [name, type, parameter] of [
    ["RSA PKCS#1 with SHA-1", CKM.SHA1_RSA_PKCS, undefined],
    ["RSA PKCS#1 with SHA-256", CKM.SHA256_RSA_PKCS, undefined],
    ["RSA PKCS#1 of an encoded digest", CKM.RSA_PKCS, undefined],
    ["raw RSA", CKM.RSA_X_509, undefined],
    ["RSA-PSS with SHA-256", CKM.SHA256_RSA_PKCS_PSS, PSS],
  ] as const) {
    test(`${name}: verified by the keyring, and on record`, async () => {
      const [publicKey, privateKey] = keys;
      const mode = mechanism(type, parameter);
      const data = toUtf8("what is signed");
      await client.call("C_SignInit", session, mode, privateKey);
      const [signature] = (await client.call("C_Sign", session, data, 512)) as [Uint8Array];
      const before = (await records("key.verify")).length;
      await client.call("C_VerifyInit", session, mode, publicKey);
      await client.call("C_Verify", session, data, signature);
      await client.call("C_VerifyInit", session, mode, publicKey);
      assert.equal(await client.rv("C_Verify", session, toUtf8("another"), signature), CKR.SIGNATURE_INVALID);
      assert.equal((await records("key.verify")).length, before + 2);
    });
  }

  test("an input that no signature can be of is refused before the key is asked", async () => {
    const before = (await records("key.verify")).length;
    for (const [type, parameter, length] of [
      [CKM.RSA_PKCS, undefined, 246],
      [CKM.RSA_PKCS_PSS, PSS, 31],
    ] as const) {
      await client.call("C_VerifyInit", session, mechanism(type, parameter), keys[0]);
      const rv = await client.rv("C_Verify", session, new Uint8Array(length), new Uint8Array(256));
      assert.equal(rv, CKR.DATA_LEN_RANGE);
    }
    assert.equal((await records("key.verify")).length, before);
  });

  for (const [name, type, parameter, most] of [
    ["RSA PKCS#1", CKM.RSA_PKCS, undefined, 245],
    ["RSA-OAEP with a label", CKM.RSA_PKCS_OAEP, OAEP, 190],
  ] as const) {
    test(`${name}: encrypted by the keyring, and on record`, async () => {
      const [publicKey, privateKey] = keys;
      const mode = mechanism(type, parameter);
      const before = (await records("key.encrypt")).length;
      await client.call("C_EncryptInit", session, mode, publicKey);
      const rv = await client.rv("C_Encrypt", session, new Uint8Array(most + 1), 256);
      assert.equal(rv, CKR.DATA_LEN_RANGE);
      assert.equal((await records("key.encrypt")).length, before);
      await client.call("C_EncryptInit", session, mode, publicKey);
      const [ciphertext] = (await client.call("C_Encrypt", session, toUtf8("secret"), 256)) as [Uint8Array];
      assert.equal((await records("key.encrypt")).length, before + 1);
      await client.call("C_DecryptInit", session, mode, privateKey);
      assert.deepEqual(await client.call("C_Decrypt", session, ciphertext, 256), [toUtf8("secret")]);
    });
  }

  const OAEP_SHA224: MechanismParameter = {
    kind: "oaep",
    hash: CKM.SHA224,
    mgf: CKG.MGF1_SHA224,
    source: 1,
    label: new Uint8Array(0),
  };
  test("what no device has is done here under the same policy, and on record", async () => {
    const [publicKey, privateKey] = keys;
    const odd = mechanism(CKM.SHA256_RSA_PKCS_PSS, { ...PSS, saltLength: 20 });
    await client.call("C_SignInit", session, odd, privateKey);
    const [signature] = (await client.call("C_Sign", session, toUtf8("odd"), 512)) as [Uint8Array];
    const verified = (await records("key.verify")).length;
    await client.call("C_VerifyInit", session, odd, publicKey);
    await client.call("C_Verify", session, toUtf8("odd"), signature);
    assert.equal((await records("key.verify")).length, verified + 1);
    const encrypted = (await records("key.encrypt")).length;
    for (const mode of [mechanism(CKM.RSA_PKCS_OAEP, OAEP_SHA224), mechanism(CKM.RSA_X_509)]) {
      await client.call("C_EncryptInit", session, mode, publicKey);
      await client.call("C_Encrypt", session, toUtf8("secret"), 256);
    }
    assert.equal((await records("key.encrypt")).length, encrypted + 2);
  });

  test("before a login the interface answers for it: allowed and on record, until a policy forbids it", async () => {
    await using other = await TestClient.open(bench.socketPath, { version: 2 });
    const [handle] = await other.call("C_OpenSession", 0, RW);
    await other.call("C_FindObjectsInit", handle, [attribute(CKA.LABEL, "both"), attribute(CKA.VERIFY, true)]);
    const [[publicKey = 0]] = (await other.call("C_FindObjects", handle, 1)) as [number[]];
    const verify = async (): Promise<number> => {
      await other.call("C_VerifyInit", handle, mechanism(CKM.SHA256_RSA_PKCS), publicKey);
      return other.rv("C_Verify", handle, toUtf8("x"), new Uint8Array(256));
    };
    const encrypt = async (mode: ReturnType<typeof mechanism>): Promise<number> => {
      await other.call("C_EncryptInit", handle, mode, publicKey);
      return other.rv("C_Encrypt", handle, toUtf8("x"), 256);
    };
    const own = async (action: "key.verify" | "key.encrypt", outcome: string) =>
      (await records(action)).filter((r) => r.principal === "pkcs11" && r.outcome === outcome).length;
    assert.equal(await verify(), CKR.SIGNATURE_INVALID);
    assert.equal(await encrypt(mechanism(CKM.RSA_PKCS)), CKR.OK);
    assert.equal(await encrypt(mechanism(CKM.RSA_PKCS_OAEP, OAEP_SHA224)), CKR.OK);
    assert.deepEqual([await own("key.verify", "ok"), await own("key.encrypt", "ok")], [1, 2]);

    const text = `forbid(principal == Service::"pkcs11", action in [Action::"key.verify", Action::"key.encrypt"], resource);`;
    await bench.keyring.setPolicy(bench.admin, "no-strangers", text);
    assert.equal(await verify(), CKR.ACTION_PROHIBITED);
    assert.equal(await encrypt(mechanism(CKM.RSA_PKCS_OAEP, OAEP_SHA224)), CKR.ACTION_PROHIBITED);
    assert.deepEqual([await own("key.verify", "FORBIDDEN"), await own("key.encrypt", "FORBIDDEN")], [1, 1]);
  });

  test("OAEP of the outside decrypts here: the label and the hashes mean the same", async () => {
    const { publicKey } = await bench.keyring.publicKey(bench.admin, "both");
    const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    const ciphertext = publicEncrypt({ key, padding, oaepHash: "sha256", oaepLabel: toUtf8("for you") }, toUtf8("hi"));
    await client.call("C_DecryptInit", session, mechanism(CKM.RSA_PKCS_OAEP, OAEP), keys[1]);
    assert.deepEqual(await client.call("C_Decrypt", session, ciphertext, 256), [toUtf8("hi")]);
    // Without a word programs mean SHA-1 (RFC 8017 §A.2.1).
    const usual = { kind: "oaep", hash: CKM.SHA_1, mgf: CKG.MGF1_SHA1, source: 1, label: new Uint8Array(0) } as const;
    await client.call("C_DecryptInit", session, mechanism(CKM.RSA_PKCS_OAEP, usual), keys[1]);
    assert.deepEqual(await client.call("C_Decrypt", session, publicEncrypt({ key, padding }, toUtf8("ho")), 256), [
      toUtf8("ho"),
    ]);
  });

  test("it stays when the private half is destroyed, until it is destroyed, too", async () => {
    const [publicKey, privateKey] = (await client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      [attribute(CKA.MODULUS_BITS, 2048), attribute(CKA.LABEL, "left"), attribute(CKA.ID, toUtf8("7"))],
      [attribute(CKA.TOKEN, true), attribute(CKA.SIGN, true), attribute(CKA.LABEL, "left")],
    )) as [number, number];
    const mode = mechanism(CKM.SHA256_RSA_PKCS);
    await client.call("C_SignInit", session, mode, privateKey);
    const [signature] = (await client.call("C_Sign", session, toUtf8("x"), 512)) as [Uint8Array];
    const find = async (who: TestClient, handle: number): Promise<number[]> => {
      await who.call("C_FindObjectsInit", handle, [attribute(CKA.LABEL, "left")]);
      const [found] = (await who.call("C_FindObjects", handle, 9)) as [number[]];
      await who.call("C_FindObjectsFinal", handle);
      return found;
    };
    const verify = async (): Promise<number> => {
      await client.call("C_VerifyInit", session, mode, publicKey);
      return client.rv("C_Verify", session, toUtf8("x"), signature);
    };
    await using other = await TestClient.open(bench.socketPath, { version: 2 });
    const [handle] = await other.call("C_OpenSession", 0, RW);
    assert.equal((await find(client, session)).length, 2);

    await client.call("C_DestroyObject", session, privateKey);
    assert.deepEqual(await find(client, session), [publicKey]);
    assert.equal((await find(other, handle)).length, 1, "before a login, too");
    assert.equal(await client.rv("C_GetAttributeValue", session, privateKey, []), CKR.OBJECT_HANDLE_INVALID);
    const [[id]] = await client.call("C_GetAttributeValue", session, publicKey, [{ type: CKA.ID, capacity: 9 }]);
    assert.deepEqual(id?.value, toUtf8("7"));
    assert.equal(await verify(), CKR.OK);
    await client.call("C_SetAttributeValue", session, publicKey, [attribute(CKA.ID, toUtf8("8"))]);

    // An operator calls it off: it is a pair again.
    await bench.keyring.restoreKey(bench.admin, "left");
    assert.equal((await find(client, session)).length, 2);
    assert.equal(await verify(), CKR.OK);
    // And it stays when nothing else is left.
    await bench.keyring.destroyKey(bench.admin, "left", { now: true });
    assert.deepEqual(await find(client, session), [publicKey]);
    assert.equal(await verify(), CKR.OK);

    await client.call("C_DestroyObject", session, publicKey);
    assert.deepEqual(await find(client, session), []);
    assert.equal(await client.rv("C_DestroyObject", session, publicKey), CKR.OBJECT_HANDLE_INVALID);
    const { labels } = await bench.keyring.getKey(bench.admin, "left");
    assert.deepEqual(
      Object.keys(labels).filter((name) => name.includes("left")),
      [],
    );
  });

  test("a destruction that is refused leaves everything as it was", async () => {
    const [, privateKey] = (await client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      [attribute(CKA.MODULUS_BITS, 2048)],
      [attribute(CKA.TOKEN, true), attribute(CKA.LABEL, "refused")],
    )) as [number, number];
    const before = await bench.keyring.getKey(bench.admin, "refused");
    const text = `forbid(principal, action == Action::"key.destroy", resource) when { resource is Key && resource.name == "refused" };`;
    await bench.keyring.setPolicy(bench.admin, "refused", text);
    assert.equal(await client.rv("C_DestroyObject", session, privateKey), CKR.ACTION_PROHIBITED);
    const after = await bench.keyring.getKey(bench.admin, "refused");
    assert.deepEqual([after.labels, after.versions], [before.labels, before.versions]);
  });

  test("what an application hid does not come back with the destruction of the private half", async () => {
    const [publicKey, privateKey] = (await client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      [attribute(CKA.MODULUS_BITS, 2048), attribute(CKA.LABEL, "hidden")],
      [attribute(CKA.TOKEN, true), attribute(CKA.SIGN, true), attribute(CKA.LABEL, "hidden")],
    )) as [number, number];
    await client.call("C_DestroyObject", session, publicKey);
    await client.call("C_DestroyObject", session, privateKey);
    await client.call("C_FindObjectsInit", session, [attribute(CKA.LABEL, "hidden")]);
    assert.deepEqual(await client.call("C_FindObjects", session, 9), [[]]);
    await client.call("C_FindObjectsFinal", session);
  });

  test("who may not use keys does not verify with them after a login", async () => {
    const { token } = await bench.keyring.createToken(bench.admin, { principal: "keeper", roles: ["auditor"] });
    await using other = await TestClient.open(bench.socketPath, { version: 2 });
    const [handle] = await other.call("C_OpenSession", 0, RW);
    await other.call("C_Login", handle, CKU.USER, toUtf8(token));
    await other.call("C_FindObjectsInit", handle, [attribute(CKA.LABEL, "both"), attribute(CKA.VERIFY, true)]);
    const [found] = (await other.call("C_FindObjects", handle, 1)) as [number[]];
    assert.ok(found[0]);
    await other.call("C_VerifyInit", handle, mechanism(CKM.RSA_PKCS), found[0]);
    const digest = createHash("sha256").update("x").digest();
    const rv = await other.rv("C_Verify", handle, digest, new Uint8Array(256));
    assert.ok(rv !== CKR.OK && rv !== CKR.SIGNATURE_INVALID, `0x${rv.toString(16)}`);
    assert.ok((await records("key.verify")).some((r) => r.outcome === "FORBIDDEN" && r.principal === "keeper"));
  });
});
