// Attribute types that nobody here knows are refused or left out by name, whatever a client's encoding of them.
import assert from "node:assert/strict";
import { createECDH } from "node:crypto";
import { describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { Writer } from "@casemate/foundation/codec";
import { callNamed, CKA, CKK, CKM, CKO, CKR, CKU, decodeRequest, type Attribute } from "@casemate/protocols/p11-rpc";
import { attribute, KEY, mechanism, openLoggedIn, P256, RW, TestClient } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const VENDOR = 0x80000000;
/** Of IBM, as p11-kit 0.25 and later carry them: as one byte, as a number, as bytes; then types that no table has. */
const ONE_BYTE = [0x10001, 0x10002, 0x10003, 0x10004, 0x10008, 0x1000c, 0x1000d].map((type) => VENDOR + type);
const NUMBERS = [0x10005, 0x1000a, 0xd0001].map((type) => VENDOR + type);
const AS_BYTES = [1, 0x10006, 0x10007, 0x10009, 0xd0002, 0x123456].map((type) => VENDOR + type).concat(0x7abc, 0x633);

/** A request for C_CreateObject whose template holds one attribute as it stands on the wire, then CKA_ENCRYPT. */
function withRaw(session: number, type: number, length: number, value: Uint8Array): Uint8Array {
  const body = new Writer();
  const { id, request } = callNamed("C_CreateObject");
  for (const word of [id, request.length]) body.u32(word);
  body.raw(toUtf8(request));
  for (const word of [0, session, 2, type]) body.u32(word);
  body.u8(1);
  body.u32(length);
  body.raw(value);
  body.u32(CKA.ENCRYPT);
  body.u8(1);
  body.u32(1);
  body.u8(1);
  return body.finish();
}
const encodings: readonly (readonly [number, number, string])[] = [
  ...ONE_BYTE.map((type) => [type, 1, "01"] as const),
  ...NUMBERS.map((type) => [type, 8, "0000000000000005"] as const),
  ...NUMBERS.map((type) => [type, 8, "ffffffffffffffff"] as const),
  ...AS_BYTES.map((type) => [type, 2, "000000020102"] as const),
  [CKA.PARAMETER_SET, 8, "0000000000000005"],
  [CKA.PARAMETER_SET, 8, "000000080500000000000000"],
];

const bytesOf = (one: Attribute | undefined): Uint8Array => {
  assert.ok(one?.value instanceof Uint8Array);
  return one.value;
};

test("what follows an unknown attribute is read, in each of its encodings", () => {
  for (const [type, length, hex] of encodings) {
    for (const version of [1, 2] as const) {
      const { values } = decodeRequest(withRaw(1, type, length, Uint8Array.fromHex(hex)), version);
      const [first, second] = values[1] as readonly Attribute[];
      assert.equal(bytesOf(first).length, length, type.toString(16));
      assert.deepEqual(second, attribute(CKA.ENCRYPT, true));
    }
  }
  const { values } = decodeRequest(withRaw(1, CKA.PARAMETER_SET, 8, Uint8Array.fromHex("0000000000000005")), 2);
  assert.equal(bytesOf((values[1] as readonly Attribute[])[0]).toHex(), "0500000000000000");
  // The oldest client knows none of these and sends bytes.
  const old = decodeRequest(withRaw(1, VENDOR + 0x10001, 1, Uint8Array.fromHex("0000000101")), 0);
  assert.deepEqual(bytesOf((old.values[1] as readonly Attribute[])[0]), Uint8Array.of(1));
});

describe("attribute types that nobody here knows", () => {
  const ec = createECDH("prime256v1");
  const point = new Uint8Array(ec.generateKeys());
  for (const version of [0, 1, 2] as const) {
    test(`version ${version}: templates are refused with CKR_ATTRIBUTE_TYPE_INVALID, and reading leaves them out`, async () => {
      await using opened = await openLoggedIn((parts) =>
        createPkcs11Server({ ...parts, objects: parts.keyring.objects }),
      );
      await using client = await TestClient.open(opened.bench.socketPath, { version });
      const [session] = await client.call("C_OpenSession", 0, RW);
      await client.call("C_Login", session, CKU.USER, toUtf8(opened.bench.adminToken));
      const invalid = CKR.ATTRIBUTE_TYPE_INVALID;
      if (version > 0) {
        let serial = 5000;
        for (const [type, length, hex] of encodings) {
          const body = withRaw(session, type, length, Uint8Array.fromHex(hex));
          const whole = body.slice();
          // The class comes in the place of CKA_ENCRYPT, whose value it is longer than.
          const frame = new Writer();
          for (const word of [++serial, 0, whole.length + 7]) frame.u32(word);
          frame.raw(whole.subarray(0, whole.length - 10));
          frame.u32(CKA.CLASS);
          frame.u8(1);
          frame.u32(8);
          for (const word of [0, CKO.DATA]) frame.u32(word);
          const answer = await client.raw(frame.finish(), serial);
          assert.equal(
            answer?.toHex(),
            `000000000000000175${invalid.toString(16).padStart(16, "0")}`,
            type.toString(16),
          );
        }
      }
      const odd = attribute(AS_BYTES[4] ?? 0, Uint8Array.of(1));
      const aes = [attribute(CKA.CLASS, CKO.SECRET_KEY), attribute(CKA.KEY_TYPE, CKK.AES)];
      const value = attribute(CKA.VALUE, KEY);
      const scalar = attribute(CKA.VALUE, new Uint8Array(ec.getPrivateKey()));
      const elliptic = [attribute(CKA.KEY_TYPE, CKK.EC), attribute(CKA.EC_PARAMS, P256), attribute(CKA.DERIVE, true)];
      const secretOnes = [attribute(CKA.CLASS, CKO.PRIVATE_KEY), ...elliptic, scalar];
      const [key] = await client.call("C_CreateObject", session, [...aes, value]);
      const [own] = await client.call("C_CreateObject", session, secretOnes);
      const agree = mechanism(CKM.ECDH1_DERIVE, { kind: "ecdh", kdf: 1, shared: new Uint8Array(0), peer: point });
      const length = attribute(CKA.VALUE_LEN, 16);
      const params = attribute(CKA.EC_PARAMS, P256);
      for (const more of [[odd], [odd, attribute(CKA.TOKEN, true)]]) {
        const ecb = mechanism(CKM.AES_ECB);
        const pair = mechanism(CKM.EC_KEY_PAIR_GEN);
        const answers = {
          create: await client.rv("C_CreateObject", session, [...aes, value, ...more]),
          createPrivate: await client.rv("C_CreateObject", session, [...secretOnes, ...more]),
          copy: await client.rv("C_CopyObject", session, key, more),
          set: await client.rv("C_SetAttributeValue", session, key, [odd]),
          generate: await client.rv("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), [length, ...more]),
          publicHalf: await client.rv("C_GenerateKeyPair", session, pair, [params, ...more], []),
          privateHalf: await client.rv("C_GenerateKeyPair", session, pair, [params], more),
          unwrap: await client.rv("C_UnwrapKey", session, ecb, key, new Uint8Array(16), [...aes, ...more]),
          derive: await client.rv("C_DeriveKey", session, agree, own, [...aes, length, ...more]),
        };
        for (const [call, rv] of Object.entries(answers)) assert.equal(rv, invalid, call);
      }
      const wanted = [CKA.KEY_TYPE, ...ONE_BYTE, ...NUMBERS, ...AS_BYTES, CKA.CLASS];
      const [found, rv] = await client.call(
        "C_GetAttributeValue",
        session,
        key,
        wanted.map((type) => ({ type, capacity: 8 })),
      );
      assert.equal(rv, invalid);
      assert.deepEqual([found[0]?.value, found.at(-1)?.value], [CKK.AES, CKO.SECRET_KEY]);
      assert.ok(found.slice(1, -1).every((one) => one.value === undefined));
    });
  }
});
