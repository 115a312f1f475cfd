import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { systemClock, systemRandom } from "@casemate/foundation/effects";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import type { Caller, Keyring, KeyringChange, KeyView, ObjectStore } from "@casemate/keyring/core";
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
    origin: "generated",
    labels: { "pkcs11.key.102": `x${Buffer.from(`id ${i}`).toString("base64url")}` },
    state,
    primaryVersion: 1,
    versions: [
      { version: 1, origin: "generated", state, device: "hsm-1", createdAt: "2030-01-01T00:00:00Z", publicKey: spki },
    ],
    createdAt: "2030-01-01T00:00:00Z",
    createdBy: "u",
    uses: 0,
    warnings: [],
  };
}

/** A catalogue over a list that the test may change; `tell` is the keyring's word about it. */
function over(keys: KeyView[]) {
  const listeners = new Set<(change: KeyringChange) => void>();
  const asked = { lists: 0, keys: 0 };
  const keyring = {
    subscribe(listener: (change: KeyringChange) => void) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    listKeys(_caller: Caller, { limit = 100, cursor = "0" }: { limit?: number; cursor?: string }) {
      asked.lists++;
      const from = Number(cursor);
      const items = keys.slice(from, from + limit);
      return Promise.resolve(from + limit < keys.length ? { items, next: `${from + limit}` } : { items });
    },
    async getKey(_caller: Caller, name: string) {
      asked.keys++;
      const found = keys.find((key) => key.name === name);
      if (found === undefined) throw new CasemateError("FORBIDDEN", "not for you");
      return found;
    },
  } as unknown as Keyring;
  const objects = { find: () => Promise.resolve({ items: [] }) } as unknown as ObjectStore;
  const log = { info: () => undefined, warn: () => undefined };
  const catalogue = new Catalogue({
    keyring,
    objects,
    clock: systemClock,
    random: systemRandom,
    log,
    service: undefined,
  });
  const tell = (change: KeyringChange): void => listeners.forEach((listener) => listener(change));
  return { catalogue, asked, tell, listeners };
}

const template = (...entries: [number, Value][]): Map<number, Value> => new Map(entries);
const privateKey: [number, Value] = [CKA.CLASS, CKO.PRIVATE_KEY];

test("one of 10 000 keys is found by label or by id, and the keyring is read once for all that", async () => {
  const { catalogue, asked } = over(Array.from({ length: 10_000 }, (_, i) => view(i)));
  for (const attribute of [CKA.LABEL, CKA.ID]) {
    const text = (i: number): Uint8Array => toUtf8(attribute === CKA.LABEL ? `key-${i}` : `id ${i}`);
    for (let i = 0; i < 200; i++) {
      const found = await catalogue.find(caller, template(privateKey, [attribute, text(i * 49)]));
      assert.equal(found.length, 1);
    }
  }
  assert.deepEqual(asked, { lists: 10, keys: 0 });
});

test("a key made, changed or hidden elsewhere is seen so by the next search, which asks for that key alone", async () => {
  const keys = [view(1)];
  const { catalogue, asked, tell, listeners } = over(keys);
  const named = async (i: number): Promise<number> =>
    (await catalogue.find(caller, template(privateKey, [CKA.LABEL, toUtf8(`key-${i}`)]))).length;
  assert.deepEqual([await named(1), await named(2)], [1, 0]);
  keys.push(view(2));
  assert.equal(await named(2), 0);
  tell({ what: "key", name: "key-2" });
  assert.equal(await named(2), 1);
  keys[0] = view(1, "destroyed");
  tell({ what: "key", name: "key-1" });
  assert.equal(await named(1), 0);
  keys.pop();
  tell({ what: "key", name: "key-2" });
  assert.equal(await named(2), 0);
  assert.deepEqual(asked, { lists: 1, keys: 3 });
  catalogue.close();
  assert.equal(listeners.size, 0);
});

test("after a new policy or very many changes everything is read again, once", async () => {
  const keys = Array.from({ length: 200 }, (_, i) => view(i));
  const { catalogue, asked, tell } = over(keys);
  await catalogue.find(caller, template(privateKey));
  keys.length = 100;
  tell({ what: "all" });
  assert.equal((await catalogue.find(caller, template(privateKey))).length, 100);
  for (let i = 0; i < 200; i++) tell({ what: "key", name: `key-${i}` });
  await Promise.all([catalogue.find(caller, template()), catalogue.find(caller, template())]);
  assert.deepEqual(asked, { lists: 3, keys: 0 });
});
