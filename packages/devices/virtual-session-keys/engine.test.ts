import assert from "node:assert/strict";
import {
  constants,
  createHash,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  privateDecrypt,
  verify,
} from "node:crypto";
import { describe, test } from "node:test";
import { isCasemateError } from "@casemate/foundation/errors";
import type { CipherRequest } from "@casemate/protocols/session-keys";
import { CLOSED, OPEN, TestHost } from "./host.testkit.ts";

const hex = (text: string): Uint8Array => Uint8Array.fromHex(text.replaceAll(/\s/g, ""));
const refused = (code: string) => (error: unknown) => isCasemateError(error) && error.code === code;

const KEY = hex("2b7e151628aed2a6abf7158809cf4f3c");
const IV = hex("000102030405060708090a0b0c0d0e0f");
const TEXT = hex(`6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
  30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710`);

/** NIST SP 800-38A, appendix F, with AES-128. */
const MODES: readonly (readonly [section: string, mode: CipherRequest["mode"], text: Uint8Array, expected: string])[] =
  [
    [
      "F.1.1",
      "ecb",
      TEXT,
      "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4",
    ],
    [
      "F.2.1",
      "cbc",
      TEXT,
      "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
    ],
    ["F.3.1", "cfb1", TEXT.subarray(0, 2), "68b3"],
    ["F.3.7", "cfb8", TEXT.subarray(0, 18), "3b79424c9c0dd436bace9e0ed4586a4f32b9"],
    [
      "F.3.13",
      "cfb",
      TEXT,
      "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b26751f67a3cbb140b1808cf187a4f4dfc04b05357c5d1c0eeac4c66f9ff7f2e6",
    ],
    [
      "F.4.1",
      "ofb",
      TEXT,
      "3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed8259740051e9c5fecf64344f7a82260edcc304c6528f659c77866a510d9c1d6ae5e",
    ],
  ];

