import assert from "node:assert/strict";
import { constants, createPublicKey, generateKeyPairSync, publicEncrypt, randomBytes, verify } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKF, CKG, CKK, CKM, CKO, CKR, CKU, type MechanismParameter } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, pkcs11Bench, TestClient, type Pkcs11Bench } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const P256 = Uint8Array.fromHex("06082a8648ce3d030107");
const ED25519 = Uint8Array.fromHex("06032b6570");
type Template = readonly ReturnType<typeof attribute>[];

const OPEN: Template = [attribute(CKA.SENSITIVE, false), attribute(CKA.EXTRACTABLE, true)];
const OAEP = { kind: "oaep", hash: CKM.SHA_1, mgf: CKG.MGF1_SHA1, source: 1, label: toUtf8("label") } as const;
const part = (text: string | undefined): Uint8Array => new Uint8Array(Buffer.from(text ?? "", "base64url"));

/** How session keys come, go, and get into devices. */
describe("session keys on their way", () => {
  let bench: Pkcs11Bench;
  let client: TestClient;
  let session: number;
  before(async () => {
    bench = await pkcs11Bench((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
    client = await TestClient.open(bench.socketPath, { version: 2 });
    [session] = await client.call("C_OpenSession", 1, CKF.SERIAL_SESSION | CKF.RW_SESSION);
    await client.call("C_Login", session, CKU.USER, toUtf8(bench.adminToken));
  });
  after(async () => {
    await client[Symbol.asyncDispose]();
    await bench[Symbol.asyncDispose]();
  });

  const generate = async (type: number, ...template: Template): Promise<number> =>
    (await client.call("C_GenerateKey", session, mechanism(type), [...OPEN, ...template]))[0];
  const pair = (type: number, publicPart: Template, privatePart: Template) =>
    client.call("C_GenerateKeyPair", session, mechanism(type), publicPart, [...OPEN, ...privatePart]);
  const rsaPair = (publicPart: Template, privatePart: Template) =>
    pair(CKM.RSA_PKCS_KEY_PAIR_GEN, [attribute(CKA.MODULUS_BITS, 2048), ...publicPart], privatePart);
  const read = async (object: number, ...types: number[]): Promise<string> => {
    const buffers = types.map((type) => ({ type, capacity: 4096 }));
    const [found, rv] = await client.call("C_GetAttributeValue", session, object, buffers);
    assert.equal(rv, CKR.OK);
    return found.map(({ value }) => (value as Uint8Array).toHex()).join();
  };
  const sign = async (type: number, key: number, data: Uint8Array, parameter?: MechanismParameter) => {
    await client.call("C_SignInit", session, mechanism(type, parameter), key);
    return (await client.call("C_Sign", session, data, 1024))[0] as Uint8Array;
  };
  const publicKeyOf = async (object: number) => {
    const [[info]] = await client.call("C_GetAttributeValue", session, object, [
      { type: CKA.PUBLIC_KEY_INFO, capacity: 4096 },
    ]);
    return createPublicKey({ key: Buffer.from(info?.value as Uint8Array), format: "der", type: "spki" });
  };

  const iv = (bytes: number): MechanismParameter => ({ kind: "bytes", bytes: new Uint8Array(bytes) });
  const wraps: Template = [attribute(CKA.WRAP, true), attribute(CKA.UNWRAP, true)];

  for (const [name, keyGen, size, mode, block] of [
    ["AES", CKM.AES_KEY_GEN, 32, CKM.AES_CBC_PAD, 16],
    ["3DES", CKM.DES3_KEY_GEN, undefined, CKM.DES3_CBC_PAD, 8],
    ["single DES", CKM.DES_KEY_GEN, undefined, CKM.DES_CBC_PAD, 8],
  ] as const) {
    test(`secrets and private keys under a session key of ${name} come back as they were`, async () => {
      const length = size === undefined ? [] : [attribute(CKA.VALUE_LEN, size)];
      const wrapping = await generate(keyGen, ...wraps, ...length);
      const how = mechanism(mode, iv(block));
      const secret = await generate(CKM.GENERIC_SECRET_KEY_GEN, attribute(CKA.VALUE_LEN, 77));
      const [, ec] = await pair(CKM.EC_KEY_PAIR_GEN, [attribute(CKA.EC_PARAMS, P256)], []);
      const [, ed] = await pair(CKM.EC_EDWARDS_KEY_PAIR_GEN, [attribute(CKA.EC_PARAMS, ED25519)], []);
      const [, rsa] = await rsaPair([], []);
      for (const [target, objectClass, keyType, types] of [
        [secret, CKO.SECRET_KEY, CKK.GENERIC_SECRET, [CKA.VALUE]],
        [ec, CKO.PRIVATE_KEY, CKK.EC, [CKA.VALUE, CKA.EC_PARAMS]],
        [ed, CKO.PRIVATE_KEY, CKK.EC_EDWARDS, [CKA.VALUE, CKA.EC_PARAMS]],
        [rsa, CKO.PRIVATE_KEY, CKK.RSA, [CKA.PRIVATE_EXPONENT, CKA.PRIME_1, CKA.COEFFICIENT, CKA.MODULUS]],
      ] as const) {
        const [wrapped] = await client.call("C_WrapKey", session, how, wrapping, target, 4096);
        const template = [...OPEN, attribute(CKA.CLASS, objectClass), attribute(CKA.KEY_TYPE, keyType)];
        const unwrap = (bytes: Uint8Array, asked: Template = template) =>
          client.rv("C_UnwrapKey", session, how, wrapping, bytes, [...asked]);
        const [back] = await client.call("C_UnwrapKey", session, how, wrapping, wrapped as Uint8Array, template);
        assert.equal(await read(back, ...types), await read(target, ...types));
        assert.equal(await unwrap((wrapped as Uint8Array).subarray(1)), CKR.WRAPPED_KEY_LEN_RANGE);
        assert.equal(await unwrap(new Uint8Array(0)), CKR.WRAPPED_KEY_LEN_RANGE);
        if (objectClass === CKO.PRIVATE_KEY) {
          const wrong = [...OPEN, attribute(CKA.CLASS, objectClass), attribute(CKA.KEY_TYPE, CKK.EC_MONTGOMERY)];
          assert.equal(await unwrap(wrapped as Uint8Array, wrong), CKR.WRAPPED_KEY_INVALID, "another type");
          const damaged = (wrapped as Uint8Array).slice();
          damaged[0] = (damaged[0] ?? 0) ^ 0xff;
          assert.equal(await unwrap(damaged), CKR.WRAPPED_KEY_INVALID);
        }
      }
      const long = [...OPEN, attribute(CKA.CLASS, CKO.SECRET_KEY), attribute(CKA.KEY_TYPE, CKK.GENERIC_SECRET)];
      const [wrapped] = await client.call("C_WrapKey", session, how, wrapping, secret, 4096);
      assert.equal(
        await client.rv("C_UnwrapKey", session, how, wrapping, wrapped as Uint8Array, [
          ...long,
          attribute(CKA.VALUE_LEN, 78),
        ]),
        CKR.TEMPLATE_INCONSISTENT,
      );
    });
  }

  test("secrets under an RSA session key, with any hash and label", async () => {
    const [publicKey, privateKey] = await rsaPair([attribute(CKA.WRAP, true)], [attribute(CKA.UNWRAP, true)]);
    const secret = await generate(CKM.AES_KEY_GEN, attribute(CKA.VALUE_LEN, 32));
    const template = [...OPEN, attribute(CKA.CLASS, CKO.SECRET_KEY), attribute(CKA.KEY_TYPE, CKK.AES)];
    for (const how of [mechanism(CKM.RSA_PKCS), mechanism(CKM.RSA_PKCS_OAEP, OAEP)]) {
      const [wrapped] = await client.call("C_WrapKey", session, how, publicKey, secret, 4096);
      const [back] = await client.call("C_UnwrapKey", session, how, privateKey, wrapped as Uint8Array, template);
      assert.equal(await read(back, CKA.VALUE), await read(secret, CKA.VALUE));
    }
    const how = mechanism(CKM.RSA_PKCS_OAEP, OAEP);
    const damaged = new Uint8Array(256).fill(1);
    assert.equal(await client.rv("C_UnwrapKey", session, how, privateKey, damaged, template), CKR.WRAPPED_KEY_INVALID);
    const big = await generate(CKM.GENERIC_SECRET_KEY_GEN, attribute(CKA.VALUE_LEN, 300));
    assert.equal(await client.rv("C_WrapKey", session, how, publicKey, big, 4096), CKR.KEY_SIZE_RANGE);
  });

  test("a key that is not extractable is wrapped by nobody, and shows nothing, nor do its copies", async () => {
    const wrapping = await generate(CKM.AES_KEY_GEN, attribute(CKA.VALUE_LEN, 32), ...wraps);
    const [shut] = await client.call("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), [
      attribute(CKA.VALUE_LEN, 16),
      attribute(CKA.EXTRACTABLE, false),
    ]);
    const how = mechanism(CKM.AES_CBC_PAD, iv(16));
    const hidden = (object: number) =>
      client.call("C_GetAttributeValue", session, object, [{ type: CKA.VALUE, capacity: 100 }]).then(([, rv]) => rv);
    const [copy] = await client.call("C_CopyObject", session, shut, []);
    for (const object of [shut, copy]) {
      assert.equal(await client.rv("C_WrapKey", session, how, wrapping, object, 100), CKR.KEY_UNEXTRACTABLE);
      assert.equal(await hidden(object), CKR.ATTRIBUTE_SENSITIVE);
    }
    const open = await generate(CKM.AES_KEY_GEN, attribute(CKA.VALUE_LEN, 16));
    const [second] = await client.call("C_CopyObject", session, open, [attribute(CKA.SENSITIVE, true)]);
    assert.equal(await hidden(second), CKR.ATTRIBUTE_SENSITIVE);
    assert.equal(await hidden(open), CKR.OK);
    await client.call("C_DestroyObject", session, open);
    await client.call("C_WrapKey", session, how, wrapping, second, 100);
  });

  test("a value that an application brings becomes a device key that does what the value does", async () => {
    const token: Template = [attribute(CKA.TOKEN, true), attribute(CKA.SIGN, true)];
    const message = toUtf8("message");
    const hmac = new Uint8Array(randomBytes(32));
    const secret: Template = [attribute(CKA.CLASS, CKO.SECRET_KEY), attribute(CKA.KEY_TYPE, CKK.GENERIC_SECRET)];
    const [inDevice] = await client.call("C_CreateObject", session, [...secret, ...token, attribute(CKA.VALUE, hmac)]);
    const [inSession] = await client.call("C_CreateObject", session, [...secret, attribute(CKA.VALUE, hmac)]);
    assert.deepEqual(await sign(CKM.SHA256_HMAC, inDevice, message), await sign(CKM.SHA256_HMAC, inSession, message));
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const ecTemplate: Template = [
      attribute(CKA.CLASS, CKO.PRIVATE_KEY),
      attribute(CKA.KEY_TYPE, CKK.EC),
      attribute(CKA.EC_PARAMS, P256),
      attribute(CKA.VALUE, part(ec.privateKey.export({ format: "jwk" }).d)),
    ];
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const jwk = rsa.privateKey.export({ format: "jwk" });
    const rsaTemplate: Template = [
      attribute(CKA.CLASS, CKO.PRIVATE_KEY),
      attribute(CKA.KEY_TYPE, CKK.RSA),
      attribute(CKA.MODULUS, part(jwk.n)),
      attribute(CKA.PUBLIC_EXPONENT, part(jwk.e)),
      attribute(CKA.PRIVATE_EXPONENT, part(jwk.d)),
      attribute(CKA.PRIME_1, part(jwk.p)),
      attribute(CKA.PRIME_2, part(jwk.q)),
      attribute(CKA.EXPONENT_1, part(jwk.dp)),
      attribute(CKA.EXPONENT_2, part(jwk.dq)),
      attribute(CKA.COEFFICIENT, part(jwk.qi)),
    ];
    const PRIMES: ReadonlySet<number> = new Set([
      CKA.PRIME_1,
      CKA.PRIME_2,
      CKA.EXPONENT_1,
      CKA.EXPONENT_2,
      CKA.COEFFICIENT,
    ]);
    const withoutPrimes = rsaTemplate.filter(({ type }) => !PRIMES.has(type));
    for (const where of [[], token] as const) {
      const [bare] = await client.call("C_CreateObject", session, [...withoutPrimes, ...where]);
      assert.ok(verify("sha256", message, rsa.publicKey, await sign(CKM.SHA256_RSA_PKCS, bare, message)));
    }
    const withoutExponent = withoutPrimes.filter(({ type }) => type !== CKA.PUBLIC_EXPONENT);
    const [found] = await client.call("C_CreateObject", session, withoutExponent);
    assert.equal(await read(found, CKA.PUBLIC_EXPONENT), "010001");
    assert.ok(verify("sha256", message, rsa.publicKey, await sign(CKM.SHA256_RSA_PKCS, found, message)));
    const odd = generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 65_539 }).privateKey;
    const { n, d } = odd.export({ format: "jwk" });
    const unusual = withoutExponent.map((given) =>
      given.type === CKA.MODULUS || given.type === CKA.PRIVATE_EXPONENT
        ? attribute(given.type, part(given.type === CKA.MODULUS ? n : d))
        : given,
    );
    assert.equal(await client.rv("C_CreateObject", session, unusual), CKR.TEMPLATE_INCOMPLETE);
    const wrongExponent = withoutPrimes.map((given) =>
      given.type === CKA.PUBLIC_EXPONENT ? attribute(CKA.PUBLIC_EXPONENT, Uint8Array.of(3)) : given,
    );
    assert.equal(await client.rv("C_CreateObject", session, wrongExponent), CKR.ATTRIBUTE_VALUE_INVALID);
    for (const where of [[], token] as const) {
      const [ecKey] = await client.call("C_CreateObject", session, [...ecTemplate, ...where]);
      const signature = await sign(CKM.ECDSA_SHA256, ecKey, message);
      assert.ok(verify("sha256", message, { key: ec.publicKey, dsaEncoding: "ieee-p1363" }, signature));
      const [rsaKey] = await client.call("C_CreateObject", session, [...rsaTemplate, ...where]);
      assert.ok(verify("sha256", message, rsa.publicKey, await sign(CKM.SHA256_RSA_PKCS, rsaKey, message)));
    }
    const [, rv] = await client.call("C_GetAttributeValue", session, inDevice, [{ type: CKA.VALUE, capacity: 100 }]);
    assert.equal(rv, CKR.ATTRIBUTE_SENSITIVE);
    const broken = rsaTemplate.map((given) =>
      given.type === CKA.MODULUS ? attribute(CKA.MODULUS, new Uint8Array(3)) : given,
    );
    assert.equal(await client.rv("C_CreateObject", session, broken), CKR.ATTRIBUTE_VALUE_INVALID);
  });

  test("a session key is copied, derived and unwrapped into the device", async () => {
    const message = toUtf8("message");
    const session32 = [attribute(CKA.VALUE_LEN, 32), attribute(CKA.SIGN, true)];
    const secret = await generate(CKM.GENERIC_SECRET_KEY_GEN, ...session32, attribute(CKA.DERIVE, true));
    const [copied] = await client.call("C_CopyObject", session, secret, [attribute(CKA.TOKEN, true)]);
    assert.deepEqual(await sign(CKM.SHA256_HMAC, copied, message), await sign(CKM.SHA256_HMAC, secret, message));
    for (const type of [CKA.LOCAL, CKA.ALWAYS_SENSITIVE, CKA.NEVER_EXTRACTABLE]) {
      const [[found]] = await client.call("C_GetAttributeValue", session, copied, [{ type, capacity: 1 }]);
      assert.equal(found?.value, 0, "it was brought into the device");
    }

    const derivation = mechanism(CKM.SHA256_KEY_DERIVATION);
    const template: Template = [attribute(CKA.KEY_TYPE, CKK.GENERIC_SECRET), attribute(CKA.SIGN, true)];
    const [here] = await client.call("C_DeriveKey", session, derivation, secret, [...template]);
    const token = attribute(CKA.TOKEN, true);
    const [there] = await client.call("C_DeriveKey", session, derivation, secret, [...template, token]);
    assert.deepEqual(await sign(CKM.SHA256_HMAC, there, message), await sign(CKM.SHA256_HMAC, here, message));

    const wrapping = await generate(CKM.AES_KEY_GEN, attribute(CKA.VALUE_LEN, 32), ...wraps);
    const how = mechanism(CKM.AES_CBC_PAD, iv(16));
    const [publicKey, ec] = await pair(CKM.EC_KEY_PAIR_GEN, [attribute(CKA.EC_PARAMS, P256)], []);
    const [wrapped] = await client.call("C_WrapKey", session, how, wrapping, ec, 4096);
    const [unwrapped] = await client.call("C_UnwrapKey", session, how, wrapping, wrapped as Uint8Array, [
      attribute(CKA.CLASS, CKO.PRIVATE_KEY),
      attribute(CKA.KEY_TYPE, CKK.EC),
      attribute(CKA.SIGN, true),
      token,
    ]);
    const signature = await sign(CKM.ECDSA_SHA256, unwrapped, message);
    const key = await publicKeyOf(publicKey);
    assert.ok(verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature));
    const held = (await bench.sessionKeys.call("status", {})).keys;
    await client.call("C_CopyObject", session, secret, [attribute(CKA.TOKEN, true)]);
    assert.equal((await bench.sessionKeys.call("status", {})).keys, held, "nothing stays behind on the way");
  });

  test("RSA session keys sign with any padding and decrypt with any", async () => {
    const [publicKey, privateKey] = await rsaPair([], [attribute(CKA.SIGN, true), attribute(CKA.DECRYPT, true)]);
    const key = await publicKeyOf(publicKey);
    const message = toUtf8("message");
    const pss = { kind: "pss", hash: CKM.SHA384, mgf: CKG.MGF1_SHA384, saltLength: 7 } as const;
    const signature = await sign(CKM.SHA384_RSA_PKCS_PSS, privateKey, message, pss);
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    assert.ok(verify("sha384", message, { key, padding, saltLength: 7 }, signature));
    assert.ok(verify("md5", message, key, await sign(CKM.MD5_RSA_PKCS, privateKey, message)));
    const decrypt = async (type: number, data: Uint8Array, parameter?: MechanismParameter) => {
      await client.call("C_DecryptInit", session, mechanism(type, parameter), privateKey);
      return ((await client.call("C_Decrypt", session, data, 1024))[0] as Uint8Array).toHex();
    };
    const pkcs1 = publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, message);
    assert.equal(await decrypt(CKM.RSA_PKCS, pkcs1), message.toHex());
    const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1", oaepLabel: toUtf8("label") };
    assert.equal(await decrypt(CKM.RSA_PKCS_OAEP, publicEncrypt({ key, ...oaep }, message), OAEP), message.toHex());
    const block = new Uint8Array(256).fill(2);
    const raw = publicEncrypt({ key, padding: constants.RSA_NO_PADDING }, block);
    assert.equal(await decrypt(CKM.RSA_X_509, raw), block.toHex());
    await client.call("C_DecryptInit", session, mechanism(CKM.RSA_PKCS_OAEP, OAEP), privateKey);
    assert.equal(await client.rv("C_Decrypt", session, pkcs1, 1024), CKR.ENCRYPTED_DATA_INVALID);
    await client.call("C_DecryptInit", session, mechanism(CKM.RSA_PKCS_OAEP, OAEP), privateKey);
    assert.equal(await client.rv("C_Decrypt", session, pkcs1.subarray(1), 1024), CKR.ENCRYPTED_DATA_LEN_RANGE);
    const above = new Uint8Array(256).fill(0xff);
    await client.call("C_SignInit", session, mechanism(CKM.RSA_X_509), privateKey);
    assert.equal(await client.rv("C_Sign", session, above, 1024), CKR.DATA_INVALID);
  });
});
