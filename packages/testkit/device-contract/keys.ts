import assert from "node:assert/strict";
import { KEY_ALGORITHMS, USAGES, type Device, type KeyAlgorithm, type KeyRef } from "@casemate/devices/contract";
import { isCasemateError } from "@casemate/foundation/errors";
import { changed, publicKeyOf, rejectsWith, type Bench, type Case } from "./bench.ts";

const MESSAGE = new TextEncoder().encode("contract");

/** Node's key type and, for curves and RSA, its detail. */
const PUBLIC_TYPES: ReadonlyMap<KeyAlgorithm, readonly [string, string | number | undefined]> = new Map<
  KeyAlgorithm,
  readonly [string, string | number | undefined]
>([
  ["rsa-2048", ["rsa", 2048]],
  ["rsa-3072", ["rsa", 3072]],
  ["rsa-4096", ["rsa", 4096]],
  ["ec-p256", ["ec", "prime256v1"]],
  ["ec-p384", ["ec", "secp384r1"]],
  ["ec-p521", ["ec", "secp521r1"]],
  ["ec-secp256k1", ["ec", "secp256k1"]],
]);
const isSecret = (algorithm: KeyAlgorithm): boolean => algorithm.startsWith("aes") || algorithm.startsWith("hmac");

/** One call per facet with this reference. */
function everyUse(device: Device, ref: KeyRef): [string, Promise<unknown>][] {
  const data = new Uint8Array(16);
  return [
    ["publicKey", device.keys.publicKey(ref)],
    ...(device.sign === undefined
      ? []
      : ([["sign", device.sign.sign(ref, "ecdsa-sha256", "message", [data])]] as [string, Promise<unknown>][])),
    ...(device.cipher === undefined
      ? []
      : ([
          ["encrypt", device.cipher.encrypt(ref, "aes-gcm", [{ data }])],
          ["decrypt", device.cipher.decrypt(ref, "aes-gcm", [{ data: new Uint8Array(44) }])],
        ] as [string, Promise<unknown>][])),
    ...(device.mac === undefined
      ? []
      : ([["mac", device.mac.mac(ref, "hmac-sha256", [data])]] as [string, Promise<unknown>][])),
    ...(device.kem === undefined
      ? []
      : ([["encapsulate", device.kem.encapsulate(ref)]] as [string, Promise<unknown>][])),
    ...(device.wrap === undefined
      ? []
      : ([["export", device.wrap.export(ref, "aes-kwp", ref)]] as [string, Promise<unknown>][])),
    ...(device.dataKeys === undefined
      ? []
      : ([["dataKeys", device.dataKeys.generate(ref, { count: 1, bytes: 32, plaintext: false })]] as [
          string,
          Promise<unknown>,
        ][])),
  ];
}

async function refused(device: Device, ref: KeyRef, what: string): Promise<void> {
  await Promise.all(everyUse(device, ref).map(([name, call]) => rejectsWith("NOT_FOUND", call, `${what}, ${name}`)));
}

const generates = (algorithm: KeyAlgorithm): Case => ({
  name: `keys ${algorithm} is generated`,
  async run(bench) {
    const support = bench.support(algorithm);
    const usage = support?.usages[0];
    if (usage === undefined) return `the device does not make ${algorithm}`;
    const key = await bench.key(algorithm, usage);
    assert.ok(key.ref.length > 0);
    if (isSecret(algorithm)) {
      assert.equal(key.publicKey, undefined);
      await rejectsWith("NOT_SUPPORTED", bench.device.keys.publicKey(key.ref), "public key of a secret key");
      return;
    }
    const [type, detail] = PUBLIC_TYPES.get(algorithm) ?? [algorithm, undefined];
    const found = publicKeyOf(key);
    assert.equal(found.asymmetricKeyType, type);
    if (typeof detail === "number") assert.equal(found.asymmetricKeyDetails?.modulusLength, detail);
    if (typeof detail === "string") assert.equal(found.asymmetricKeyDetails?.namedCurve, detail);
    assert.deepEqual(await bench.device.keys.publicKey(key.ref), key.publicKey);
  },
});

async function anyKey(bench: Bench): Promise<KeyRef> {
  const [row] = bench.device.algorithms.filter(({ algorithm }) => !algorithm.startsWith("rsa"));
  assert.ok(row?.usages[0] !== undefined, "the device makes no quick key");
  return (await bench.fresh(row.algorithm, row.usages[0])).ref;
}

