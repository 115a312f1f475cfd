// Attribute values and mechanism parameters that are wrongly encoded: each call is answered, and what is right goes on working.
import assert from "node:assert/strict";
import { createECDH, generateKeyPairSync } from "node:crypto";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import {
  CKA,
  CKC,
  CKG,
  CKK,
  CKM,
  CKO,
  CKR,
  CKU,
  wireClass,
  type Attribute,
  type CallName,
  type Mechanism,
  type MechanismParameter,
  type RequestSignature,
  type RequestValues,
} from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, P256, pkcs11Bench, RW, TestClient, type Pkcs11Bench } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

/** No call here does slow work, so who waits this long waits for ever. */
const DEADLINE_MS = 20_000;

type Template = readonly Attribute[];

const jwk = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey.export({ format: "jwk" });
const part = (text = ""): Uint8Array => Uint8Array.fromBase64(text, { alphabet: "base64url" });
const ecdh = createECDH("prime256v1");
const point = new Uint8Array(ecdh.generateKeys());
const scalar = new Uint8Array(ecdh.getPrivateKey());

const TEMPLATES: Readonly<Record<string, Template>> = {
  secret: [
    attribute(CKA.CLASS, CKO.SECRET_KEY),
    attribute(CKA.KEY_TYPE, CKK.AES),
    attribute(CKA.VALUE, new Uint8Array(16)),
    attribute(CKA.VALUE_LEN, 16),
    attribute(CKA.SENSITIVE, false),
    attribute(CKA.START_DATE, toUtf8("20260101")),
    attribute(CKA.CHECK_VALUE, Uint8Array.fromHex("66e94b")),
    attribute(CKA.ALLOWED_MECHANISMS, [CKM.AES_ECB]),
    attribute(CKA.WRAP_TEMPLATE, [attribute(CKA.TOKEN, false)]),
  ],
  "RSA private": [
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
    attribute(CKA.SUBJECT, new Uint8Array(3)),
  ],
  "RSA public": [
    attribute(CKA.CLASS, CKO.PUBLIC_KEY),
    attribute(CKA.KEY_TYPE, CKK.RSA),
    attribute(CKA.MODULUS, part(jwk.n)),
    attribute(CKA.MODULUS_BITS, 1024),
    attribute(CKA.PUBLIC_EXPONENT, part(jwk.e)),
  ],
  "EC private": [
    attribute(CKA.CLASS, CKO.PRIVATE_KEY),
    attribute(CKA.KEY_TYPE, CKK.EC),
    attribute(CKA.EC_PARAMS, P256),
    attribute(CKA.VALUE, scalar),
    attribute(CKA.END_DATE, toUtf8("20300101")),
  ],
  "EC public": [
    attribute(CKA.CLASS, CKO.PUBLIC_KEY),
    attribute(CKA.KEY_TYPE, CKK.EC),
    attribute(CKA.EC_PARAMS, P256),
    attribute(CKA.EC_POINT, Uint8Array.of(4, 65, ...point)),
  ],
  certificate: [
    attribute(CKA.CLASS, CKO.CERTIFICATE),
    attribute(CKA.CERTIFICATE_TYPE, CKC.X_509),
    attribute(CKA.SUBJECT, new Uint8Array([0x30, 0])),
    attribute(CKA.VALUE, new Uint8Array([0x30, 0])),
    attribute(CKA.CERTIFICATE_CATEGORY, 0),
  ],
  data: [attribute(CKA.CLASS, CKO.DATA), attribute(CKA.VALUE, toUtf8("x")), attribute(CKA.OBJECT_ID, toUtf8("x"))],
};

const BYTES: readonly Uint8Array[] = [
  new Uint8Array(0),
  Uint8Array.of(0),
  Uint8Array.of(4, 0x84),
  Uint8Array.of(4, 0x84, 0xff, 0xff, 0xff, 0xff),
  Uint8Array.of(0x13, 0xff, 0x41),
  Uint8Array.of(6, 0x80, 0),
  Uint8Array.of(0x30, 0x80),
  Uint8Array.of(0x30, 0x82, 0xff, 0xff, 0),
  new Uint8Array(15).fill(0xff),
  new Uint8Array(65).fill(4),
  Uint8Array.of(4, 65, 4, ...new Uint8Array(64)),
  Uint8Array.of(4, 0x81, 65, ...point),
  new Uint8Array(127).fill(0xff),
  new Uint8Array(128),
  new Uint8Array(512).fill(0xff),
  new Uint8Array(5000).fill(7),
  new Uint8Array(1024 * 1024).fill(0x41),
];
const ULONGS = [0, 1, 3, 17, 0xffff, 0x80000000, 0xffffffff, 2 ** 53, 2 ** 64];

