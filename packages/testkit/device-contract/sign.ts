import assert from "node:assert/strict";
import { constants, createHash, hash, publicDecrypt, verify, type KeyObject } from "node:crypto";
import {
  KEY_ALGORITHMS,
  type AlgorithmSupport,
  type Device,
  type InputKind,
  type KeyAlgorithm,
  type SignFacet,
  type SignScheme,
} from "@casemate/devices/contract";
import { isCasemateError } from "@casemate/foundation/errors";
import { prehashOf, prehashVerifies } from "./prehash.ts";
import { changed, failsWith, publicKeyOf, rejectsWith, value, type Bench, type Case } from "./bench.ts";

const shake = (data: Uint8Array): Uint8Array => createHash("shake256", { outputLength: 64 }).update(data).digest();
const MESSAGE = new TextEncoder().encode("a message of the device contract");

function signFacet(device: Device): SignFacet {
  assert.ok(device.sign !== undefined);
  return device.sign;
}

const hashOf = (scheme: SignScheme): string | undefined => /sha\d+$/.exec(scheme)?.[0];

/** What the device signs for MESSAGE under a scheme and kind, and how somebody else verifies the result. */
function inputFor(scheme: SignScheme, kind: InputKind, key: KeyObject): Uint8Array {
  if (scheme === "rsa-raw") {
    const block = new Uint8Array((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8).fill(7);
    block[0] = 0;
    return block;
  }
  if (scheme === "rsa-pkcs1-raw" || scheme === "ecdsa-raw") return hash("sha256", MESSAGE, "buffer");
  const prehash = prehashOf(scheme, MESSAGE);
  if (prehash !== undefined) return kind === "digest" ? prehash : MESSAGE;
  const name = hashOf(scheme);
  return kind === "digest" && name !== undefined ? hash(name, MESSAGE, "buffer") : MESSAGE;
}

/** By node:crypto, or by another implementation where that cannot. */
function verifiesElsewhere(
  algorithm: KeyAlgorithm,
  scheme: SignScheme,
  key: KeyObject,
  input: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (scheme.startsWith("prehash-")) {
    // A signature over a prehash is none over the message itself.
    return !verify(null, MESSAGE, key, signature) && prehashVerifies(algorithm, scheme, key, MESSAGE, signature);
  }
  const name = hashOf(scheme);
  if (scheme === "rsa-raw")
    return Buffer.from(input).equals(publicDecrypt({ key, padding: constants.RSA_NO_PADDING }, signature));
  if (scheme === "rsa-pkcs1-raw")
    return Buffer.from(input).equals(publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, signature));
  if (scheme === "ecdsa-raw") return verify("sha256", MESSAGE, key, signature);
  if (scheme.startsWith("rsa-pss"))
    return verify(
      name,
      MESSAGE,
      { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
      signature,
    );
  return verify(name ?? null, MESSAGE, key, signature);
}

async function signsWith(bench: Bench, row: AlgorithmSupport, scheme: SignScheme, kind: InputKind): Promise<void> {
  const facet = signFacet(bench.device);
  const key = await bench.key(row.algorithm, "sign");
  const outside = publicKeyOf(key);
  const input = inputFor(scheme, kind, outside);
  const what = `${row.algorithm} ${scheme} ${kind}`;
  const signature = value(await facet.sign(key.ref, scheme, kind, [input]));
  assert.equal(verifiesElsewhere(row.algorithm, scheme, outside, input, signature), true, `${what} verifies elsewhere`);
  const answers = await facet.verify(key.ref, scheme, kind, [
    { input, signature },
    { input: changed(input, 1), signature },
    { input, signature: changed(signature, signature.length - 1) },
    { input, signature: new Uint8Array() },
    { input, signature: signature.subarray(1) },
  ]);
  assert.deepEqual(answers, [true, false, false, false, false], what);
}

const signs = (algorithm: KeyAlgorithm): Case => ({
  name: `sign ${algorithm} makes signatures that others verify`,
  async run(bench) {
    const row = bench.support(algorithm);
    if (row === undefined || row.sign.length === 0) return `the device does not sign with ${algorithm}`;
    for (const scheme of row.sign) {
      await signsWith(bench, row, scheme, "message");
      if (scheme !== "pure") await signsWith(bench, row, scheme, "digest");
    }
  },
});

const signing = (bench: Bench, wanted: (row: AlgorithmSupport) => boolean = () => true): KeyAlgorithm | undefined =>
  bench.algorithmFor("sign", (row) => row.sign.length > 0 && !/slh|rsa-[34]/.test(row.algorithm) && wanted(row));

export const signCases: readonly Case[] = [
  ...KEY_ALGORITHMS.filter((name) => /^(rsa|ec-|ed|ml-dsa|slh)/.test(name)).map(signs),
  {
    name: "sign answers each item of a batch in its place",
    async run(bench) {
      const algorithm = signing(bench, (row) => row.sign.includes("ecdsa-sha256"));
      if (algorithm === undefined) return "the device has no ECDSA";
      const { ref } = await bench.key(algorithm, "sign");
      const good = hash("sha256", MESSAGE, "buffer");
      const answers = await signFacet(bench.device).sign(ref, "ecdsa-sha256", "digest", [good, good.subarray(1), good]);
      assert.equal(answers.length, 3);
      assert.ok(value(answers, 0).length > 0 && value(answers, 2).length > 0);
      failsWith("BAD_REQUEST", answers, 1, "a digest of 31 bytes");
      assert.deepEqual(await signFacet(bench.device).sign(ref, "ecdsa-sha256", "message", []), []);
    },
  },
  {
    name: "sign answers many calls at once, each with its own signature",
    async run(bench) {
      const algorithm = signing(bench, (row) => row.sign.includes("ecdsa-sha256"));
      if (algorithm === undefined) return "the device has no ECDSA";
      const key = await bench.key(algorithm, "sign");
      const messages = Array.from({ length: 100 }, (_, index) => new TextEncoder().encode(`message ${index}`));
      const signatures = await Promise.all(
        messages.map((message) => signFacet(bench.device).sign(key.ref, "ecdsa-sha256", "message", [message])),
      );
      for (const [index, message] of messages.entries())
        assert.equal(verify("sha256", message, publicKeyOf(key), value(signatures[index] ?? [])), true);
    },
  },
  {
    name: "sign refuses digests of the wrong size",
    async run(bench) {
      for (const [scheme, algorithm] of [
        ["rsa-pkcs1-sha256", "rsa-2048"],
        ["rsa-pss-sha512", "rsa-2048"],
        ["ecdsa-sha384", "ec-p256"],
        ["prehash-sha512", "ed25519"],
        ["prehash-shake256", "ed448"],
        ["prehash-sha256", "ml-dsa-44"],
        ["prehash-sha256", "slh-dsa-sha2-128f"],
      ] as const) {
        if (bench.support(algorithm)?.sign.includes(scheme) !== true) continue;
        const { ref } = await bench.key(algorithm, "sign");
        const answers = await signFacet(bench.device).sign(ref, scheme, "digest", [new Uint8Array(5)]);
        failsWith("BAD_REQUEST", answers, 0, scheme);
      }
    },
  },
  {
    name: "sign refuses encodings that do not fit the modulus",
    async run(bench) {
      const row = bench.support("rsa-2048");
      if (row?.sign.includes("rsa-raw") !== true) return "the device has no raw RSA";
      const { ref } = await bench.key("rsa-2048", "sign");
      const facet = signFacet(bench.device);
      const raw = await facet.sign(ref, "rsa-raw", "digest", [
        new Uint8Array(255),
        new Uint8Array(257),
        new Uint8Array(256).fill(255),
      ]);
      for (const index of [0, 1, 2]) failsWith("BAD_REQUEST", raw, index, "rsa-raw");
      failsWith(
        "BAD_REQUEST",
        await facet.sign(ref, "rsa-pkcs1-raw", "digest", [new Uint8Array(246)]),
        0,
        "rsa-pkcs1-raw",
      );
    },
  },
  {
    name: "sign refuses a digest under pure where it covers the message itself",
    async run(bench) {
      const algorithm = signing(bench, (row) => row.algorithm.startsWith("ed"));
      if (algorithm === undefined) return "the device has no such scheme";
      const { ref } = await bench.key(algorithm, "sign");
      await rejectsWith(
        "NOT_SUPPORTED",
        signFacet(bench.device).sign(ref, "pure", "digest", [new Uint8Array(64)]),
        algorithm,
      );
    },
  },
  {
    name: "sign ml-dsa takes the message representative as its digest",
    async run(bench) {
      const algorithm = signing(bench, (row) => row.algorithm.startsWith("ml-dsa"));
      if (algorithm === undefined) return "the device has no ML-DSA";
      const key = await bench.key(algorithm, "sign");
      // FIPS 204 algorithm 7: tr = H(pk), M' = 0 ‖ 0 ‖ M for an empty context, μ = H(tr ‖ M').
      const tr = shake(publicKeyOf(key).export({ format: "raw-public" }));
      const mu = shake(Buffer.concat([tr, new Uint8Array(2), MESSAGE]));
      const facet = signFacet(bench.device);
      const call = facet.sign(key.ref, "pure", "digest", [mu, mu.subarray(1)]);
      const refused = await call.then(
        () => undefined,
        (error: unknown) => error,
      );
      if (isCasemateError(refused) && refused.code === "NOT_SUPPORTED") return "the device signs whole messages only";
      const answers = await call;
      assert.equal(verify(null, MESSAGE, publicKeyOf(key), value(answers)), true);
      failsWith("BAD_REQUEST", answers, 1, "63 bytes");
      const items = [
        { input: mu, signature: value(answers) },
        { input: tr, signature: value(answers) },
      ];
      assert.deepEqual(await facet.verify(key.ref, "pure", "digest", items), [true, false]);
    },
  },
  {
    name: "sign refuses a scheme of another algorithm",
    async run(bench) {
      const algorithm = signing(bench);
      if (algorithm === undefined) return "the device does not sign";
      const { ref } = await bench.key(algorithm, "sign");
      const foreign: SignScheme =
        bench.support(algorithm)?.sign.includes("ecdsa-sha256") === true ? "pure" : "ecdsa-raw";
      const facet = signFacet(bench.device);
      await rejectsWith("NOT_SUPPORTED", facet.sign(ref, foreign, "message", [MESSAGE]), "sign");
      const items = [{ input: MESSAGE, signature: new Uint8Array(64) }];
      await rejectsWith("NOT_SUPPORTED", facet.verify(ref, foreign, "message", items), "verify");
    },
  },
  {
    name: "sign refuses a key that was made for something else",
    async run(bench) {
      const algorithm = bench.algorithmFor("agree", (row) => row.sign.includes("ecdsa-sha256"));
      if (algorithm === undefined) return "no algorithm of the device has both usages";
      const { ref } = await bench.key(algorithm, "agree");
      await rejectsWith(
        "KEY_USAGE",
        signFacet(bench.device).sign(ref, "ecdsa-sha256", "message", [MESSAGE]),
        algorithm,
      );
    },
  },
  {
    name: "sign refuses an input above a megabyte and takes one of a megabyte",
    async run(bench) {
      const algorithm = signing(bench, (row) => row.sign.includes("ecdsa-sha256"));
      if (algorithm === undefined) return "the device has no ECDSA";
      const key = await bench.key(algorithm, "sign");
      const large = new Uint8Array(1_048_576);
      const answers = await signFacet(bench.device).sign(key.ref, "ecdsa-sha256", "message", [
        large,
        new Uint8Array(1_048_577),
      ]);
      assert.equal(verify("sha256", large, publicKeyOf(key), value(answers)), true);
      failsWith("TOO_LARGE", answers, 1, "one byte more");
    },
  },
];
