/** Keys that other programs put into a token: found and used whatever they were named by. */
import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { test } from "node:test";
import { bad, generate } from "./pkcs11-out-bad.ts";
import { SOFTHSM, missing, openSoftHsm, softHsm } from "./pkcs11-out-harness.ts";

const skip = missing(SOFTHSM, "softhsm2-util", "pkcs11-tool") ?? false;

test(
  "a key pair without CKA_ID is used by its label; two of one label and no id are not guessed between",
  { skip },
  async (t) => {
    using hsm = softHsm("t");
    const pair = ["--keypairgen", "--key-type", "EC:prime256v1", "--usage-sign", "--label"] as const;
    hsm.tool(...pair, "alone");
    hsm.tool(...pair, "twins");
    hsm.tool(...pair, "twins");
    hsm.tool(...pair, "named", "--id", "0a0b");
    const device = await openSoftHsm(hsm, "t");
    t.after(() => device.close());
    const objects = (await device.objects?.list()) ?? [];
    assert.deepEqual(objects.map(({ label, id }) => `${label} ${id}`).toSorted(), [
      "alone ",
      "named 0a0b",
      "twins ",
      "twins ",
    ]);

    const message = Buffer.from("a message");
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", message));
    for (const label of ["alone", "named"]) {
      const found = objects.find((object) => object.label === label);
      assert.ok(found !== undefined);
      const [signature] = (await device.sign?.sign(found.ref, "ecdsa-sha256", "digest", [digest])) ?? [];
      assert.ok(signature instanceof Uint8Array);
      const spki = await device.keys.publicKey(found.ref);
      const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
      assert.ok(verify("sha256", message, key, signature));
    }
    const twin = objects.find(({ label }) => label === "twins");
    assert.ok(twin !== undefined && device.sign !== undefined);
    await assert.rejects(Promise.resolve(device.sign.sign(twin.ref, "ecdsa-sha256", "digest", [digest])), {
      code: "CONFLICT",
    });
  },
);

test(
  "a key made here is for its uses alone in the token, whatever its module takes for granted",
  { skip },
  async (t) => {
    using hsm = softHsm("t");
    const device = await openSoftHsm(hsm, "t");
    t.after(() => device.close());
    await device.keys.generate({ algorithm: "ec-p256", usages: ["sign"], exportable: false, label: "signs" });
    await device.keys.generate({ algorithm: "ec-p256", usages: ["agree"], exportable: false, label: "agrees" });
    await device.keys.generate({ algorithm: "rsa-2048", usages: ["encrypt"], exportable: false, label: "decrypts" });
    const listed = hsm.tool("--list-objects", "--type", "privkey");
    const uses = [...listed.matchAll(/label: +(\w+)[\s\S]*?Usage: +(.*)/g)].map(([, label, use]) => `${label}: ${use}`);
    assert.deepEqual(uses.toSorted(), ["agrees: derive", "decrypts: decrypt", "signs: sign"]);
  },
);

test(
  "a list asks the token to look through its objects as often for few keys as for many",
  { skip: skip === false ? (missing("cc") ?? false) : skip },
  async (t) => {
    const shim = bad(t);
    const searchesOfList = async (keys: number): Promise<number> => {
      const device = await shim.open();
      while (((await device.objects?.list()) ?? []).length < keys) await generate(device);
      await device.close();
      // A module that knows no key yet.
      const fresh = await shim.open();
      const before = shim.searches();
      const objects = (await fresh.objects?.list()) ?? [];
      assert.equal(objects.length, keys);
      assert.ok(objects.every(({ publicKey }) => publicKey !== undefined));
      return shim.searches() - before;
    };
    const ofFew = await searchesOfList(2);
    assert.equal(await searchesOfList(12), ofFew);
  },
);
