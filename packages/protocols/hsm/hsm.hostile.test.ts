import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decode, encode, type Codec } from "@casemate/foundation/codec";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import {
  ALGORITHMS,
  KEY_ALGORITHM_NAMES,
  LIMITS,
  OPERATIONS,
  keyRefCodec,
  peekAlgorithm,
  usageFlags,
} from "./index.ts";
import { SIGN_SCHEME_CODES } from "./algorithms.ts";

const ref = new Uint8Array(60).fill(7);
const text = new TextEncoder().encode("hello");

/** One valid value per layout: request and reply of every operation. */
const SAMPLES = {
  restore: [{ root: "key-file", generations: [text, text] }, {}],
  status: [
    {},
    {
      state: "locked",
      detail: "waits",
      root: "passphrase",
      serial: "ab",
      firmware: "1",
      identityKey: text,
      counters: [{ name: "keys", value: 7n }],
      notes: ["a note"],
    },
  ],
  stateSaved: [{ sequence: 9n, outcome: "kept" }, {}],
  random: [{ length: 16 }, { bytes: text }],
  generate: [
    { algorithm: "ec-p256", usages: usageFlags(["sign"]), exportable: false },
    { ref, publicKey: text },
  ],
  publicKey: [{ ref }, { bytes: text }],
  destroy: [{ ref }, {}],
  sign: [
    { ref, scheme: "ecdsa-sha256", kind: "message", inputs: [text, text] },
    [text, new CasemateError("BAD_REQUEST", "no", { hint: "do" })],
  ],
  verify: [{ ref, scheme: "pure", kind: "digest", items: [{ input: text, signature: text }] }, [true, false]],
  encrypt: [{ ref, scheme: "aes-gcm", items: [{ data: text, context: text, iv: new Uint8Array() }] }, [text]],
  decrypt: [{ ref, scheme: "aes-gcm", items: [{ data: text, context: text }] }, [text]],
  mac: [{ ref, scheme: "aes-cmac", inputs: [text] }, [text]],
  checkMac: [{ ref, scheme: "hmac-sha256", items: [{ input: text, mac: text }] }, [true]],
  agree: [{ ref, peer: text }, { bytes: text }],
  encapsulate: [{ ref }, { ciphertext: text, sharedSecret: text }],
  decapsulate: [{ ref, ciphertext: text }, { bytes: text }],
  exportKey: [{ wrapping: ref, scheme: "aes-kwp", target: ref }, { bytes: text }],
  importKey: [
    {
      wrapping: ref,
      scheme: "rsa-aes-kwp",
      wrapped: text,
      algorithm: "aes-256",
      usages: usageFlags(["encrypt"]),
      exportable: true,
    },
    { ref, publicKey: undefined },
  ],
  dataKeys: [{ ref, count: 2, bytes: 32, plaintext: true, context: text }, [{ wrapped: text, plaintext: undefined }]],
  challenge: [{}, { publicKey: new Uint8Array(32), signature: text, signer: text }],
  unlock: [{ sealed: text }, {}],
  lock: [{}, {}],
  zeroize: [{}, {}],
  witnessedLogs: [
    {},
    [{ publicKey: new Uint8Array(32), origin: "casemate-audit/0", size: 9n, before: 4n, root: new Uint8Array(32) }],
  ],
  signCheckpoint: [
    { ref, origin: "casemate-audit/0", size: 9n, root: new Uint8Array(32), proof: [new Uint8Array(32)] },
    { bytes: text },
  ],
} as const satisfies Record<keyof typeof OPERATIONS, readonly [unknown, unknown]>;

const layouts = Object.entries(OPERATIONS).flatMap(([name, operation]) => {
  const [request, reply] = SAMPLES[name as keyof typeof OPERATIONS];
  return [
    { name: `${name} request`, codec: operation.request as Codec<unknown>, value: request as unknown },
    { name: `${name} reply`, codec: operation.reply as Codec<unknown>, value: reply as unknown },
  ];
});

const endsInRest = new Set([
  "random reply",
  "publicKey reply",
  "agree reply",
  "decapsulate reply",
  "exportKey reply",
  "signCheckpoint reply",
]);

test("every layout survives encode, decode, encode", () => {
  for (const { name, codec, value } of layouts) {
    const bytes = encode(codec, value);
    assert.deepEqual(encode(codec, decode(codec, bytes)), bytes, name);
  }
});

test("a body cut anywhere is refused as truncated, never half read", () => {
  for (const { name, codec, value } of layouts) {
    if (endsInRest.has(name)) continue;
    const bytes = encode(codec, value);
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(
        () => decode(codec, bytes.subarray(0, length)),
        (error: unknown) => isCasemateError(error) && error.code === "DECODE_TRUNCATED",
        `${name} cut at ${length}`,
      );
    }
  }
});

test("one byte too many is refused", () => {
  for (const { name, codec, value } of layouts) {
    if (endsInRest.has(name)) continue;
    const bytes = encode(codec, value);
    assert.throws(
      () => decode(codec, Uint8Array.of(...bytes, 0)),
      (error: unknown) => isCasemateError(error) && error.code === "DECODE_TRAILING",
      name,
    );
  }
});

test("random bytes decode or fail with a decode error, nothing else", () => {
  fc.assert(
    fc.property(fc.constantFrom(...layouts), fc.uint8Array({ maxLength: 200 }), ({ codec }, bytes) => {
      try {
        decode(codec, bytes);
      } catch (error) {
        assert.ok(isCasemateError(error) && error.code.startsWith("DECODE_"));
      }
    }),
    { numRuns: 2000 },
  );
});

test("sign requests round trip for any bounded content", () => {
  const schemes = Object.keys(SIGN_SCHEME_CODES) as (keyof typeof SIGN_SCHEME_CODES)[];
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(...schemes),
      fc.constantFrom("message" as const, "digest" as const),
      fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 20 }),
      (key, scheme, kind, inputs) => {
        const value = { ref: key, scheme, kind, inputs };
        assert.deepEqual(decode(OPERATIONS.sign.request, encode(OPERATIONS.sign.request, value)), value);
      },
    ),
    { numRuns: 200 },
  );
});

test("a count or size above its limit is refused before anything is allocated", () => {
  const tooMany = encode(OPERATIONS.sign.request, { ref, scheme: "pure", kind: "message", inputs: [] });
  tooMany[tooMany.length - 2] = (LIMITS.items + 1) >>> 8;
  tooMany[tooMany.length - 1] = (LIMITS.items + 1) & 0xff;
  assert.throws(() => decode(OPERATIONS.sign.request, tooMany), /at most 4096 allowed/);
  assert.throws(
    () => encode(OPERATIONS.publicKey.request, { ref: new Uint8Array(LIMITS.ref + 1) }),
    (error: unknown) => isCasemateError(error),
  );
});

test("algorithm numbers are unique and a key reference shows its header", () => {
  const codes = KEY_ALGORITHM_NAMES.map((name) => ALGORITHMS[name].code);
  assert.equal(new Set(codes).size, codes.length);
  const bytes = encode(keyRefCodec, {
    version: 1,
    algorithm: "ml-dsa-65",
    usages: usageFlags(["sign"]),
    exportable: true,
    keyId: new Uint8Array(16).fill(3),
    nonce: new Uint8Array(12),
    sealed: new Uint8Array(40),
  });
  assert.equal(peekAlgorithm(bytes), "ml-dsa-65");
  assert.equal(peekAlgorithm(bytes.subarray(0, 10)), undefined);
  assert.equal(peekAlgorithm(Uint8Array.of(2, ...bytes.subarray(1))), undefined);
});
