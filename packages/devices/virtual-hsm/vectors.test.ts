import assert from "node:assert/strict";
import {
  constants,
  createCipheriv,
  createPrivateKey,
  createPublicKey,
  hash,
  publicEncrypt,
  randomBytes,
  type AsymmetricKeyType,
  type KeyObject,
} from "node:crypto";
import { before, test } from "node:test";
import { fromHex, toHex } from "@casemate/foundation/bytes";
import { nativeCalls } from "@casemate/foundation/ffi";
import { usageFlags, type KeyAlgorithm, type MacScheme, type Usage } from "@casemate/protocols/hsm";
import {
  AES_BLOCK_MODES,
  AES_GCM,
  DETERMINISTIC_SIGNATURES,
  PREHASHED_SIGNATURES,
  ECDSA_SIGNATURES,
  KEY_WRAPS,
  MACS,
  SEEDED_PUBLIC_KEYS,
  SHARED_SECRETS,
} from "@casemate/testkit/vectors";
import { encodeSignature } from "./ec-arithmetic.ts";
import { TestHost } from "./host.testkit.ts";
import { nativePreparedSigner } from "./native-signers.ts";

// Every known key reaches the device as it would from outside: wrapped under a key of the device.
const { prepared } = nativeCalls();
const preparedMissing = prepared.available ? false : prepared.reason;
let host: TestHost;
let kek: Buffer;
let kekRef: Uint8Array;
const NONE = new Uint8Array();

before(async () => {
  host = await TestHost.start(prepared.available ? { engine: { preparedSigner: nativePreparedSigner(prepared) } } : {});
  const rsa = await host.generate("rsa-2048", "wrap");
  const { bytes } = await host.call("publicKey", { ref: rsa });
  const key = createPublicKey({ key: Buffer.from(bytes), format: "der", type: "spki" });
  kek = randomBytes(32);
  const inner = randomBytes(32);
  const envelope = publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" }, inner);
  const wrapped = Buffer.concat([envelope, kwp(inner, kek)]);
  kekRef = await importKey(rsa, "rsa-aes-kwp", wrapped, "aes-256", "wrap");
});

function kwp(key: Uint8Array, material: Uint8Array): Buffer {
  const cipher = createCipheriv("id-aes256-wrap-pad", key, fromHex("a65959a6"));
  return Buffer.concat([cipher.update(material), cipher.final()]);
}

async function importKey(
  wrapping: Uint8Array,
  scheme: "aes-kw" | "aes-kwp" | "rsa-aes-kwp",
  wrapped: Uint8Array,
  algorithm: KeyAlgorithm,
  usage: Usage,
): Promise<Uint8Array> {
  const spec = { algorithm, usages: usageFlags([usage]), exportable: true };
  return (await host.call("importKey", { wrapping, scheme, wrapped, ...spec })).ref.slice();
}

const known = (material: Uint8Array, algorithm: KeyAlgorithm, usage: Usage): Promise<Uint8Array> =>
  importKey(kekRef, "aes-kwp", kwp(kek, material), algorithm, usage);

const aesOf = (hex: string): KeyAlgorithm => `aes-${(hex.length * 4) as 128 | 192 | 256}`;

const CURVES: Readonly<Record<string, string>> = { "ec-p256": "P-256", "ec-p384": "P-384" };
function pkcs8(algorithm: string, hex: string, format: "raw-private" | "raw-seed" = "raw-private"): Buffer {
  const namedCurve = CURVES[algorithm];
  const key: KeyObject = createPrivateKey({
    key: fromHex(hex),
    format,
    asymmetricKeyType: (namedCurve === undefined ? algorithm : "ec") as AsymmetricKeyType,
    ...(namedCurve === undefined ? {} : { namedCurve }),
  });
  return key.export({ format: "der", type: "pkcs8" });
}

async function rawPublic(ref: Uint8Array): Promise<Uint8Array> {
  const { bytes } = await host.call("publicKey", { ref });
  return createPublicKey({ key: Buffer.from(bytes), format: "der", type: "spki" }).export({ format: "raw-public" });
}

function bytesOf(results: readonly (Uint8Array | Error)[]): Uint8Array {
  const [result] = results;
  if (result instanceof Uint8Array) return result;
  throw result;
}

for (const { source, mode, key, iv, plaintext, ciphertext } of AES_BLOCK_MODES)
  test(source, async () => {
    const ref = await known(fromHex(key), aesOf(key), "encrypt");
    const scheme = `aes-${mode}` as const;
    const sealed = bytesOf(
      await host.call("encrypt", {
        ref,
        scheme,
        items: [{ data: fromHex(plaintext), context: NONE, iv: fromHex(iv) }],
      }),
    );
    // CBC adds a block of padding, which the specification's examples leave out.
    assert.equal(toHex(sealed).slice(0, iv.length + ciphertext.length), iv + ciphertext);
    const data = mode === "cbc" ? sealed : fromHex(iv + ciphertext);
    const opened = bytesOf(await host.call("decrypt", { ref, scheme, items: [{ data, context: NONE }] }));
    assert.equal(toHex(opened), plaintext);
  });

