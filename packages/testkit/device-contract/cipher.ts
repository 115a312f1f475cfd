import assert from "node:assert/strict";
import { constants, createDecipheriv, publicEncrypt, randomBytes, type CipherGCMTypes } from "node:crypto";
import {
  KEY_ALGORITHMS,
  type CipherFacet,
  type CipherScheme,
  type Device,
  type KeyAlgorithm,
} from "@casemate/devices/contract";
import { isCasemateError } from "@casemate/foundation/errors";
import { changed, failsWith, publicKeyOf, rejectsWith, value, type Bench, type Case } from "./bench.ts";
import { importKnown } from "./wrap.ts";

const TEXT = new TextEncoder();

function cipherFacet(device: Device): CipherFacet {
  assert.ok(device.cipher !== undefined);
  return device.cipher;
}

/** Bytes that each scheme takes. */
const plaintextFor = (scheme: CipherScheme): Uint8Array =>
  scheme === "aes-ecb" ? new Uint8Array(32).fill(9) : TEXT.encode("attack at dawn, not before");
/** Which schemes notice a change of a ciphertext byte. */
const AUTHENTIC: ReadonlySet<CipherScheme> = new Set<CipherScheme>([
  "aes-gcm",
  "rsa-oaep-sha256",
  "rsa-oaep-sha384",
  "rsa-oaep-sha512",
  "rsa-oaep-sha1",
]);

const roundTrips = (algorithm: KeyAlgorithm): Case => ({
  name: `cipher ${algorithm} decrypts what it encrypted`,
  async run(bench) {
    const row = bench.support(algorithm);
    if (row === undefined || row.cipher.length === 0) return `the device does not encrypt with ${algorithm}`;
    const facet = cipherFacet(bench.device);
    const { ref } = await bench.key(algorithm, "encrypt");
    for (const scheme of row.cipher) {
      const data = plaintextFor(scheme);
      const sealed = value(await facet.encrypt(ref, scheme, [{ data }]));
      assert.notDeepEqual(sealed, data);
      assert.deepEqual(Uint8Array.from(value(await facet.decrypt(ref, scheme, [{ data: sealed }]))), data, scheme);
      if (!AUTHENTIC.has(scheme)) continue;
      const wrong = [changed(sealed, 0), changed(sealed, sealed.length - 1), sealed.subarray(1), new Uint8Array()];
      const answers = await facet.decrypt(
        ref,
        scheme,
        wrong.map((bytes) => ({ data: bytes })),
      );
      for (const index of wrong.keys()) failsWith("DECRYPT_FAILED", answers, index, `${scheme} changed ${index}`);
    }
  },
});

async function decryptsElsewhere(
  bench: Bench,
  scheme: "aes-gcm" | "aes-cbc" | "aes-ctr" | "aes-ecb",
): Promise<string | void> {
  if (bench.support("aes-256")?.cipher.includes(scheme) !== true) return `the device has no ${scheme}`;
  const raw = randomBytes(32);
  const known = await importKnown(bench, { algorithm: "aes-256", usages: ["encrypt"], exportable: false }, raw);
  if (typeof known === "string") return known;
  const data = plaintextFor(scheme);
  const context = scheme === "aes-gcm" ? TEXT.encode("invoice 7") : new Uint8Array();
  const sealed = value(await cipherFacet(bench.device).encrypt(known.ref, scheme, [{ data, context }]));
  if (scheme === "aes-gcm") {
    assert.equal(sealed.length, 12 + data.length + 16);
    const decipher = createDecipheriv("aes-256-gcm" satisfies CipherGCMTypes, raw, sealed.subarray(0, 12));
    decipher.setAAD(context);
    decipher.setAuthTag(sealed.subarray(-16));
    assert.deepEqual(decipher.update(sealed.subarray(12, -16)), Buffer.from(data));
    decipher.final();
    return;
  }
  const ivLength = scheme === "aes-ecb" ? 0 : 16;
  const decipher = createDecipheriv(
    `aes-256-${scheme.slice(4)}`,
    raw,
    ivLength === 0 ? null : sealed.subarray(0, ivLength),
  );
  if (scheme === "aes-ecb") decipher.setAutoPadding(false);
  assert.deepEqual(Buffer.concat([decipher.update(sealed.subarray(ivLength)), decipher.final()]), Buffer.from(data));
}

const OAEP = ["rsa-oaep-sha256", "rsa-oaep-sha384", "rsa-oaep-sha512", "rsa-oaep-sha1"] as const;

