import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { manualClock, systemRandom } from "@casemate/foundation/effects";
import { toUtf8 } from "@casemate/foundation/bytes";
import type { Caller, Keyring, KeyView, ObjectStore } from "@casemate/keyring/core";
import { CKA, CKO } from "@casemate/protocols/p11-rpc";
import { Catalogue } from "./catalogue.ts";
import type { Value } from "./values.ts";

const caller: Caller = { principal: "u", kind: "user", roles: ["user"], source: "test" };
const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));

function view(i: number, state: KeyView["state"] = "active"): KeyView {
  return {
    name: `key-${i}`,
    id: `id-${i}`,
    algorithm: "ec-p256",
    usages: ["sign"],
    exportable: false,
    device: "hsm-1",
    labels: { "pkcs11.key.102": `x${Buffer.from(`id ${i}`).toString("base64url")}` },
    state,
    primaryVersion: 1,
    versions: [{ version: 1, state, device: "hsm-1", createdAt: "2030-01-01T00:00:00Z", publicKey: spki }],
    createdAt: "2030-01-01T00:00:00Z",
    createdBy: "u",
    uses: 0,
    warnings: [],
  };
}

/** A catalogue over a list that the test may change. */
function over(keys: KeyView[]) {
  const clock = manualClock();
  const keyring = {
    listKeys: (_caller: Caller, { limit = 100, cursor = "0" }: { limit?: number; cursor?: string }) => {
      const from = Number(cursor);
      const items = keys.slice(from, from + limit);
      return Promise.resolve(from + limit < keys.length ? { items, next: `${from + limit}` } : { items });
    },
  } as unknown as Keyring;
  const objects = { find: () => Promise.resolve({ items: [] }) } as unknown as ObjectStore;
  const log = { info: () => undefined, warn: () => undefined };
  return { clock, catalogue: new Catalogue({ keyring, objects, clock, random: systemRandom, log }) };
}

const template = (...entries: [number, Value][]): Map<number, Value> => new Map(entries);
const privateKey: [number, Value] = [CKA.CLASS, CKO.PRIVATE_KEY];

test("one of 10 000 keys is found by label or by id within a millisecond", async () => {
  const { catalogue } = over(Array.from({ length: 10_000 }, (_, i) => view(i)));
  for (const attribute of [CKA.LABEL, CKA.ID]) {
    const text = (i: number): Uint8Array => toUtf8(attribute === CKA.LABEL ? `key-${i}` : `id ${i}`);
    await catalogue.find(caller, template([attribute, text(0)]));
    const begun = performance.now();
    for (let i = 0; i < 200; i++) {
      const found = await catalogue.find(caller, template(privateKey, [attribute, text(i * 49)]));
      assert.equal(found.length, 1);
    }
    const each = (performance.now() - begun) / 200;
    assert.ok(each <= 1, `${each.toFixed(3)} ms`);
  }
});

test("keys made or destroyed elsewhere are seen after two seconds, a missing one at once", async () => {
  const keys = [view(1)];
  const { catalogue, clock } = over(keys);
  const named = (i: number) => catalogue.find(caller, template(privateKey, [CKA.LABEL, toUtf8(`key-${i}`)]));
  assert.equal((await named(1)).length, 1);
  keys.push(view(2));
  clock.advance(2001);
  assert.equal((await named(2)).length, 1);
  keys[0] = view(1, "destroyed");
  clock.advance(2001);
  await named(1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await named(1)).length, 0);
});