describe("published vectors", () => {
  for (const [section, mode, text, expected] of MODES) {
    test(`SP 800-38A ${section}: ${mode}`, async () => {
      const host = new TestHost();
      const id = await host.secret("aes", KEY);
      const iv = mode === "ecb" ? new Uint8Array(0) : IV;
      const request = { id, cipher: "aes", mode, iv } as const;
      const out = await host.call("cipher", { ...request, encrypt: true, input: text });
      assert.equal(out.bytes.toHex(), expected);
      const back = await host.call("cipher", { ...request, encrypt: false, input: hex(expected) });
      assert.deepEqual(new Uint8Array(back.bytes), text);
    });
  }

  test("SP 800-38B D.1: CMAC with AES-128, and its check", async () => {
    const host = new TestHost();
    const id = await host.secret("aes", KEY);
    for (const [input, mac] of [
      [new Uint8Array(0), "bb1d6929e95937287fa37d129b756746"],
      [TEXT.subarray(0, 16), "070a16b46b4d4144f79bdd9dd04a287c"],
      [TEXT.subarray(0, 40), "dfa66747de9ae63030ca32611497c827"],
      [TEXT, "51f0bebf7e3b9d92fc49741779363cfe"],
    ] as const) {
      const made = await host.call("mac", { id, algorithm: "aes-cmac", input });
      assert.equal(made.bytes.toHex(), mac);
      const check = (given: Uint8Array) => host.call("checkMac", { id, algorithm: "aes-cmac", input, mac: given });
      assert.ok((await check(hex(mac))).valid);
      assert.ok((await check(hex(mac).subarray(0, 4))).valid, "cut");
      assert.ok(!(await check(hex(mac).fill(0, 15))).valid, "changed");
      assert.ok(!(await check(new Uint8Array(0))).valid, "empty");
      assert.ok(!(await check(new Uint8Array(17))).valid, "longer than the MAC");
    }
  });

  test("RFC 2202 and RFC 4231: HMAC of every hash, key 0x0b…", async () => {
    const host = new TestHost();
    const input = new TextEncoder().encode("Hi There");
    for (const [algorithm, length, mac] of [
      ["hmac-md5", 16, "9294727a3638bb1c13f48ef8158bfc9d"],
      ["hmac-sha1", 20, "b617318655057264e28bc0b6fb378c8ef146be00"],
      ["hmac-sha224", 20, "896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22"],
      ["hmac-sha256", 20, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"],
    ] as const) {
      const id = await host.secret("generic", new Uint8Array(length).fill(0x0b));
      assert.equal((await host.call("mac", { id, algorithm, input })).bytes.toHex(), mac);
    }
  });

  test("check values: an encrypted block of zeros, or the hash of a generic secret", async () => {
    const host = new TestHost();
    const checkOf = async (type: "generic" | "aes" | "des", value: Uint8Array) =>
      (await host.call("importSecret", { type, value: value.slice(), ...OPEN })).check.toHex();
    assert.equal(await checkOf("des", hex("8000000000000000")), "95a8d7");
    assert.equal(await checkOf("aes", new Uint8Array(16)), "66e94b"); // FIPS 197 with all zeros
    assert.equal(await checkOf("generic", new TextEncoder().encode("abc")), "a9993e");
    assert.equal(await checkOf("generic", new Uint8Array(0)), "");
  });
});

describe("grants", () => {
  test("a value is read only where that was granted, and wrapped only where that was", async () => {
    const host = new TestHost();
    const wrapping = await host.secret("aes", KEY);
    const how = { kind: "block", cipher: "aes", mode: "cbc-pad", iv: IV } as const;
    const shut = await host.secret("generic", KEY, CLOSED);
    const wrappable = await host.secret("generic", KEY, { readable: false, extractable: true });
    await assert.rejects(host.call("read", { id: shut }), refused("NOT_EXPORTABLE"));
    await assert.rejects(host.call("read", { id: wrappable }), refused("NOT_EXPORTABLE"));
    await assert.rejects(host.call("plaintext", { id: shut }), refused("NOT_EXPORTABLE"));
    await assert.rejects(host.call("wrap", { id: wrapping, how, target: shut }), refused("NOT_EXPORTABLE"));
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const spki = publicKey.export({ format: "der", type: "spki" });
    const padding = { kind: "pkcs1" } as const;
    await assert.rejects(host.call("wrapFor", { publicKey: spki, padding, target: shut }), refused("NOT_EXPORTABLE"));
    const { bytes } = await host.call("wrap", { id: wrapping, how, target: wrappable });
    const request = { id: wrapping, how, wrapped: bytes, type: "generic", length: 0 } as const;
    const again = await host.call("unwrapSecret", { ...request, ...OPEN });
    assert.deepEqual((await host.call("read", { id: again.id }))[0]?.bytes.toHex(), KEY.toHex());
  });

  test("grants are only ever taken away, by the key and by its copies", async () => {
    const host = new TestHost();
    const id = await host.secret("generic", KEY);
    const copy = (await host.call("copy", { id, ...OPEN })).id.slice();
    await host.call("restrict", { id, readable: false, extractable: true });
    await host.call("restrict", { id, ...OPEN });
    await assert.rejects(host.call("read", { id }), refused("NOT_EXPORTABLE"));
    assert.equal((await host.call("read", { id: copy })).length, 1, "the copy has grants of its own");
    const second = (await host.call("copy", { id, ...OPEN })).id.slice();
    await assert.rejects(host.call("read", { id: second }), refused("NOT_EXPORTABLE"));
  });

  test("a copy lives on when the first is forgotten", async () => {
    const host = new TestHost();
    const id = await host.secret("aes", KEY);
    const copy = (await host.call("copy", { id, ...OPEN })).id.slice();
    await host.call("forget", { ids: [id, new Uint8Array(16)] });
    await assert.rejects(host.call("read", { id }), refused("NOT_FOUND"));
    assert.equal((await host.call("read", { id: copy }))[0]?.bytes.toHex(), KEY.toHex());
  });
});

test("pairs of every kind sign and agree, and their values come out only as they went in", async () => {
  const host = new TestHost();
  const message = new TextEncoder().encode("message");
  const digest = createHash("sha256").update(message).digest();
  const spki = (bytes: Uint8Array) => createPublicKey({ key: Buffer.from(bytes), format: "der", type: "spki" });
  for (const curve of ["prime256v1", "secp384r1", "secp521r1", "secp256k1"] as const) {
    const { id, publicKey } = await host.call("generateCurve", { curve, ...OPEN });
    const { bytes } = await host.call("sign", { id, scheme: "ecdsa", input: digest });
    assert.ok(verify("sha256", message, spki(publicKey), bytes), curve);
    const [part] = await host.call("read", { id });
    assert.equal(part?.part, "value");
    const again = await host.call("importCurve", { curve, value: part?.bytes ?? new Uint8Array(), ...OPEN });
    assert.deepEqual(again.publicKey.toHex(), publicKey.toHex(), curve);
  }
  for (const curve of ["ed25519", "ed448"] as const) {
    const { id, publicKey } = await host.call("generateCurve", { curve, ...CLOSED });
    const { bytes } = await host.call("sign", { id, scheme: "eddsa", input: message });
    assert.ok(verify(null, message, spki(publicKey), bytes), curve);
    await assert.rejects(host.call("agree", { id, peer: publicKey }), refused("KEY_USAGE"));
    await assert.rejects(host.call("sign", { id, scheme: "rsa-raw", input: message }), refused("KEY_USAGE"));
  }
  for (const curve of ["x25519", "x448", "prime256v1"] as const) {
    const one = await host.call("generateCurve", { curve, ...CLOSED });
    const two = await host.call("generateCurve", { curve, ...CLOSED });
    const [a, b] = [
      await host.call("agree", { id: one.id, peer: two.publicKey }),
      await host.call("agree", { id: two.id, peer: one.publicKey }),
    ];
    assert.equal(a.check.toHex(), b.check.toHex(), curve);
    await assert.rejects(host.call("read", { id: a.id }), refused("NOT_EXPORTABLE"), "a shared secret is not shown");
    const how = { kind: "x963", hash: "sha256", shared: message } as const;
    const derive = (id: Uint8Array) => host.call("derive", { id, how, type: "aes", length: 32, ...OPEN });
    const [left, right] = [await derive(a.id), await derive(b.id)];
    assert.equal(left.check.toHex(), right.check.toHex());
    const last = { kind: "last" } as const;
    await assert.rejects(
      host.call("derive", { id: a.id, how: last, type: "generic", length: 500, ...OPEN }),
      refused("CONFLICT"),
    );
  }
});

test("RSA: raw, paddings, unwrapping, and a key made of its numbers", async () => {
  const host = new TestHost();
  const made = await host.call("generateRsa", { bits: 1024, exponent: 65_537, ...OPEN });
  const id = made.id.slice();
  const parts = new Map((await host.call("read", { id })).map(({ part, bytes }) => [part, bytes.slice()]));
  assert.deepEqual([...parts.keys()], ["d", "p", "q", "dp", "dq", "qi"]);
  const jwk = createPublicKey({ key: Buffer.from(made.publicKey), format: "der", type: "spki" }).export({
    format: "jwk",
  });
  const number = (text = ""): Uint8Array => new Uint8Array(Buffer.from(text, "base64url"));
  const value = (name: "d" | "p" | "q" | "dp" | "dq" | "qi"): Uint8Array => parts.get(name) ?? new Uint8Array();
  const numbers = { d: value("d"), p: value("p"), q: value("q"), dp: value("dp"), dq: value("dq"), qi: value("qi") };
  const again = await host.call("importRsa", { n: number(jwk.n), e: number(jwk.e), ...numbers, ...CLOSED });
  assert.equal(again.publicKey.toHex(), made.publicKey.toHex());
  const input = new Uint8Array(128).fill(1);
  const [one, two] = [
    await host.call("sign", { id, scheme: "rsa-raw", input }),
    await host.call("sign", { id: again.id, scheme: "rsa-raw", input }),
  ];
  assert.equal(one.bytes.toHex(), two.bytes.toHex());
  const above = new Uint8Array(128).fill(0xff);
  await assert.rejects(host.call("sign", { id, scheme: "rsa-raw", input: above }), refused("BAD_REQUEST"));
  const target = await host.secret("aes", KEY);
  for (const padding of [
    { kind: "pkcs1" },
    { kind: "oaep", hash: "sha1", label: new Uint8Array([1, 2]) },
    { kind: "oaep", hash: "sha256", label: new Uint8Array(0) },
  ] as const) {
    const { bytes } = await host.call("wrapFor", { publicKey: made.publicKey, padding, target });
    const how = { kind: "rsa", padding } as const;
    const back = await host.call("unwrapSecret", { id, how, wrapped: bytes, type: "aes", length: 0, ...OPEN });
    assert.equal((await host.call("read", { id: back.id }))[0]?.bytes.toHex(), KEY.toHex());
    const long = host.call("unwrapSecret", { id, how, wrapped: bytes, type: "aes", length: 32, ...OPEN });
    await assert.rejects(long, refused("CONFLICT"));
    assert.deepEqual((await host.call("decrypt", { id, padding, input: bytes })).bytes.toHex(), KEY.toHex());
  }
});

test("what a device imports is the value under its import key", async () => {
  const host = new TestHost();
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const target = await host.secret("generic", KEY, CLOSED);
  const spki = publicKey.export({ format: "der", type: "spki" });
  const { bytes } = await host.call("seal", { publicKey: spki, target });
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const wrapper = privateDecrypt({ key: privateKey, padding, oaepHash: "sha256" }, bytes.subarray(0, 256));
  assert.equal(wrapper.length, 32);
  assert.equal(bytes.length, 256 + 24, "RFC 5649: 16 bytes become 24");
});

test("digests take values in without showing them", async () => {
  const host = new TestHost();
  const id = await host.secret("generic", KEY, CLOSED);
  const parts = [
    { kind: "bytes", bytes: IV },
    { kind: "key", id },
    { kind: "bytes", bytes: TEXT },
  ] as const;
  const { bytes } = await host.call("digest", { hash: "sha256", parts: [...parts] });
  assert.equal(bytes.toHex(), createHash("sha256").update(IV).update(KEY).update(TEXT).digest("hex"));
  const derived = await host.call("derive", {
    id,
    how: { kind: "hash", hash: "sha1" },
    type: "generic",
    length: 20,
    ...OPEN,
  });
  const [part] = await host.call("read", { id: derived.id });
  assert.equal(part?.bytes.toHex(), createHash("sha1").update(KEY).digest("hex"));
});

test("a key of one type does not do another type's work", async () => {
  const host = new TestHost();
  const aes = await host.secret("aes", KEY);
  const generic = await host.secret("generic", KEY);
  await assert.rejects(host.call("mac", { id: aes, algorithm: "hmac-sha256", input: IV }), refused("KEY_USAGE"));
  await assert.rejects(host.call("mac", { id: generic, algorithm: "aes-cmac", input: IV }), refused("KEY_USAGE"));
  const request = { id: aes, cipher: "des", mode: "ecb", encrypt: true, iv: new Uint8Array(0), input: IV } as const;
  await assert.rejects(host.call("cipher", request), refused("KEY_USAGE"));
  await assert.rejects(host.call("sign", { id: aes, scheme: "ecdsa", input: IV }), refused("KEY_USAGE"));
  await assert.rejects(
    host.call("importSecret", { type: "aes", value: new Uint8Array(17), ...OPEN }),
    refused("BAD_REQUEST"),
  );
  const made = await host.call("mac", { id: generic, algorithm: "hmac-sha512", input: IV });
  assert.equal(made.bytes.toHex(), createHmac("sha512", KEY).update(IV).digest("hex"));
});

test("when it is full, no key more is made, and one that goes makes room", async () => {
  const host = new TestHost({ most: 3 });
  const first = await host.secret("generic", KEY);
  await host.call("generateCurve", { curve: "ed25519", ...CLOSED });
  await host.secret("aes", KEY);
  await assert.rejects(host.secret("aes", KEY), refused("DEVICE_FULL"));
  await assert.rejects(host.call("generateCurve", { curve: "ed25519", ...CLOSED }), refused("DEVICE_FULL"));
  await assert.rejects(host.call("copy", { id: first, ...OPEN }), refused("DEVICE_FULL"));
  assert.deepEqual(await host.call("status", {}), { keys: 3, most: 3 });
  await host.call("forget", { ids: [first] });
  await host.secret("aes", KEY);
});
