import assert from "node:assert/strict";
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
  sign,
  type KeyObject,
} from "node:crypto";
import type { Device, KeyAlgorithm, KeySpec, Many, NewKey, WrapFacet, WrapScheme } from "@casemate/devices/contract";
import { isCasemateError } from "@casemate/foundation/errors";
import { changed, failsWith, publicKeyOf, rejectsWith, value, type Bench, type Case } from "./bench.ts";

const KWP = Buffer.from("a65959a6", "hex");
const KW = Buffer.alloc(8, 0xa6);

function wrapFacet(device: Device): WrapFacet {
  assert.ok(device.wrap !== undefined);
  return device.wrap;
}

function run(cipher: { update(data: Uint8Array): Buffer; final(): Buffer }, data: Uint8Array): Buffer {
  return Buffer.concat([cipher.update(data), cipher.final()]);
}

export const kwp = (kek: Uint8Array, data: Uint8Array): Buffer =>
  run(createCipheriv(`id-aes${kek.length * 8}-wrap-pad`, kek, KWP), data);
export const kwpOpen = (kek: Uint8Array, data: Uint8Array): Buffer =>
  run(createDecipheriv(`id-aes${kek.length * 8}-wrap-pad`, kek, KWP), data);

/** PKCS#11 CKM_RSA_AES_KEY_WRAP, as somebody outside does it. */
function rsaAesKwp(key: KeyObject, material: Uint8Array): Buffer {
  const kek = randomBytes(32);
  const envelope = publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" }, kek);
  return Buffer.concat([envelope, kwp(kek, material)]);
}

/** A key of the device whose value the test knows; a sentence when the device imports nothing. */
export async function importKnown(bench: Bench, spec: KeySpec, material: Uint8Array): Promise<NewKey | string> {
  if (bench.device.wrap === undefined || bench.support("rsa-2048")?.wrap.includes("rsa-aes-kwp") !== true)
    return "the device imports no keys with rsa-aes-kwp";
  const wrapping = await bench.key("rsa-2048", "wrap");
  return bench.device.wrap.import(wrapping.ref, "rsa-aes-kwp", rsaAesKwp(publicKeyOf(wrapping), material), spec);
}

/** An AES key-encryption key that test and device both have. */
async function knownKek(bench: Bench, exportable = false): Promise<{ kek: Buffer; ref: Uint8Array } | string> {
  const kek = randomBytes(32);
  const known = await importKnown(bench, { algorithm: "aes-256", usages: ["wrap"], exportable }, kek);
  return typeof known === "string" ? known : { kek, ref: known.ref };
}

const pkcs8 = (key: KeyObject): Buffer => key.export({ format: "der", type: "pkcs8" });

function foreignPair(
  algorithm: KeyAlgorithm,
): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } | undefined {
  const curves: ReadonlyMap<KeyAlgorithm, string> = new Map<KeyAlgorithm, string>([
    ["ec-p256", "P-256"],
    ["ec-p384", "P-384"],
    ["ec-p521", "P-521"],
    ["ec-secp256k1", "secp256k1"],
  ]);
  const namedCurve = curves.get(algorithm);
  if (namedCurve !== undefined) return generateKeyPairSync("ec", { namedCurve });
  if (algorithm === "rsa-2048") return generateKeyPairSync("rsa", { modulusLength: 2048 });
  if (algorithm.startsWith("rsa") || algorithm.startsWith("aes") || algorithm.startsWith("hmac")) return undefined;
  if (algorithm.startsWith("slh") && !algorithm.endsWith("128f")) return undefined;
  return generateKeyPairSync(algorithm as "ed25519");
}

const IMPORTED: readonly KeyAlgorithm[] = [
  "rsa-2048",
  "ec-p256",
  "ec-p384",
  "ec-p521",
  "ec-secp256k1",
  "ed25519",
  "ed448",
  "x25519",
  "x448",
  "ml-dsa-44",
  "ml-dsa-65",
  "ml-dsa-87",
  "ml-kem-512",
  "ml-kem-768",
  "ml-kem-1024",
  "slh-dsa-sha2-128f",
  "slh-dsa-shake-128f",
];

const imports = (algorithm: KeyAlgorithm): Case => ({
  name: `wrap ${algorithm} goes in and, made exportable, out again unchanged`,
  async run(bench) {
    const usage = bench.support(algorithm)?.usages[0];
    const pair = foreignPair(algorithm);
    if (usage === undefined || pair === undefined) return `the device has no ${algorithm}`;
    const material = pkcs8(pair.privateKey);
    const known = await importKnown(bench, { algorithm, usages: [usage], exportable: true }, material);
    if (typeof known === "string") return known;
    assert.deepEqual(publicKeyOf(known).equals(pair.publicKey), true);
    const kek = await knownKek(bench);
    if (typeof kek === "string") return kek;
    const wrapped = await wrapFacet(bench.device).export(kek.ref, "aes-kwp", known.ref);
    const opened = createPrivateKey({ key: kwpOpen(kek.kek, wrapped), format: "der", type: "pkcs8" });
    assert.equal(opened.equals(pair.privateKey), true);
  },
});