export const keyCases: readonly Case[] = [
  {
    name: "identity says what the device is",
    async run({ device }) {
      assert.match(device.identity.id, /./);
      assert.ok(["hsm", "tpm", "enclave", "card"].includes(device.identity.kind));
      assert.equal(typeof device.identity.virtual, "boolean");
      if (device.identity.virtual) assert.deepEqual(device.identity.certifications, []);
      const status = await device.status();
      assert.equal(status.state, "operational");
      for (const count of Object.values(status.counters)) assert.ok(Number.isFinite(count));
    },
  },
  {
    name: "algorithms name only facets that exist",
    async run({ device }) {
      assert.ok(device.algorithms.length > 0);
      for (const row of device.algorithms) {
        assert.ok(KEY_ALGORITHMS.includes(row.algorithm));
        for (const usage of row.usages) assert.ok(USAGES.includes(usage));
        if (row.sign.length > 0) assert.ok(device.sign !== undefined && row.usages.includes("sign"));
        if (row.cipher.length > 0) assert.ok(device.cipher !== undefined && row.usages.includes("encrypt"));
        if (row.mac.length > 0) assert.ok(device.mac !== undefined && row.usages.includes("mac"));
        if (row.wrap.length > 0) assert.ok(device.wrap !== undefined && row.usages.includes("wrap"));
        if (row.usages.includes("agree")) assert.ok(device.agree !== undefined);
        if (row.usages.includes("kem")) assert.ok(device.kem !== undefined);
      }
    },
  },
  {
    name: "random gives as many fresh bytes as asked, and refuses other amounts",
    async run({ device }) {
      const [one, two] = await Promise.all([device.random(32), device.random(32)]);
      assert.equal(one.length, 32);
      assert.notDeepEqual(one, two);
      assert.equal((await device.random(65_536)).length, 65_536);
      await rejectsWith("BAD_REQUEST", device.random(0), "none");
      await rejectsWith("BAD_REQUEST", device.random(65_537), "too many");
      await rejectsWith("BAD_REQUEST", device.random(1.5), "a fraction");
    },
  },
  ...KEY_ALGORITHMS.map(generates),
  {
    name: "keys refuse a usage that their algorithm has not",
    async run({ device }) {
      const row = device.algorithms.find(({ usages }) => !usages.includes("kem"));
      if (row === undefined) return "every algorithm of the device has every usage";
      await rejectsWith(
        "NOT_SUPPORTED",
        device.keys.generate({ algorithm: row.algorithm, usages: ["kem"], exportable: false }),
        `kem with ${row.algorithm}`,
      );
      await rejectsWith(
        "BAD_REQUEST",
        device.keys.generate({ algorithm: row.algorithm, usages: [], exportable: false }),
        "no usage",
      );
    },
  },
  {
    name: "keys that wrap do not also decrypt, nor sign with RSA: they would hand out what they wrap",
    async run({ device }) {
      const pairs = device.algorithms.flatMap(({ algorithm, usages }) =>
        (algorithm.startsWith("rsa-") ? (["encrypt", "sign"] as const) : (["encrypt"] as const))
          .filter((usage) => usages.includes(usage) && usages.includes("wrap"))
          .map((usage) => [algorithm, usage] as const),
      );
      if (pairs.length === 0) return "no key of the device both wraps and does more";
      for (const [algorithm, usage] of pairs)
        await assert.rejects(
          device.keys.generate({ algorithm, usages: [usage, "wrap"], exportable: false }),
          (error) => isCasemateError(error) && error.code === "NOT_SUPPORTED" && error.hint !== undefined,
          `${algorithm} for ${usage} and wrap`,
        );
    },
  },
  {
    name: "keys with a changed reference are not found",
    async run(bench) {
      const ref = await anyKey(bench);
      for (const at of [0, 5, Math.floor(ref.length / 2), ref.length - 1])
        await refused(bench.device, changed(ref, at), `byte ${at} changed`);
    },
  },
  {
    name: "keys with a reference of the wrong size are not found",
    async run(bench) {
      const ref = await anyKey(bench);
      await refused(bench.device, new Uint8Array(), "empty");
      await refused(bench.device, ref.subarray(0, ref.length - 1), "cut");
      await refused(bench.device, Uint8Array.of(...ref, 0), "one byte too many");
      await refused(bench.device, new Uint8Array(100_000), "huge");
    },
  },
  {
    name: "keys of another device are not found",
    async run(bench) {
      if (bench.other === undefined) return "no second device was given";
      const row = bench.device.algorithms.find(({ algorithm }) => !algorithm.startsWith("rsa"));
      assert.ok(row?.usages[0] !== undefined);
      const { ref } = await bench.other.keys.generate({
        algorithm: row.algorithm,
        usages: [row.usages[0]],
        exportable: true,
      });
      await refused(bench.device, ref, "foreign");
    },
  },
  {
    name: "keys that were destroyed are not found",
    async run(bench) {
      const ref = await anyKey(bench);
      const copy = Uint8Array.from(ref);
      await bench.device.keys.destroy(ref);
      await refused(bench.device, copy, "destroyed");
      await rejectsWith("NOT_FOUND", bench.device.keys.destroy(copy), "destroyed twice");
    },
  },
  {
    name: "keys cannot be destroyed by a changed reference",
    async run(bench) {
      const ref = await anyKey(bench);
      await rejectsWith("NOT_FOUND", bench.device.keys.destroy(changed(ref, ref.length - 1)), "changed");
      await rejectsWith("NOT_FOUND", bench.device.keys.destroy(MESSAGE), "nonsense");
      await bench.device.keys.destroy(ref);
    },
  },
  {
    name: "watch can be ended",
    async run({ device }) {
      if (device.watch === undefined) return "the device reports no events";
      const end = device.watch.watch(() => assert.fail("called after its end"));
      end();
    },
  },
];
