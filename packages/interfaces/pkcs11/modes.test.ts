import assert from "node:assert/strict";
import { createCipheriv, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { CKA, CKF, CKK, CKM, CKO, CKR, CKU, SIZE_QUERY } from "@casemate/protocols/p11-rpc";
import { toUtf8 } from "@casemate/foundation/bytes";
import { attribute, mechanism, pkcs11Bench, TestClient, type Pkcs11Bench } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const hex = (text: string): Uint8Array => Uint8Array.fromHex(text.replaceAll(/\s/g, ""));

const KEY = hex("2b7e151628aed2a6abf7158809cf4f3c");
const IV = hex("000102030405060708090a0b0c0d0e0f");
const TEXT = hex(`6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
  30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710`);
/** RFC 3962, appendix B: "chicken teriyaki", iv of zeros. The RFC swaps the last two blocks always (CS3); CS1 does not. */
const TERIYAKI = hex("636869636b656e207465726979616b69");
const SOUP = hex("4920776f756c64206c696b65207468652047656e6572616c20476175277320436869636b656e2c20706c656173652c");
const swapped = (head: string, last: string, cut: string): string => head + cut + last;

const VECTORS: readonly (readonly [
  source: string,
  type: number,
  key: Uint8Array,
  iv: Uint8Array,
  text: Uint8Array,
  expected: string,
])[] = [
  ["SP 800-38A F.3.1", CKM.AES_CFB1, KEY, IV, TEXT.subarray(0, 2), "68b3"],
  ["SP 800-38A F.3.7", CKM.AES_CFB8, KEY, IV, TEXT.subarray(0, 18), "3b79424c9c0dd436bace9e0ed4586a4f32b9"],
  [
    "SP 800-38A F.3.13",
    CKM.AES_CFB128,
    KEY,
    IV,
    TEXT,
    "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b26751f67a3cbb140b1808cf187a4f4dfc04b05357c5d1c0eeac4c66f9ff7f2e6",
  ],
  [
    "SP 800-38A F.4.1",
    CKM.AES_OFB,
    KEY,
    IV,
    TEXT,
    "3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed8259740051e9c5fecf64344f7a82260edcc304c6528f659c77866a510d9c1d6ae5e",
  ],
  [
    "SP 800-38A F.5.1",
    CKM.AES_CTR,
    KEY,
    hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
    TEXT,
    "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee",
  ],
  [
    "RFC 3962, 17 bytes",
    CKM.AES_CTS,
    TERIYAKI,
    new Uint8Array(16),
    SOUP.subarray(0, 17),
    swapped("", "c6353568f2bf8cb4d8a580362da7ff7f", "97"),
  ],
  [
    "RFC 3962, 31 bytes",
    CKM.AES_CTS,
    TERIYAKI,
    new Uint8Array(16),
    SOUP.subarray(0, 31),
    swapped("", "fc00783e0efdb2c1d445d4c8eff7ed22", "97687268d6ecccc0c07b25e25ecfe5"),
  ],
  [
    "RFC 3962, 32 bytes",
    CKM.AES_CTS,
    TERIYAKI,
    new Uint8Array(16),
    SOUP.subarray(0, 32),
    swapped("", "39312523a78662d5be7fcbcc98ebf5a8", "97687268d6ecccc0c07b25e25ecfe584"),
  ],
  [
    "RFC 3962, 47 bytes",
    CKM.AES_CTS,
    TERIYAKI,
    new Uint8Array(16),
    SOUP.subarray(0, 47),
    swapped("97687268d6ecccc0c07b25e25ecfe584", "b3fffd940c16a18c1b5549d2f838029e", "39312523a78662d5be7fcbcc98ebf5"),
  ],
];

const cuttings: readonly (readonly [name: string, sizes: (length: number) => readonly number[]])[] = [
  ["byte by byte", (length) => Array.from({ length }, () => 1)],
  ["15 and 17", () => [15, 17]],
  ["16s", () => [16]],
  ["all at once", (length) => [length]],
];

/** Pieces of these sizes, over and over. */
function cut(data: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0, i = 0; at < data.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    parts.push(data.subarray(at, at + size));
    at += size;
  }
  return parts;
}