/** What a client may make of one attribute: other values, lengths that do not fit, and none at all. */
function spoiled({ type, value }: Attribute): Attribute[] {
  const none: Attribute = { type, value: undefined, length: -1 };
  switch (wireClass(type)) {
    case "byte":
      return [none, ...[0, 2, 8].map((length) => ({ type, value: 1, length })), { type, value: 0xff, length: 1 }];
    case "ulong":
      return [
        none,
        ...[0, 1, 4, 7, 9, 0xffffffff].map((length) => ({ type, value: value ?? 0, length })),
        ...ULONGS.map((other) => attribute(type, other)),
      ];
    case "mechanisms":
      return [none, attribute(type, []), attribute(type, [0, 2 ** 64]), { type, value: [1], length: 3 }];
    case "template":
      return [none, attribute(type, []), attribute(type, [none]), attribute(type, [attribute(type, [])])];
    case "bytes": {
      const whole = value as Uint8Array;
      const cuts = [whole.subarray(0, -1), whole.subarray(1), Uint8Array.of(0, ...whole), Uint8Array.of(...whole, 0)];
      return [none, ...[...cuts, ...BYTES].map((other) => attribute(type, other))];
    }
  }
}

const said = (name: string, values: readonly unknown[]): string =>
  `${name}: ${JSON.stringify(values, (_key, value: unknown) => (value instanceof Uint8Array ? value.subarray(0, 200).toHex() : value))}`;

const bytes = (value: Uint8Array): MechanismParameter => ({ kind: "bytes", bytes: value });
const odd = [0, 1, 12, 15, 17, 513, 5000].map((length) => new Uint8Array(length).fill(0xff));
const MECHANISMS: readonly Mechanism[] = [
  ...[CKM.AES_CBC, CKM.AES_CBC_PAD, CKM.DES3_CBC, CKM.AES_CFB8].flatMap((type) => [
    mechanism(type),
    ...odd.map((iv) => mechanism(type, bytes(iv))),
  ]),
  ...ULONGS.flatMap((value) => [
    mechanism(CKM.AES_CTR, { kind: "ctr", bits: value, block: new Uint8Array(16) }),
    mechanism(CKM.SHA256_HMAC_GENERAL, { kind: "ulong", value }),
    mechanism(CKM.RSA_PKCS_PSS, { kind: "pss", hash: value, mgf: value, saltLength: value }),
    mechanism(CKM.RSA_PKCS_PSS, { kind: "pss", hash: CKM.SHA256, mgf: CKG.MGF1_SHA256, saltLength: value }),
    mechanism(CKM.RSA_PKCS_OAEP, {
      kind: "oaep",
      hash: CKM.SHA256,
      mgf: value,
      source: value,
      label: new Uint8Array(0),
    }),
    mechanism(CKM.AES_GCM, {
      kind: "gcm",
      iv: new Uint8Array(12),
      ivBits: value,
      aad: new Uint8Array(0),
      tagBits: value,
    }),
    mechanism(CKM.ECDH1_DERIVE, { kind: "ecdh", kdf: value, shared: new Uint8Array(3), peer: point }),
  ]),
  ...[...odd, ...BYTES].flatMap((peer) => [
    mechanism(CKM.ECDH1_DERIVE, { kind: "ecdh", kdf: 1, shared: new Uint8Array(0), peer }),
    mechanism(CKM.AES_GCM, { kind: "gcm", iv: peer, ivBits: 96, aad: peer, tagBits: 128 }),
    mechanism(CKM.AES_CTR, { kind: "ctr", bits: 128, block: peer }),
  ]),
  // Parameters where there is none, and mechanisms that nobody knows.
  ...[CKM.RSA_PKCS, CKM.SHA256, CKM.ECDSA, CKM.AES_ECB, 0x80001234, 0xfffffffe].flatMap((type) => [
    mechanism(type),
    mechanism(type, bytes(new Uint8Array(3))),
  ]),
];