for (const { source, key, iv, context, plaintext, ciphertext, tag } of AES_GCM)
  test(source, async () => {
    const ref = await known(fromHex(key), aesOf(key), "encrypt");
    const items = [{ data: fromHex(iv + ciphertext + tag), context: fromHex(context) }];
    assert.equal(toHex(bytesOf(await host.call("decrypt", { ref, scheme: "aes-gcm", items }))), plaintext);
  });

for (const { source, scheme, key, message, mac } of MACS)
  test(`${source} ${scheme}`, async () => {
    const algorithm = scheme === "aes-cmac" ? aesOf(key) : scheme;
    const ref = await known(fromHex(key), algorithm, "mac");
    assert.equal(toHex(bytesOf(await host.call("mac", { ref, scheme, inputs: [fromHex(message)] }))), mac);
  });

for (const { source, scheme, kek: wrapping, key, wrapped } of KEY_WRAPS)
  test(source, async () => {
    const wrapRef = await known(fromHex(wrapping), aesOf(wrapping), "wrap");
    const algorithm = [16, 24, 32].includes(key.length / 2) ? aesOf(key) : "hmac-sha256";
    const ref = await importKey(wrapRef, scheme, fromHex(wrapped), algorithm, "mac");
    const out = await host.call("exportKey", { wrapping: wrapRef, scheme, target: ref });
    assert.equal(toHex(out.bytes), wrapped);
    // The key inside is the one of the vector: it computes what a copy of that key computes.
    const macScheme: MacScheme = algorithm === "hmac-sha256" ? "hmac-sha256" : "aes-cmac";
    const twin = await known(fromHex(key), algorithm, "mac");
    const request = { scheme: macScheme, inputs: [fromHex("00")] };
    assert.deepEqual(await host.call("mac", { ref, ...request }), await host.call("mac", { ref: twin, ...request }));
  });

for (const { source, algorithm, key, publicKey, message, signature } of DETERMINISTIC_SIGNATURES)
  test(source, async () => {
    const ref = await known(pkcs8(algorithm, key), algorithm, "sign");
    assert.equal(toHex(await rawPublic(ref)), publicKey);
    const inputs = [fromHex(message)];
    const made = bytesOf(await host.call("sign", { ref, scheme: "pure", kind: "message", inputs }));
    assert.equal(toHex(made), signature);
  });

for (const { source, algorithm, scheme, key, publicKey, message, signature } of PREHASHED_SIGNATURES)
  test(source, { skip: preparedMissing }, async () => {
    const ref = await known(pkcs8(algorithm, key), algorithm, "sign");
    assert.equal(toHex(await rawPublic(ref)), publicKey);
    const inputs = [fromHex(message)];
    const made = bytesOf(await host.call("sign", { ref, scheme, kind: "message", inputs }));
    assert.equal(toHex(made), signature);
  });

for (const { source, algorithm, scheme, key, r, s } of ECDSA_SIGNATURES)
  test(source, async () => {
    const ref = await known(pkcs8(algorithm, key), algorithm, "sign");
    const signature = encodeSignature(BigInt(`0x${r}`), BigInt(`0x${s}`));
    const digest = hash(scheme.slice(6), "sample", "buffer");
    const input = new TextEncoder().encode("sample");
    for (const [kind, bytes] of [
      ["message", input],
      ["digest", digest],
    ] as const) {
      const items = [
        { input: bytes, signature },
        { input: bytes.slice(1), signature },
      ];
      const [right, wrong] = await host.call("verify", { ref, scheme, kind, items });
      assert.equal(right, true);
      assert.notEqual(wrong, true);
    }
  });

for (const { source, algorithm, key, peer, secret } of SHARED_SECRETS)
  test(source, async () => {
    const ref = await known(pkcs8(algorithm, key), algorithm, "agree");
    const other = createPublicKey({ key: fromHex(peer), format: "raw-public", asymmetricKeyType: algorithm });
    const der = other.export({ format: "der", type: "spki" });
    assert.equal(toHex((await host.call("agree", { ref, peer: der })).bytes), secret);
  });

for (const { source, algorithm, seed, bytes, beginning } of SEEDED_PUBLIC_KEYS)
  test(source, async () => {
    const usage = algorithm.startsWith("ml-kem") ? "kem" : "sign";
    const ref = await known(pkcs8(algorithm, seed, "raw-seed"), algorithm, usage);
    const key = toHex(await rawPublic(ref));
    assert.equal(key.length, bytes * 2);
    assert.equal(key.slice(0, beginning.length), beginning);
  });