export const cipherCases: readonly Case[] = [
  ...KEY_ALGORITHMS.filter((name) => /^(rsa|aes)/.test(name)).map(roundTrips),
  ...(["aes-gcm", "aes-cbc", "aes-ctr", "aes-ecb"] as const).map((scheme) => ({
    name: `cipher ${scheme} is what others call so`,
    run: (bench: Bench) => decryptsElsewhere(bench, scheme),
  })),
  ...OAEP.map((scheme) => ({
    name: `cipher ${scheme} decrypts what others encrypted`,
    async run(bench: Bench) {
      if (bench.support("rsa-2048")?.cipher.includes(scheme) !== true) return `the device has no ${scheme}`;
      const key = await bench.key("rsa-2048", "encrypt");
      const oaepLabel = TEXT.encode("label");
      const options = {
        key: publicKeyOf(key),
        padding: constants.RSA_PKCS1_OAEP_PADDING,
        oaepHash: scheme.slice(9),
        oaepLabel,
      };
      const data = publicEncrypt(options, TEXT.encode("secret"));
      const facet = cipherFacet(bench.device);
      const labelled = await facet.decrypt(key.ref, scheme, [{ data, context: oaepLabel }]);
      // Some HSMs take no label. They say so, in both directions, and decrypt what has none.
      if (!bench.device.identity.virtual && isCasemateError(labelled[0]) && labelled[0].code === "NOT_SUPPORTED") {
        const refused = await facet.encrypt(key.ref, scheme, [{ data: TEXT.encode("secret"), context: oaepLabel }]);
        failsWith("NOT_SUPPORTED", refused, 0, "encrypt with a label");
        const { oaepLabel: _, ...plain } = options;
        const bare = [{ data: publicEncrypt(plain, TEXT.encode("secret")) }];
        assert.deepEqual(Uint8Array.from(value(await facet.decrypt(key.ref, scheme, bare))), TEXT.encode("secret"));
        return;
      }
      assert.deepEqual(Uint8Array.from(value(labelled)), TEXT.encode("secret"));
      failsWith("DECRYPT_FAILED", await facet.decrypt(key.ref, scheme, [{ data }]), 0, "without its label");
    },
  })),
  {
    name: "cipher rsa refuses what does not fit",
    async run(bench) {
      if (bench.support("rsa-2048")?.cipher.includes("rsa-oaep-sha256") !== true) return "the device has no RSA-OAEP";
      const { ref } = await bench.key("rsa-2048", "encrypt");
      const facet = cipherFacet(bench.device);
      const answers = await facet.encrypt(ref, "rsa-oaep-sha256", [
        { data: new Uint8Array(190) },
        { data: new Uint8Array(191) },
      ]);
      assert.equal(value(answers).length, 256);
      failsWith("TOO_LARGE", answers, 1, "191 bytes");
    },
  },
  {
    name: "cipher aes-gcm binds its context and never repeats a nonce",
    async run(bench) {
      const algorithm = bench.algorithmFor("encrypt", (row) => row.cipher.includes("aes-gcm"));
      if (algorithm === undefined) return "the device has no AES-GCM";
      const { ref } = await bench.key(algorithm, "encrypt");
      const facet = cipherFacet(bench.device);
      const context = TEXT.encode("row 1");
      const sealed = value(await facet.encrypt(ref, "aes-gcm", [{ data: TEXT.encode("x"), context }]));
      const other = [{ data: sealed, context: TEXT.encode("row 2") }, { data: sealed }];
      const answers = await facet.decrypt(ref, "aes-gcm", other);
      for (const index of other.keys()) failsWith("DECRYPT_FAILED", answers, index, "another context");
      const batch = Array.from({ length: 300 }, () => ({ data: new Uint8Array(1) }));
      const batches = await Promise.all([1, 2, 3].map(() => facet.encrypt(ref, "aes-gcm", batch)));
      const singles = await Promise.all(batch.map((item) => facet.encrypt(ref, "aes-gcm", [item])));
      const nonces = [...batches.flat(), ...singles.flat()].map((item) => {
        assert.ok(item instanceof Uint8Array);
        return Buffer.from(item.subarray(0, 12)).toString("hex");
      });
      assert.equal(new Set(nonces).size, 1200);
    },
  },
  {
    name: "cipher aes-gcm refuses a nonce of the caller's",
    async run(bench) {
      const algorithm = bench.algorithmFor("encrypt", (row) => row.cipher.includes("aes-gcm"));
      if (algorithm === undefined) return "the device has no AES-GCM";
      const { ref } = await bench.key(algorithm, "encrypt");
      const items = [{ data: new Uint8Array(1), iv: new Uint8Array(12) }, { data: new Uint8Array(1) }];
      const answers = await cipherFacet(bench.device).encrypt(ref, "aes-gcm", items);
      failsWith("NOT_SUPPORTED", answers, 0, "a given nonce");
      assert.equal(value(answers, 1).length, 29);
    },
  },
  {
    name: "cipher aes-cbc and aes-ctr take an iv of 16 bytes and no other",
    async run(bench) {
      for (const scheme of ["aes-cbc", "aes-ctr"] as const) {
        const algorithm = bench.algorithmFor("encrypt", (row) => row.cipher.includes(scheme));
        if (algorithm === undefined) continue;
        const { ref } = await bench.key(algorithm, "encrypt");
        const iv = new Uint8Array(16).fill(5);
        const facet = cipherFacet(bench.device);
        const answers = await facet.encrypt(ref, scheme, [
          { data: TEXT.encode("x"), iv },
          { data: TEXT.encode("x"), iv: new Uint8Array(12) },
          { data: TEXT.encode("x"), context: iv },
        ]);
        assert.deepEqual(Uint8Array.from(value(answers).subarray(0, 16)), iv);
        failsWith("BAD_REQUEST", answers, 1, `${scheme} with 12 bytes`);
        failsWith("BAD_REQUEST", answers, 2, `${scheme} with a context`);
        failsWith("DECRYPT_FAILED", await facet.decrypt(ref, scheme, [{ data: iv.subarray(1) }]), 0, "15 bytes");
      }
    },
  },
  {
    name: "cipher aes-ecb takes whole blocks only",
    async run(bench) {
      const algorithm = bench.algorithmFor("encrypt", (row) => row.cipher.includes("aes-ecb"));
      if (algorithm === undefined) return "the device has no AES-ECB";
      const { ref } = await bench.key(algorithm, "encrypt");
      const facet = cipherFacet(bench.device);
      failsWith("BAD_REQUEST", await facet.encrypt(ref, "aes-ecb", [{ data: new Uint8Array(17) }]), 0, "17 bytes");
      failsWith("DECRYPT_FAILED", await facet.decrypt(ref, "aes-ecb", [{ data: new Uint8Array(17) }]), 0, "17 bytes");
    },
  },
  {
    name: "cipher refuses a scheme of another algorithm and a key made for something else",
    async run(bench) {
      const algorithm = bench.algorithmFor("encrypt", (row) => row.cipher.includes("aes-gcm"));
      if (algorithm === undefined) return "the device has no AES-GCM";
      const facet = cipherFacet(bench.device);
      const { ref } = await bench.key(algorithm, "encrypt");
      const items = [{ data: new Uint8Array(32) }];
      await rejectsWith("NOT_SUPPORTED", facet.encrypt(ref, "rsa-oaep-sha256", items), "encrypt");
      await rejectsWith("NOT_SUPPORTED", facet.decrypt(ref, "rsa-oaep-sha256", items), "decrypt");
      if (bench.support(algorithm)?.usages.includes("wrap") !== true) return;
      const wrapping = await bench.key(algorithm, "wrap");
      await rejectsWith("KEY_USAGE", facet.encrypt(wrapping.ref, "aes-gcm", items), "encrypt with a wrapping key");
      await rejectsWith("KEY_USAGE", facet.decrypt(wrapping.ref, "aes-ecb", items), "decrypt with a wrapping key");
    },
  },
  {
    name: "cipher refuses data above a megabyte",
    async run(bench) {
      const algorithm = bench.algorithmFor("encrypt", (row) => row.cipher.includes("aes-gcm"));
      if (algorithm === undefined) return "the device has no AES-GCM";
      const { ref } = await bench.key(algorithm, "encrypt");
      const facet = cipherFacet(bench.device);
      const data = new Uint8Array(1_048_576);
      const answers = await facet.encrypt(ref, "aes-gcm", [{ data }, { data: new Uint8Array(1_048_577) }]);
      failsWith("TOO_LARGE", answers, 1, "one byte more");
      const opened = value(await facet.decrypt(ref, "aes-gcm", [{ data: value(answers) }]));
      assert.equal(opened.length, data.length);
    },
  },
];