for (const version of [0, 2] as const) {
  describe(`wrongly encoded values, version ${version}`, () => {
    let bench: Pkcs11Bench;
    let client: TestClient;
    let session: number;
    before(async () => {
      bench = await pkcs11Bench((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
    });
    after(() => bench[Symbol.asyncDispose]());
    beforeEach(async () => {
      client = await TestClient.open(bench.socketPath, { version });
      [session] = await client.call("C_OpenSession", 0, RW);
      await client.call("C_Login", session, CKU.USER, toUtf8(bench.adminToken));
    });
    afterEach(() => client[Symbol.asyncDispose]());

    /** The return value, which must come. */
    const answered = async <N extends CallName>(
      name: N,
      ...values: RequestValues<RequestSignature<N>>
    ): Promise<number> => {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`not answered: ${said(name, values)}`)), DEADLINE_MS);
      });
      const rv = await Promise.race([client.rv(name, ...values), late]).finally(() => clearTimeout(timer));
      if (rv === CKR.GENERAL_ERROR) assert.fail(said(name, values));
      return rv;
    };
    const replaced = (template: Template, at: number, by: Attribute): Template =>
      template.map((given, i) => (i === at ? by : given));
    const forEachSpoiled = async (template: Template, use: (next: Template) => Promise<unknown>): Promise<void> => {
      for (const [at, given] of template.entries()) {
        for (const by of spoiled(given)) await use(replaced(template, at, by));
        await use(template.filter((_given, i) => i !== at));
      }
    };

    test("templates of new objects", { timeout: 300_000 }, async () => {
      for (const [name, template] of Object.entries(TEMPLATES)) {
        assert.equal(await answered("C_CreateObject", session, template), CKR.OK, name);
        await forEachSpoiled(template, (next) => answered("C_CreateObject", session, next));
      }
    });

    test("templates of keys that are made, unwrapped and derived, and of searches", { timeout: 300_000 }, async () => {
      const pair: Template = [attribute(CKA.EC_PARAMS, P256), attribute(CKA.LABEL, "x"), attribute(CKA.ID, "x")];
      const generated = mechanism(CKM.EC_KEY_PAIR_GEN);
      await forEachSpoiled(pair, (next) => answered("C_GenerateKeyPair", session, generated, next, []));
      await forEachSpoiled(pair.slice(1), (next) => answered("C_GenerateKeyPair", session, generated, pair, next));
      const aes = [attribute(CKA.VALUE_LEN, 16), attribute(CKA.START_DATE, "20260101")];
      await forEachSpoiled(aes, (next) => answered("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), next));
      const secret = TEMPLATES["secret"] ?? [];
      const [key] = await client.call("C_CreateObject", session, secret.slice(0, 3));
      const wanted = [...secret.slice(0, 2), attribute(CKA.VALUE_LEN, 16)];
      for (const length of [0, 1, 15, 16, 24, 5000]) {
        const wrapped = new Uint8Array(length).fill(length);
        await answered("C_UnwrapKey", session, mechanism(CKM.AES_ECB), key, wrapped, wanted);
      }
      await forEachSpoiled(wanted, (next) =>
        answered("C_UnwrapKey", session, mechanism(CKM.AES_ECB), key, new Uint8Array(16), next),
      );
      const [base] = await client.call("C_CreateObject", session, [
        ...(TEMPLATES["EC private"] ?? []),
        attribute(CKA.DERIVE, true),
      ]);
      const agree = mechanism(CKM.ECDH1_DERIVE, { kind: "ecdh", kdf: 1, shared: new Uint8Array(0), peer: point });
      await forEachSpoiled(wanted, (next) => answered("C_DeriveKey", session, agree, base, next));
      for (const template of Object.values(TEMPLATES)) {
        await forEachSpoiled(template, async (next) => {
          if ((await answered("C_FindObjectsInit", session, next)) === CKR.OK) {
            await answered("C_FindObjects", session, 10);
            await answered("C_FindObjectsFinal", session);
          }
        });
      }
    });

    test("parameters of mechanisms", { timeout: 300_000 }, async () => {
      const keys: number[] = [];
      for (const template of Object.values(TEMPLATES).slice(0, 5)) {
        const [key] = await client.call("C_CreateObject", session, template);
        keys.push(key);
      }
      const data = new Uint8Array(32);
      const one = [attribute(CKA.CLASS, CKO.SECRET_KEY), attribute(CKA.KEY_TYPE, CKK.GENERIC_SECRET)];
      for (const given of MECHANISMS) {
        if ((await answered("C_DigestInit", session, given)) === CKR.OK) await answered("C_Digest", session, data, 64);
        for (const key of keys) {
          if ((await answered("C_SignInit", session, given, key)) === CKR.OK)
            await answered("C_Sign", session, data, 512);
          if ((await answered("C_VerifyInit", session, given, key)) === CKR.OK)
            await answered("C_Verify", session, data, data);
          if ((await answered("C_EncryptInit", session, given, key)) === CKR.OK)
            await answered("C_Encrypt", session, data, 512);
          if ((await answered("C_DecryptInit", session, given, key)) === CKR.OK)
            await answered("C_Decrypt", session, data, 512);
          await answered("C_WrapKey", session, given, key, keys[0] ?? 0, 512);
          await answered("C_UnwrapKey", session, given, key, data, one);
          await answered("C_DeriveKey", session, given, key, one);
        }
        await answered("C_GenerateKey", session, given, one);
        await answered("C_GenerateKeyPair", session, given, [], []);
      }
    });
  });
}