const INPUT = Uint8Array.of(1, 2, 3);

/** What shows that two references are the same key, one way for each use. */
const SAME: Readonly<
  Record<"encrypt" | "mac" | "sign", (device: Device, first: NewKey, second: NewKey) => Promise<void>>
> = {
  async encrypt({ cipher, algorithms }, first, second) {
    const scheme = algorithms
      .find(({ algorithm }) => algorithm === "aes-256")
      ?.cipher.find((name) => name !== "aes-ecb");
    assert.ok(cipher !== undefined && scheme !== undefined);
    const data = value(await cipher.encrypt(first.ref, scheme, [{ data: INPUT }]));
    assert.deepEqual(Uint8Array.from(value(await cipher.decrypt(second.ref, scheme, [{ data }]))), INPUT);
  },
  async mac({ mac }, first, second) {
    assert.ok(mac !== undefined);
    const made = value(await mac.mac(first.ref, "hmac-sha256", [INPUT]));
    assert.equal(value(await mac.check(second.ref, "hmac-sha256", [{ input: INPUT, mac: made }])), true);
  },
  async sign({ sign: facet }, first, second) {
    assert.ok(facet !== undefined && first.publicKey !== undefined);
    assert.deepEqual(second.publicKey, first.publicKey);
    const { asymmetricKeyType } = publicKeyOf(first);
    const scheme =
      asymmetricKeyType === "rsa" ? "rsa-pkcs1-sha256" : asymmetricKeyType === "ec" ? "ecdsa-sha256" : "pure";
    for (const [{ ref }, other] of [
      [first, second],
      [second, first],
    ] as const) {
      const signature: Uint8Array = value(await facet.sign(ref, scheme, "message", [INPUT]));
      assert.equal(value(await facet.verify(other.ref, scheme, "message", [{ input: INPUT, signature }])), true);
    }
  },
};

/** What the device itself wrapped, under a key that never left it: a backup is worth what comes back. */
const returns = (algorithm: KeyAlgorithm, usage: keyof typeof SAME): Case => ({
  name: `wrap ${algorithm} out under a key of the device, and back in`,
  async run(bench) {
    const facet = bench.device.wrap;
    // RFC 3394 takes whole blocks alone, which the encoding of a private key is by chance.
    const fit: readonly WrapScheme[] = usage === "sign" ? ["aes-kwp"] : ["aes-kwp", "aes-kw"];
    const schemes = fit.filter((scheme) => bench.support("aes-256")?.wrap.includes(scheme));
    if (facet === undefined || schemes.length === 0) return "the device wraps with no AES key";
    if (bench.support(algorithm)?.usages.includes(usage) !== true) return `the device has no ${algorithm} to ${usage}`;
    const kek = await bench.key("aes-256", "wrap");
    for (const scheme of schemes) {
      const made = await bench.fresh(algorithm, usage, true);
      const { publicKey } = made;
      const own = publicKey === undefined ? made.ref : (bench.device.keys.expecting?.(made.ref, publicKey) ?? made.ref);
      const wrapped = await facet.export(kek.ref, scheme, own).catch((error: unknown) => error);
      if (wrapped instanceof Error) {
        assert.ok(isCasemateError(wrapped) && wrapped.code === "NOT_EXPORTABLE", String(wrapped));
        return wrapped.message;
      }
      const back = await facet
        .import(kek.ref, scheme, wrapped as Uint8Array, { algorithm, usages: [usage], exportable: false })
        .catch((error: unknown) => error);
      if (back instanceof Error) {
        // A device may say that it cannot, and the key that was to come back twice is unharmed.
        assert.ok(isCasemateError(back) && back.code === "NOT_SUPPORTED", String(back));
        await SAME[usage](bench.device, { ...made, ref: own }, made);
        return back.message;
      }
      await SAME[usage](bench.device, { ...made, ref: own }, back as NewKey);
    }
  },
});