describe("modes of AES", () => {
  let bench: Pkcs11Bench;
  let client: TestClient;
  let session: number;
  before(async () => {
    bench = await pkcs11Bench((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
    client = await TestClient.open(bench.socketPath, { version: 2 });
    [session] = await client.call("C_OpenSession", 0, CKF.SERIAL_SESSION | CKF.RW_SESSION);
  });
  after(async () => {
    await client[Symbol.asyncDispose]();
    await bench[Symbol.asyncDispose]();
  });

  const imported = async (value: Uint8Array): Promise<number> =>
    (
      await client.call("C_CreateObject", session, [
        attribute(CKA.CLASS, CKO.SECRET_KEY),
        attribute(CKA.KEY_TYPE, CKK.AES),
        attribute(CKA.VALUE, value),
        attribute(CKA.ENCRYPT, true),
        attribute(CKA.DECRYPT, true),
      ])
    )[0];
  const mode = (type: number, iv: Uint8Array) =>
    type === CKM.AES_CTR
      ? mechanism(type, { kind: "ctr", bits: 128, block: iv })
      : mechanism(type, { kind: "bytes", bytes: iv });

  async function whole(encrypt: boolean, type: number, key: number, iv: Uint8Array, data: Uint8Array) {
    await client.call(encrypt ? "C_EncryptInit" : "C_DecryptInit", session, mode(type, iv), key);
    const [out] = await client.call(encrypt ? "C_Encrypt" : "C_Decrypt", session, data, data.length);
    return (out as Uint8Array).toHex();
  }
  async function parts(encrypt: boolean, type: number, key: number, iv: Uint8Array, pieces: readonly Uint8Array[]) {
    await client.call(encrypt ? "C_EncryptInit" : "C_DecryptInit", session, mode(type, iv), key);
    let out = "";
    for (const piece of pieces) {
      const [more] = await client.call(encrypt ? "C_EncryptUpdate" : "C_DecryptUpdate", session, piece, 1024);
      out += (more as Uint8Array).toHex();
    }
    const [end] = await client.call(encrypt ? "C_EncryptFinal" : "C_DecryptFinal", session, 1024);
    return out + (end as Uint8Array).toHex();
  }

  for (const [source, type, value, iv, text, expected] of VECTORS) {
    test(`${source} in every cutting`, async () => {
      const key = await imported(value);
      assert.equal(await whole(true, type, key, iv, text), expected);
      assert.equal(await whole(false, type, key, iv, hex(expected)), text.toHex());
      for (const [name, sizes] of cuttings) {
        const cutting = sizes(text.length);
        assert.equal(await parts(true, type, key, iv, cut(text, cutting)), expected, name);
        assert.equal(await parts(false, type, key, iv, cut(hex(expected), cutting)), text.toHex(), name);
      }
    });
  }

  test("how much comes out is told before, exactly, and with too little room again", async () => {
    const key = await imported(KEY);
    for (const type of [CKM.AES_ECB, CKM.AES_CBC, CKM.AES_CBC_PAD, CKM.AES_CTS, CKM.AES_CTR, CKM.AES_OFB]) {
      const byBlocks = type === CKM.AES_ECB || type === CKM.AES_CBC;
      for (const length of byBlocks ? [16, 32, 48] : [16, 17, 31, 32, 33, 48]) {
        const text = randomBytes(length);
        await client.call("C_EncryptInit", session, type === CKM.AES_ECB ? mechanism(type) : mode(type, IV), key);
        const [told] = await client.call("C_Encrypt", session, text, SIZE_QUERY);
        assert.deepEqual(await client.call("C_Encrypt", session, text, 1), [told], `${type} ${length}`);
        const [out] = await client.call("C_Encrypt", session, text, told as number);
        assert.equal((out as Uint8Array).length, told, `${type} ${length}`);
      }
    }
  });

  test("AES-GCM takes nonces of 1 to 128 bytes", async () => {
    const key = await imported(KEY);
    const gcm = (iv: Uint8Array) =>
      mechanism(CKM.AES_GCM, { kind: "gcm", iv, ivBits: 8 * iv.length, aad: new Uint8Array(0), tagBits: 128 });
    const text = randomBytes(20);
    for (const length of [1, 12, 128]) {
      const iv = randomBytes(length);
      await client.call("C_EncryptInit", session, gcm(iv), key);
      const [out] = await client.call("C_Encrypt", session, text, 100);
      const cipher = createCipheriv("aes-128-gcm", KEY, iv);
      const expected = cipher.update(text).toHex() + cipher.final().toHex() + cipher.getAuthTag().toHex();
      assert.equal((out as Uint8Array).toHex(), expected, `${length}`);
    }
    for (const length of [0, 129, 256, 513])
      for (const call of ["C_EncryptInit", "C_DecryptInit"] as const)
        assert.equal(
          await client.rv(call, session, gcm(new Uint8Array(length)), key),
          CKR.MECHANISM_PARAM_INVALID,
          `${call} ${length}`,
        );
  });

  test("CBC with ciphertext stealing is OpenSSL's CS1 at every length, and nothing below a block", async () => {
    const key = await imported(KEY);
    for (let length = 16; length <= 49; length++) {
      const text = randomBytes(length);
      const cipher = createCipheriv("aes-128-cbc-cts", KEY, IV);
      const expected = cipher.update(text).toHex() + cipher.final().toHex();
      assert.equal(await whole(true, CKM.AES_CTS, key, IV, text), expected, `${length}`);
      assert.equal(await parts(false, CKM.AES_CTS, key, IV, cut(hex(expected), [7])), text.toHex(), `${length}`);
    }
    await client.call("C_EncryptInit", session, mode(CKM.AES_CTS, IV), key);
    assert.equal(await client.rv("C_Encrypt", session, new Uint8Array(15), 100), CKR.DATA_LEN_RANGE);
    await client.call("C_DecryptInit", session, mode(CKM.AES_CTS, IV), key);
    assert.equal(await client.rv("C_Decrypt", session, new Uint8Array(15), 100), CKR.ENCRYPTED_DATA_LEN_RANGE);
    assert.equal(
      await client.rv("C_EncryptInit", session, mode(CKM.AES_CTS, IV.subarray(1)), key),
      CKR.MECHANISM_PARAM_INVALID,
    );
  });

  test("more than a piece goes through as one", async () => {
    const key = await imported(KEY);
    const text = randomBytes(9 * 1024 * 1024 + 5);
    for (const [type, name] of [
      [CKM.AES_OFB, "aes-128-ofb"],
      [CKM.AES_CFB128, "aes-128-cfb"],
    ] as const) {
      const expected = createCipheriv(name, KEY, IV).update(text).toHex();
      assert.ok((await whole(true, type, key, IV, text)) === expected, name);
      assert.ok((await whole(false, type, key, IV, hex(expected))) === text.toHex(), name);
    }
  });

  test("a device key steals ciphertext, too, and says that it has no feedback modes", async () => {
    const [writable] = await client.call("C_OpenSession", 1, CKF.SERIAL_SESSION | CKF.RW_SESSION);
    await client.call("C_Login", writable, CKU.USER, toUtf8(bench.adminToken));
    const [key] = await client.call("C_GenerateKey", writable, mechanism(CKM.AES_KEY_GEN), [
      attribute(CKA.TOKEN, true),
      attribute(CKA.VALUE_LEN, 16),
      attribute(CKA.ENCRYPT, true),
      attribute(CKA.DECRYPT, true),
    ]);
    const text = randomBytes(37);
    await client.call("C_EncryptInit", writable, mode(CKM.AES_CTS, IV), key);
    const [out] = await client.call("C_Encrypt", writable, text, 100);
    await client.call("C_DecryptInit", writable, mode(CKM.AES_CTS, IV), key);
    const [back] = await client.call("C_Decrypt", writable, out as Uint8Array, 100);
    assert.equal((back as Uint8Array).toHex(), text.toHex());
    assert.equal(await client.rv("C_EncryptInit", writable, mode(CKM.AES_OFB, IV), key), CKR.MECHANISM_INVALID);
  });
});
