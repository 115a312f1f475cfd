import assert from "node:assert/strict";
import { diffieHellman, encapsulate, generateKeyPairSync, type KeyObject } from "node:crypto";
import { KEY_ALGORITHMS, type KeyAlgorithm } from "@casemate/devices/contract";
import { changed, publicKeyOf, rejectsWith, type Case } from "./bench.ts";

function peerOf(own: KeyObject): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  if (own.asymmetricKeyType === "ec")
    return generateKeyPairSync("ec", { namedCurve: own.asymmetricKeyDetails?.namedCurve ?? "" });
  return generateKeyPairSync(own.asymmetricKeyType as "x25519");
}

const der = (key: KeyObject): Uint8Array => key.export({ format: "der", type: "spki" });

const agreement = (algorithm: KeyAlgorithm): Case => ({
  name: `agree ${algorithm} finds the secret that its peer finds`,
  async run(bench) {
    if (bench.support(algorithm)?.usages.includes("agree") !== true)
      return `the device does not agree with ${algorithm}`;
    const { agree } = bench.device;
    assert.ok(agree !== undefined);
    const own = await bench.key(algorithm, "agree");
    const peer = peerOf(publicKeyOf(own));
    const secret = await agree.agree(own.ref, der(peer.publicKey));
    assert.deepEqual(Buffer.from(secret), diffieHellman({ privateKey: peer.privateKey, publicKey: publicKeyOf(own) }));
    const foreign = generateKeyPairSync("ec", { namedCurve: algorithm === "ec-p256" ? "P-384" : "P-256" });
    await rejectsWith("BAD_REQUEST", agree.agree(own.ref, der(foreign.publicKey)), "another curve");
    await rejectsWith("BAD_REQUEST", agree.agree(own.ref, new Uint8Array(91)), "no key at all");
    if (algorithm.startsWith("ec")) {
      const point = der(peer.publicKey);
      await rejectsWith("BAD_REQUEST", agree.agree(own.ref, changed(point, point.length - 1)), "off the curve");
    }
  },
});

const encapsulates = (algorithm: KeyAlgorithm): Case => ({
  name: `kem ${algorithm} opens what others encapsulated, and the other way round`,
  async run(bench) {
    if (bench.support(algorithm)?.usages.includes("kem") !== true) return `the device has no ${algorithm}`;
    const { kem } = bench.device;
    assert.ok(kem !== undefined);
    const own = await bench.key(algorithm, "kem");
    const outside = encapsulate(publicKeyOf(own));
    assert.deepEqual(Buffer.from(await kem.decapsulate(own.ref, outside.ciphertext)), outside.sharedKey);
    const inside = await kem.encapsulate(own.ref);
    assert.deepEqual(await kem.decapsulate(own.ref, inside.ciphertext), inside.sharedSecret);
    assert.equal(inside.sharedSecret.length, 32);
    const implicit = await kem.decapsulate(own.ref, changed(inside.ciphertext, 3));
    assert.notDeepEqual(implicit, inside.sharedSecret);
    await rejectsWith("BAD_REQUEST", kem.decapsulate(own.ref, inside.ciphertext.subarray(1)), "cut");
  },
});

export const exchangeCases: readonly Case[] = [
  ...KEY_ALGORITHMS.filter((name) => /^(ec-|x)/.test(name)).map(agreement),
  ...KEY_ALGORITHMS.filter((name) => name.startsWith("ml-kem")).map(encapsulates),
  {
    name: "agree refuses a key that was made for something else",
    async run(bench) {
      const algorithm = bench.algorithmFor("agree", (row) => row.usages.includes("sign"));
      if (algorithm === undefined || bench.device.agree === undefined)
        return "no algorithm of the device has both usages";
      const own = await bench.key(algorithm, "sign");
      const peer = peerOf(publicKeyOf(own));
      await rejectsWith("KEY_USAGE", bench.device.agree.agree(own.ref, der(peer.publicKey)), algorithm);
    },
  },
];
