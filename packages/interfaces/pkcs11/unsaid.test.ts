import assert from "node:assert/strict";
import { generateKeyPairSync, verify } from "node:crypto";
import { after, describe, test } from "node:test";
import { concat, fromBase64Url, toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKK, CKM, CKO, CKR } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, openLoggedIn, type Template } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const opened = await openLoggedIn((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
after(() => opened[Symbol.asyncDispose]());
const { client, session, read } = opened;

/** A session key may do what programs expect where its template is silent, and nothing that the template denies. */
describe("what templates leave unsaid", () => {
  const des3 = async (...template: Template): Promise<number> =>
    (await client.call("C_GenerateKey", session, mechanism(CKM.DES3_KEY_GEN), [...template]))[0];
  const uses = async (key: number, ...types: readonly number[]): Promise<readonly boolean[]> => {
    const values = [];
    for (const type of types) values.push((await read(key, type)) === 1);
    return values;
  };
  const SECRET_USES = [CKA.ENCRYPT, CKA.DECRYPT, CKA.SIGN, CKA.VERIFY, CKA.WRAP, CKA.UNWRAP, CKA.DERIVE] as const;

  test("a secret key of which nothing is said does all but derive", async () => {
    assert.deepEqual(await uses(await des3(), ...SECRET_USES), [true, true, true, true, true, true, false]);
  });

  test("a secret key that encrypts decrypts, too, and what signs verifies, unless that is denied", async () => {
    const cipher = await des3(attribute(CKA.ENCRYPT, true));
    assert.deepEqual(await uses(cipher, ...SECRET_USES), [true, true, false, false, false, false, false]);
    const check = await des3(attribute(CKA.VERIFY, true));
    assert.deepEqual(await uses(check, ...SECRET_USES), [false, false, true, true, false, false, false]);
    const oneWay = await des3(attribute(CKA.ENCRYPT, true), attribute(CKA.DECRYPT, false));
    assert.deepEqual(await uses(oneWay, ...SECRET_USES), [true, false, false, false, false, false, false]);
    assert.equal(
      await client.rv("C_DecryptInit", session, mechanism(CKM.DES3_ECB), oneWay),
      CKR.KEY_FUNCTION_NOT_PERMITTED,
    );
  });

  test("a public key that wraps verifies, too; a private key does what its template names", async () => {
    const [publicKey, privateKey] = await client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      [attribute(CKA.MODULUS_BITS, 1024), attribute(CKA.WRAP, true)],
      [attribute(CKA.UNWRAP, true)],
    );
    const types = [CKA.ENCRYPT, CKA.VERIFY, CKA.VERIFY_RECOVER, CKA.WRAP, CKA.DERIVE];
    assert.deepEqual(await uses(publicKey, ...types), [true, true, true, true, false]);
    const own = [CKA.DECRYPT, CKA.SIGN, CKA.SIGN_RECOVER, CKA.UNWRAP];
    assert.deepEqual(await uses(privateKey, ...own), [false, false, false, true]);
  });

  test("the length of a DES key may be said where it is true", async () => {
    assert.ok((await des3(attribute(CKA.VALUE_LEN, 24))) > 0);
    assert.equal(
      await client.rv("C_GenerateKey", session, mechanism(CKM.DES3_KEY_GEN), [attribute(CKA.VALUE_LEN, 16)]),
      CKR.TEMPLATE_INCONSISTENT,
    );
  });

  test("the range that RSA mechanisms name holds for every key; a session key may be smaller", async () => {
    for (const type of [CKM.RSA_PKCS_KEY_PAIR_GEN, CKM.RSA_PKCS, CKM.SHA256_RSA_PKCS, CKM.RSA_PKCS_OAEP]) {
      const [smallest, largest] = await client.call("C_GetMechanismInfo", 0, type);
      assert.deepEqual([smallest, largest], [2048, 4096]);
    }
    const pair = (bits: number, token: boolean): Promise<number> =>
      client.rv(
        "C_GenerateKeyPair",
        session,
        mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
        [attribute(CKA.MODULUS_BITS, bits)],
        [attribute(CKA.TOKEN, token)],
      );
    assert.equal(await pair(1536, true), CKR.ATTRIBUTE_VALUE_INVALID);
    assert.equal(await pair(1536, false), CKR.OK);
    assert.equal(await pair(1016, false), CKR.ATTRIBUTE_VALUE_INVALID);
  });

  test("the scalar of an EC key may begin with zeros, as a Big integer may", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const scalar = fromBase64Url(privateKey.export({ format: "jwk" }).d ?? "");
    const [key] = await client.call("C_CreateObject", session, [
      attribute(CKA.CLASS, CKO.PRIVATE_KEY),
      attribute(CKA.KEY_TYPE, CKK.EC),
      attribute(CKA.EC_PARAMS, Uint8Array.fromHex("06082a8648ce3d030107")),
      attribute(CKA.VALUE, concat(new Uint8Array(1), scalar)),
    ]);
    const text = toUtf8("text");
    await client.call("C_SignInit", session, mechanism(CKM.ECDSA_SHA256), key);
    const [signature] = await client.call("C_Sign", session, text, 64);
    assert.ok(verify("sha256", text, { key: publicKey, dsaEncoding: "ieee-p1363" }, signature as Uint8Array));
  });
});