export const wrapCases: readonly Case[] = [
  ...IMPORTED.map(imports),
  returns("aes-128", "encrypt"),
  returns("aes-256", "encrypt"),
  returns("hmac-sha256", "mac"),
  returns("rsa-2048", "sign"),
  returns("ec-p256", "sign"),
  returns("ed25519", "sign"),
  {
    name: "wrap aes-kw and aes-kwp are what others call so",
    async run(bench) {
      const kek = await knownKek(bench);
      if (typeof kek === "string") return kek;
      const facet = wrapFacet(bench.device);
      const material = randomBytes(32);
      const spec: KeySpec = { algorithm: "aes-256", usages: ["encrypt"], exportable: true };
      const kw = run(createCipheriv("id-aes256-wrap", kek.kek, KW), material);
      for (const [scheme, wrapped] of [
        ["aes-kw", kw],
        ["aes-kwp", kwp(kek.kek, material)],
      ] as const) {
        const { ref } = await facet.import(kek.ref, scheme, wrapped, spec);
        assert.deepEqual(Buffer.from(await facet.export(kek.ref, scheme, ref)), wrapped, scheme);
      }
    },
  },
  {
    name: "wrap rsa-aes-kwp exports to a key whose holder opens it",
    async run(bench) {
      if (bench.support("rsa-2048")?.wrap.includes("rsa-aes-kwp") !== true) return "the device has no rsa-aes-kwp";
      const wrapping = await bench.key("rsa-2048", "wrap");
      const target = await bench.fresh("aes-256", "encrypt", true);
      const facet = wrapFacet(bench.device);
      const wrapped = await facet.export(wrapping.ref, "rsa-aes-kwp", target.ref);
      assert.equal(wrapped.length, 256 + 40);
      const spec: KeySpec = { algorithm: "aes-256", usages: ["encrypt"], exportable: false };
      const again = await facet.import(wrapping.ref, "rsa-aes-kwp", wrapped, spec);
      const { cipher } = bench.device;
      if (cipher === undefined) return;
      const data = value(await cipher.encrypt(target.ref, "aes-gcm", [{ data: Uint8Array.of(1, 2, 3) }]));
      const opened = value(await cipher.decrypt(again.ref, "aes-gcm", [{ data }]));
      assert.deepEqual(Uint8Array.from(opened), Uint8Array.of(1, 2, 3));
    },
  },
  {
    name: "wrap never exports a key that was not made exportable",
    async run(bench) {
      const kek = await knownKek(bench);
      if (typeof kek === "string") return kek;
      const facet = wrapFacet(bench.device);
      for (const [algorithm, usage] of [
        ["aes-256", "encrypt"],
        ["ec-p256", "sign"],
      ] as const) {
        const { ref } = await bench.key(algorithm, usage);
        await rejectsWith("NOT_EXPORTABLE", facet.export(kek.ref, "aes-kwp", ref), algorithm);
      }
      await rejectsWith("NOT_EXPORTABLE", facet.export(kek.ref, "aes-kwp", kek.ref), "itself");
    },
  },
  {
    name: "wrap refuses a key that was not made for it and a foreign scheme",
    async run(bench) {
      const kek = await knownKek(bench);
      if (typeof kek === "string") return kek;
      const facet = wrapFacet(bench.device);
      const target = await bench.fresh("aes-256", "encrypt", true);
      const spec: KeySpec = { algorithm: "aes-256", usages: ["encrypt"], exportable: true };
      await rejectsWith("KEY_USAGE", facet.export(target.ref, "aes-kwp", target.ref), "export with an encryption key");
      await rejectsWith("NOT_SUPPORTED", facet.export(kek.ref, "rsa-aes-kwp", target.ref), "export, foreign scheme");
      await rejectsWith("KEY_USAGE", facet.import(target.ref, "aes-kwp", new Uint8Array(40), spec), "import");
      await rejectsWith(
        "NOT_SUPPORTED",
        facet.import(kek.ref, "rsa-aes-kwp", new Uint8Array(40), spec),
        "import, foreign scheme",
      );
    },
  },
  {
    name: "wrap refuses changed and malformed wrappings alike",
    async run(bench) {
      const kek = await knownKek(bench);
      if (typeof kek === "string") return kek;
      const facet = wrapFacet(bench.device);
      const spec: KeySpec = { algorithm: "aes-256", usages: ["encrypt"], exportable: false };
      const wrapped = kwp(kek.kek, randomBytes(32));
      for (const bad of [changed(wrapped, 0), wrapped.subarray(8), wrapped.subarray(1), new Uint8Array()])
        await rejectsWith("DECRYPT_FAILED", facet.import(kek.ref, "aes-kwp", bad, spec), `${bad.length} bytes`);
      await rejectsWith(
        "DECRYPT_FAILED",
        facet.import(kek.ref, "aes-kw", new Uint8Array(16), spec),
        "undersized aes-kw",
      );
      const rsa = await bench.key("rsa-2048", "wrap");
      const sealed = rsaAesKwp(publicKeyOf(rsa), randomBytes(32));
      for (const bad of [changed(sealed, 0), changed(sealed, 290), sealed.subarray(0, 256), sealed.subarray(0, 100)])
        await rejectsWith("DECRYPT_FAILED", facet.import(rsa.ref, "rsa-aes-kwp", bad, spec), `rsa ${bad.length} bytes`);
      await rejectsWith("TOO_LARGE", facet.import(kek.ref, "aes-kwp", new Uint8Array(16_385), spec), "too large");
    },
  },
  {
    name: "wrap refuses material that is not the key it is said to be",
    async run(bench) {
      const kek = await knownKek(bench);
      if (typeof kek === "string") return kek;
      const facet = wrapFacet(bench.device);
      const tries: readonly (readonly [KeySpec["algorithm"], KeySpec["usages"], Uint8Array])[] = [
        ["aes-256", ["encrypt"], randomBytes(16)],
        ["hmac-sha256", ["mac"], randomBytes(8)],
        ["ec-p256", ["sign"], pkcs8(generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey)],
        ["ed25519", ["sign"], pkcs8(generateKeyPairSync("x25519").privateKey)],
        ["ml-dsa-65", ["sign"], pkcs8(generateKeyPairSync("ml-dsa-44").privateKey)],
        ["ec-p256", ["sign"], randomBytes(120)],
      ];
      for (const [algorithm, usages, material] of tries) {
        if (bench.support(algorithm) === undefined) continue;
        const wrapped = kwp(kek.kek, material);
        await rejectsWith(
          "BAD_REQUEST",
          facet.import(kek.ref, "aes-kwp", wrapped, { algorithm, usages, exportable: false }),
          `${material.length} bytes as ${algorithm}`,
        );
      }
    },
  },
  {
    name: "wrap refuses halves of a key that do not belong together",
    async run(bench) {
      const kek = await knownKek(bench);
      if (typeof kek === "string" || bench.support("ec-p256") === undefined) return "the device imports no such keys";
      const one = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const other = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const forged = Buffer.from(pkcs8(one.privateKey));
      // The last 65 bytes of this PKCS#8 are the public point.
      other.publicKey.export({ format: "der", type: "spki" }).copy(forged, forged.length - 65, 26);
      const parsed = createPrivateKey({ key: forged, format: "der", type: "pkcs8" });
      assert.ok(sign("sha256", forged, parsed).length > 0);
      const spec: KeySpec = { algorithm: "ec-p256", usages: ["sign"], exportable: false };
      await rejectsWith(
        "BAD_REQUEST",
        wrapFacet(bench.device).import(kek.ref, "aes-kwp", kwp(kek.kek, forged), spec),
        "mixed halves",
      );
    },
  },
  {
    name: "dataKeys come wrapped, with plaintext only when asked, bound to their context",
    async run(bench) {
      const { dataKeys, cipher } = bench.device;
      const algorithm = bench.algorithmFor("encrypt", (row) => row.cipher.includes("aes-gcm"));
      if (dataKeys === undefined || cipher === undefined || algorithm === undefined)
        return "the device has no data keys";
      const { ref } = await bench.key(algorithm, "encrypt");
      const context = new TextEncoder().encode("disk 3");
      for (const bytes of [16, 24, 32, 64] as const) {
        const made = await dataKeys.generate(ref, { count: 3, bytes, plaintext: true, context });
        assert.equal(made.length, 3);
        assert.equal(new Set(made.map(({ plaintext }) => Buffer.from(plaintext ?? []).toString("hex"))).size, 3);
        const opened: Many<Uint8Array> = await cipher.decrypt(
          ref,
          "aes-gcm",
          made.map(({ wrapped }) => ({ data: wrapped, context })),
        );
        for (const [index, { plaintext }] of made.entries()) assert.deepEqual(value(opened, index), plaintext);
        const elsewhere = await cipher.decrypt(ref, "aes-gcm", [{ data: made[0]?.wrapped ?? context }]);
        failsWith("DECRYPT_FAILED", elsewhere, 0, "without its context");
      }
      const many = await dataKeys.generate(ref, { count: 5000, bytes: 32, plaintext: false });
      assert.equal(many.length, 5000);
      assert.ok(many.every(({ plaintext }) => plaintext === undefined));
      const none = dataKeys.generate(ref, { count: 0, bytes: 32, plaintext: false });
      await rejectsWith("BAD_REQUEST", none, "none");
      const odd = dataKeys.generate(ref, { count: 1, bytes: 17 as 16, plaintext: false });
      await rejectsWith("BAD_REQUEST", odd, "17 bytes");
      const signing = bench.algorithmFor("sign");
      if (signing === undefined) return;
      const wrong = dataKeys.generate((await bench.key(signing, "sign")).ref, {
        count: 1,
        bytes: 32,
        plaintext: false,
      });
      await rejectsWith("KEY_USAGE", wrong, "a signing key");
    },
  },
];
