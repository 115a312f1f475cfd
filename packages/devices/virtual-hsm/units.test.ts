import assert from "node:assert/strict";
import { createECDH, createPublicKey, generateKeyPairSync, hash, randomBytes, sign, verify } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { arithmeticEcSigner, decodeSignature, encodeSignature } from "./ec-arithmetic.ts";
import { systemRandom } from "@casemate/foundation/effects";
import { isCasemateError } from "@casemate/foundation/errors";
import { LIMITS, usageFlags } from "@casemate/protocols/hsm";
import { LoadedKey } from "./loaded-key.ts";
import { CURVES } from "./material.ts";
import { createScheduler } from "./scheduler.ts";
import { CounterTable, IdSet } from "./packed-tables.ts";
import { openState, readEnvelope, sealState, type DeviceState } from "./sealed-state.ts";
import { signMany } from "./sign.ts";
import { createSecureHeap, secureHeapNotes } from "./secure-heap.ts";

for (const [name, curve] of CURVES)
  test(`ECDSA by arithmetic and by OpenSSL agree on ${name}`, () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: curve.name });
    const publicKey = createPublicKey(privateKey);
    const signer = arithmeticEcSigner(privateKey, curve);
    for (const hashName of ["sha256", "sha384", "sha512"]) {
      const message = randomBytes(20);
      const digest = hash(hashName, message, "buffer");
      assert.equal(verify(hashName, message, publicKey, signer.sign(digest)), true, hashName);
      const theirs = sign(hashName, message, privateKey);
      assert.equal(signer.verify(digest, theirs), true, hashName);
      assert.equal(
        signer.verify(
          digest.map((byte, index) => (index === 2 ? byte ^ 4 : byte)),
          theirs,
        ),
        false,
      );
      const [r, s] = decodeSignature(theirs) ?? [0n, 0n];
      for (const [badR, badS] of [
        [0n, s],
        [r, 0n],
        [r + curve.order, s],
        [r, s + curve.order],
        [s, r],
      ] as const)
        assert.equal(signer.verify(digest, encodeSignature(badR, badS)), false);
    }
  });

test("the orders are those of the curves: one less is a private key, the order itself is none", () => {
  for (const { name, bytes, order } of CURVES.values()) {
    const scalar = (value: bigint): Uint8Array => Uint8Array.fromHex(value.toString(16).padStart(bytes * 2, "0"));
    const ecdh = createECDH(name);
    ecdh.setPrivateKey(scalar(order - 1n));
    assert.throws(() => ecdh.setPrivateKey(scalar(order)), name);
  }
});

test("a signature that is not strict DER is none", () => {
  const good = encodeSignature(0x80n, 0x1234n);
  assert.deepEqual(decodeSignature(good), [0x80n, 0x1234n]);
  const bad = [
    "",
    "30",
    "3000",
    "3006020101",
    "300602010102010100",
    "3007020200010201 01".replace(" ", ""),
    "30060201ff020101",
  ];
  for (const hex of bad) assert.equal(decodeSignature(Uint8Array.fromHex(hex)), undefined, hex);
});

test("the secure heap evicts until the next key fits below nine tenths", () => {
  let used = 900;
  let keys = 9;
  const heap = createSecureHeap({ measure: () => ({ total: 1000, used }), collect: () => (used = keys * 100) });
  const evict = (): number => {
    if (keys === 0) return 0;
    keys -= 1;
    return 1;
  };
  heap.makeRoom(100, evict);
  assert.equal(keys, 8);
  assert.throws(() => heap.makeRoom(1000, evict), /secure heap is full/);
  createSecureHeap({ measure: () => ({ total: 0, used: 0 }) }).makeRoom(100, () => assert.fail("nothing to protect"));
});

test("the notes say which keys the secure heap does not cover", () => {
  const notes = secureHeapNotes(createSecureHeap({ measure: () => ({ total: 65_536, used: 0 }) })).join(" ");
  for (const word of ["RSA", "AES", "HMAC", "ML-DSA", "ML-KEM", "SLH-DSA"]) assert.ok(notes.includes(word), word);
});

test("a state that remembers all it may fits into a frame and comes back whole", () => {
  const many = (count: number): string[] =>
    Array.from({ length: count }, (_, index) => {
      const id = Buffer.alloc(8);
      id.writeUInt32BE(index);
      return id.toString("latin1");
    });
  const key = new Uint8Array(32);
  const state: DeviceState = {
    serial: new Uint8Array(8),
    identity: new Uint8Array(48),
    destroyed: new IdSet(),
    counters: new CounterTable(),
    witnessed: new Map(),
  };
  const log = { publicKey: key, origin: "o".repeat(LIMITS.origin), size: 2n ** 53n, before: 1n, root: key };
  for (const id of many(LIMITS.logs)) state.witnessed.set(id.slice(-8).padEnd(8), log);
  for (const id of many(LIMITS.destroyed)) state.destroyed.add(id);
  for (const [index, id] of many(LIMITS.counters).entries()) state.counters.set(id, index + 2 ** 31);
  const options = { key, root: "key-file", counter: 3n, lock: new Uint8Array(), tries: 0 } as const;
  const sealed = sealState(state, options, systemRandom);
  assert.ok(sealed.length <= LIMITS.state, `${sealed.length}`);
  const back = openState(readEnvelope(sealed), key);
  assert.equal(back.destroyed.size, LIMITS.destroyed);
  assert.deepEqual(back.witnessed, state.witnessed);
  assert.equal(Buffer.compare(back.counters.packed(), state.counters.packed()), 0);
});

