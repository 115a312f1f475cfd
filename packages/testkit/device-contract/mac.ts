import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { KEY_ALGORITHMS, type Device, type KeyAlgorithm, type MacFacet } from "@casemate/devices/contract";
import { changed, rejectsWith, value, type Bench, type Case } from "./bench.ts";
import { importKnown } from "./wrap.ts";

const MESSAGE = new TextEncoder().encode("a message of the device contract");

function macFacet(device: Device): MacFacet {
  assert.ok(device.mac !== undefined);
  return device.mac;
}

const authenticates = (algorithm: KeyAlgorithm): Case => ({
  name: `mac ${algorithm} confirms its own and nothing else`,
  async run(bench) {
    const row = bench.support(algorithm);
    if (row === undefined || row.mac.length === 0) return `the device makes no MAC with ${algorithm}`;
    const facet = macFacet(bench.device);
    const { ref } = await bench.key(algorithm, "mac");
    for (const scheme of row.mac) {
      const [mac, again] = (await facet.mac(ref, scheme, [MESSAGE, MESSAGE])) as Uint8Array[];
      assert.ok(mac !== undefined && again !== undefined);
      assert.deepEqual(mac, again);
      const answers = await facet.check(ref, scheme, [
        { input: MESSAGE, mac },
        { input: changed(MESSAGE, 0), mac },
        { input: MESSAGE, mac: changed(mac, 0) },
        { input: MESSAGE, mac: mac.subarray(1) },
        { input: MESSAGE, mac: new Uint8Array() },
        { input: MESSAGE, mac: new Uint8Array(1000) },
      ]);
      assert.deepEqual(answers, [true, false, false, false, false, false], scheme);
      const other = await bench.fresh(algorithm, "mac");
      assert.notDeepEqual(value(await facet.mac(other.ref, scheme, [MESSAGE])), mac);
    }
  },
});

export const macCases: readonly Case[] = [
  ...KEY_ALGORITHMS.filter((name) => /^(hmac|aes)/.test(name)).map(authenticates),
  ...(["hmac-sha256", "hmac-sha384", "hmac-sha512"] as const).map((algorithm) => ({
    name: `mac ${algorithm} is what others call so`,
    async run(bench: Bench) {
      if (bench.support(algorithm) === undefined) return `the device has no ${algorithm}`;
      const raw = randomBytes(32);
      const known = await importKnown(bench, { algorithm, usages: ["mac"], exportable: false }, raw);
      if (typeof known === "string") return known;
      const mac = value(await macFacet(bench.device).mac(known.ref, algorithm, [MESSAGE]));
      assert.deepEqual(Buffer.from(mac), createHmac(algorithm.slice(5), raw).update(MESSAGE).digest());
    },
  })),
  {
    name: "mac refuses a scheme of another algorithm and a key made for something else",
    async run(bench) {
      const algorithm = bench.algorithmFor("mac");
      if (algorithm === undefined) return "the device makes no MACs";
      const facet = macFacet(bench.device);
      const { ref } = await bench.key(algorithm, "mac");
      const foreign = bench.support(algorithm)?.mac.includes("aes-cmac") === true ? "hmac-sha256" : "aes-cmac";
      await rejectsWith("NOT_SUPPORTED", facet.mac(ref, foreign, [MESSAGE]), "mac");
      await rejectsWith("NOT_SUPPORTED", facet.check(ref, foreign, [{ input: MESSAGE, mac: MESSAGE }]), "check");
      const both = bench.algorithmFor("mac", (row) => row.usages.includes("encrypt"));
      if (both === undefined) return;
      const encrypting = await bench.key(both, "encrypt");
      await rejectsWith("KEY_USAGE", facet.mac(encrypting.ref, "aes-cmac", [MESSAGE]), "an encryption key");
    },
  },
];