test("the counter table does what a map does", () => {
  const step = fc.tuple(fc.constantFrom("set", "delete"), fc.integer({ min: 0, max: 9 }), fc.nat());
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const table = new CounterTable();
      const model = new Map<string, number>();
      for (const [what, who, count] of steps) {
        const id = `key 000${who}`;
        if (what === "set") {
          table.set(id, count);
          model.set(id, count);
        } else {
          table.delete(id);
          model.delete(id);
        }
      }
      const again = new CounterTable(table.packed());
      assert.equal(again.size, model.size);
      for (let who = 0; who < 10; who++) assert.equal(again.get(`key 000${who}`), model.get(`key 000${who}`));
    }),
    { numRuns: 100 },
  );
});

test("long batches give way to others", async () => {
  const scheduler = createScheduler();
  const busy = (): void => {
    const end = performance.now() + 1;
    while (performance.now() < end);
  };
  const order: string[] = [];
  const batch = Promise.resolve(scheduler.each(Array.from({ length: 20 }), busy)).then(() => order.push("batch"));
  setImmediate(() => order.push("other"));
  await batch;
  assert.deepEqual(order, ["other", "batch"]);
});

test("an error of one item stays with it", async () => {
  const scheduler = createScheduler();
  const odd = (item: number): number => {
    if (item === 2) throw new RangeError("two");
    return item;
  };
  assert.deepEqual(await scheduler.each([1, 2, 3], odd), [1, new RangeError("two"), 3]);
  assert.deepEqual(await scheduler.pooled([1, 2, 3], async (item) => odd(item)), [1, new RangeError("two"), 3]);
});

test("work is alone when none was done just before and none waits for the pool", async () => {
  let time = 0;
  const scheduler = createScheduler(() => time);
  assert.equal(scheduler.alone(), true);
  await scheduler.each([1], () => (time += 1));
  assert.equal(scheduler.alone(), false);
  time += 1;
  assert.equal(scheduler.alone(), true);
  let release = (): void => undefined;
  const pooled = scheduler.pooled([1], () => new Promise<void>((resolve) => (release = resolve)));
  assert.equal(scheduler.alone(), false);
  release();
  await pooled;
  assert.equal(scheduler.alone(), true);
});

test("batches that give way share the next turn's budget", async () => {
  let time = 0;
  const scheduler = createScheduler(() => time);
  const spend = (): void => void (time += 2);
  const turns: number[] = [];
  let turn = 0;
  const count = (): void => {
    turn += 1;
    if (turn < 50) setImmediate(count);
  };
  setImmediate(count);
  const run = async (): Promise<void> => {
    await scheduler.each(Array.from({ length: 4 }), spend);
    turns.push(turn);
  };
  await Promise.all([run(), run()]);
  // Two of eight items fit each turn: with budgets of their own both would be done by the second.
  assert.equal(Math.max(...turns), 3);
});

test("no more than two long pieces of work run at the same time", async () => {
  const scheduler = createScheduler();
  let running = 0;
  let most = 0;
  const piece = async (): Promise<void> => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
  };
  await Promise.all(Array.from({ length: 9 }, () => scheduler.long(piece)));
  assert.equal(most, 2);
  await assert.rejects(scheduler.long(() => Promise.reject(new Error("x"))));
  await scheduler.long(piece);
});

test("an RSA key of an earlier version that both signs and wraps makes no raw signatures", async () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const key = new LoadedKey({
    id: "old",
    ref: new Uint8Array(),
    algorithm: "rsa-2048",
    usages: usageFlags(["sign", "wrap"]),
    exportable: false,
    material: new Uint8Array(privateKey.export({ format: "der", type: "pkcs8" })),
    makeEcSigner: arithmeticEcSigner,
    makePreparedSigner: undefined,
  });
  const scheduler = createScheduler();
  const request = { ref: key.ref, kind: "message" as const, inputs: [new Uint8Array(256)] };
  assert.throws(
    () => signMany(key, { ...request, scheme: "rsa-raw" }, scheduler, systemRandom),
    (error) => isCasemateError(error) && error.code === "KEY_USAGE" && error.hint !== undefined,
  );
  const [signature] = await signMany(key, { ...request, scheme: "rsa-pkcs1-sha256" }, scheduler, systemRandom);
  assert.ok(signature instanceof Uint8Array);
});
