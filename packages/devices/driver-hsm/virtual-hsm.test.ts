import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, randomBytes, verify } from "node:crypto";
import { mkdtemp, open as openFile, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kill } from "node:process";
import { fileURLToPath } from "node:url";
import { test, type TestContext } from "node:test";
import { launchBoundary } from "@casemate/devices/boundary";
import type { Device, DeviceEvent, NewKey } from "@casemate/devices/contract";
import {
  isChallengeOf,
  openVirtualHsm,
  sealPassphrase,
  unlockKeyFingerprint,
  type VirtualHsmOptions,
} from "@casemate/devices/driver-hsm";
import { toUtf8 } from "@casemate/foundation/bytes";
import { decode, encode } from "@casemate/foundation/codec";
import { isCasemateError } from "@casemate/foundation/errors";
import { NOTICES, OPERATIONS, usageFlags } from "@casemate/protocols/hsm";
import { createCall } from "./calls.ts";

const entry = fileURLToPath(new URL("../virtual-hsm/main.ts", import.meta.url));
const testEntry = fileURLToPath(new URL("../virtual-hsm/test-main.ts", import.meta.url));

async function place(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "casemate-hsm-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function open(t: TestContext, directory: string, extra: Partial<VirtualHsmOptions> = {}): Promise<Device> {
  const device = await openVirtualHsm({
    id: "hsm-1",
    entry,
    stateDirectory: join(directory, "state"),
    root: { kind: "key-file", path: join(directory, "root.key") },
    ...extra,
  });
  t.after(() => device.close());
  return device;
}

const ec = { algorithm: "ec-p256", usages: ["sign"], exportable: false } as const;

async function signOnce(device: Device, { ref, publicKey }: NewKey): Promise<boolean> {
  const [signature] = (await device.sign?.sign(ref, "ecdsa-sha256", "message", [toUtf8("hello")])) ?? [];
  assert.ok(signature instanceof Uint8Array);
  const key = createPublicKey({ key: Buffer.from(publicKey ?? []), format: "der", type: "spki" });
  return verify("sha256", toUtf8("hello"), key, signature);
}

test("a key is made, used and published by a real boundary process", async (t) => {
  const device = await open(t, await place(t));
  const key = await device.keys.generate(ec);
  assert.deepEqual(await device.keys.publicKey(key.ref), key.publicKey);
  assert.equal(await signOnce(device, key), true);
  const status = await device.status();
  assert.equal(status.state, "operational");
  assert.equal(status.rootOfTrust, "key-file");
  assert.ok((status.isolation ?? []).length > 5);
  assert.ok(status.notes.some((note) => note.includes("secure heap")));
  assert.ok(status.notes.some((note) => note.includes("software only")));
  assert.notEqual(status.pid, process.pid);
  assert.match(device.identity.serial, /^[0-9a-f]{16}$/);
  assert.equal(
    createPublicKey({ key: Buffer.from(device.identity.identityKey ?? []), format: "der", type: "spki" }).type,
    "public",
  );
});

test("keys survive closing and opening again; files are private and hold no material", async (t) => {
  const directory = await place(t);
  const first = await open(t, directory);
  const key = await first.keys.generate(ec);
  const { serial } = first.identity;
  await first.close();
  for (const file of await readdir(join(directory, "state"))) {
    const { mode } = await stat(join(directory, "state", file));
    assert.equal(mode & 0o077, 0, file);
  }
  assert.equal((await stat(join(directory, "root.key"))).mode & 0o077, 0);
  const second = await open(t, directory);
  assert.equal(second.identity.serial, serial);
  assert.equal(await signOnce(second, key), true);
});

test("a killed boundary process comes back with its keys, and says so", async (t) => {
  const device = await open(t, await place(t));
  const key = await device.keys.generate(ec);
  const events: DeviceEvent[] = [];
  device.watch?.watch((event) => events.push(event));
  const { pid } = await device.status();
  assert.ok(pid !== undefined);
  const slow = device.keys.generate({ algorithm: "rsa-4096", usages: ["sign"], exportable: false });
  slow.catch(() => undefined);
  await device.random(1);
  kill(pid, "SIGKILL");
  await assert.rejects(slow, (error: unknown) => isCasemateError(error) && error.code === "DEVICE_RESTARTED");
  assert.equal(await signOnce(device, key), true);
  const status = await device.status();
  assert.notEqual(status.pid, pid);
  assert.equal(status.counters["restarts"], 1);
  assert.deepEqual(
    events.map((event) => (event.kind === "state" ? event.state : event.kind)),
    ["absent", "operational"],
  );
});

test("killed in the middle of destroying many keys, no confirmed destruction is lost", async (t) => {
  const device = await open(t, await place(t));
  const keys = await Promise.all(Array.from({ length: 60 }, () => device.keys.generate(ec)));
  const { pid } = await device.status();
  const confirmed: NewKey[] = [];
  const running = keys.map((key, index) =>
    new Promise((resolve) => setTimeout(resolve, index))
      .then(() => device.keys.destroy(key.ref))
      .then(() => confirmed.push(key)),
  );
  setTimeout(() => kill(pid as number, "SIGKILL"), 25);
  await Promise.allSettled(running);
  assert.ok(confirmed.length > 0);
  for (const key of confirmed)
    await assert.rejects(
      device.keys.publicKey(key.ref),
      (error: unknown) => isCasemateError(error) && error.code === "NOT_FOUND",
    );
});

test("frames of nonsense do not bring the process down", async (t) => {
  const directory = await place(t);
  await writeFile(join(directory, "empty"), "");
  const boundary = await launchBoundary({ entry, secureHeapBytes: 0 });
  t.after(() => boundary.stop());
  const answers = await Promise.allSettled(
    Array.from({ length: 400 }, (_, index) => boundary.channel.request(index % 64, randomBytes(index % 97))),
  );
  for (const answer of answers)
    if (answer.status === "rejected") assert.ok(isCasemateError(answer.reason) && answer.reason.code !== "INTERNAL");
  await assert.rejects(boundary.channel.request(4, new Uint8Array([0, 0, 0, 1])), /starting|cannot work|locked/);
});

test("valid frames with changed bytes do not bring a working process down", async (t) => {
  const file = await openFile(join(await place(t), "root.key"), "w+", 0o600);
  t.after(() => file.close());
  const boundary = await launchBoundary({ entry, secureHeapBytes: 0, descriptors: [file.fd] });
  t.after(() => boundary.stop());
  const call = createCall(boundary.channel);
  boundary.channel.onNotify((op, body) => {
    if (op !== NOTICES.stateSave.op) return;
    const { sequence } = decode(NOTICES.stateSave.body, body);
    // One of the changed frames may have said so before.
    call("stateSaved", { sequence, outcome: "kept" }).catch(() => undefined);
  });
  await call("restore", { root: "key-file", generations: [] });
  const usages = (usage: "sign" | "encrypt") => ({ usages: usageFlags([usage]), exportable: false });
  const { ref } = await call("generate", { algorithm: "ec-p256", ...usages("sign") });
  const aes = await call("generate", { algorithm: "aes-256", ...usages("encrypt") });
  const data = new Uint8Array(40).fill(1);
  const context = new Uint8Array();
  const frames: readonly (readonly [number, Uint8Array])[] = [
    [
      OPERATIONS.sign.op,
      encode(OPERATIONS.sign.request, { ref, scheme: "ecdsa-sha256", kind: "message", inputs: [data, data] }),
    ],
    [
      OPERATIONS.verify.op,
      encode(OPERATIONS.verify.request, {
        ref,
        scheme: "ecdsa-raw",
        kind: "digest",
        items: [{ input: data, signature: data }],
      }),
    ],
    [
      OPERATIONS.encrypt.op,
      encode(OPERATIONS.encrypt.request, {
        ref: aes.ref,
        scheme: "aes-gcm",
        items: [{ data, context, iv: context }],
      }),
    ],
    [
      OPERATIONS.decrypt.op,
      encode(OPERATIONS.decrypt.request, { ref: aes.ref, scheme: "aes-ctr", items: [{ data, context }] }),
    ],
    [OPERATIONS.stateSaved.op, encode(OPERATIONS.stateSaved.request, { sequence: 99n, outcome: "full" })],
  ];
  const noise = randomBytes(8000);
  const answers = await Promise.allSettled(
    Array.from({ length: 2000 }, (_, index) => {
      const [op, body] = frames[index % frames.length] ?? [0, data];
      const changed = Uint8Array.from(body);
      for (let i = 0; i < 1 + (index % 3); i++)
        changed[noise.readUInt16BE(index * 4) % changed.length] = noise[index * 4 + i + 1] ?? 0;
      return boundary.channel.request(op, index % 7 === 0 ? changed.subarray(0, changed.length - 1) : changed);
    }),
  );
  for (const answer of answers)
    if (answer.status === "rejected") assert.ok(isCasemateError(answer.reason) && answer.reason.code !== "INTERNAL");
  assert.equal((await call("status", {})).state, "operational");
});

test("with a passphrase as root the device waits, opens, and locks again", async (t) => {
  const directory = await place(t);
  const root = { kind: "passphrase", unlockKeyPath: join(directory, "unlock.key") } as const;
  const extra = { entry: testEntry, root };
  const device = await open(t, directory, extra);
  assert.equal((await device.status()).state, "locked");
  await assert.rejects(
    device.keys.generate(ec),
    (error: unknown) =>
      isCasemateError(error) &&
      error.code === "DEVICE_LOCKED" &&
      error.hint === `Unlock it: casemate device unlock ${device.identity.id}.`,
  );
  const unlock = async (passphrase: string): Promise<void> => {
    const challenge = await device.unlock?.challenge();
    assert.ok(challenge !== undefined);
    await device.unlock?.unlock(sealPassphrase(challenge.publicKey, toUtf8(passphrase)));
  };
  await unlock("correct horse");
  const key = await device.keys.generate(ec);
  await device.unlock?.lock();
  await assert.rejects(unlock("wrong horse"), (error: unknown) => isCasemateError(error) && error.code === "PIN_WRONG");
  await unlock("correct horse");
  assert.equal(await signOnce(device, key), true);
  const state = await readFile(join(directory, "state", "device.state"));
  assert.equal(state.includes("correct horse"), false);
});

test("a locked device signs its challenges, each with the same key, before and after a restart", async (t) => {
  const directory = await place(t);
  const unlockKeyPath = join(directory, "unlock.key");
  const extra = { entry: testEntry, root: { kind: "passphrase", unlockKeyPath } } as const;
  const first = await open(t, directory, extra);
  const one = await first.unlock?.challenge();
  const two = await first.unlock?.challenge();
  assert.ok(one !== undefined && two !== undefined);
  assert.equal((await stat(unlockKeyPath)).mode & 0o077, 0);
  assert.ok((await first.status()).notes.some((note) => note.includes(unlockKeyFingerprint(one.signer))));
  await first.close();
  const three = await (await open(t, directory, extra)).unlock?.challenge();
  assert.ok(three !== undefined);
  for (const challenge of [one, two, three]) {
    assert.deepEqual(challenge.signer, one.signer);
    assert.equal(isChallengeOf(one.signer, challenge.publicKey, challenge.signature), true);
  }
  const planted = generateKeyPairSync("x25519").publicKey.export({ format: "raw-public" });
  assert.equal(isChallengeOf(one.signer, planted, one.signature), false, "a key that somebody put in its place");
  assert.equal(isChallengeOf(one.signer, two.publicKey, one.signature), false, "another challenge's signature");
  assert.equal(isChallengeOf(new Uint8Array(), one.publicKey, one.signature), false);
});

test("only the device built for tests takes a seed, and then repeats its keys", async (t) => {
  const testSeed = new Uint8Array(32).fill(5);
  await assert.rejects(open(t, await place(t), { testSeed }), (error: unknown) => isCasemateError(error));
  const [one, two] = await Promise.all([
    open(t, await place(t), { entry: testEntry, testSeed }),
    open(t, await place(t), { entry: testEntry, testSeed }),
  ]);
  assert.deepEqual((await one.keys.generate(ec)).publicKey, (await two.keys.generate(ec)).publicKey);
});

test("more keys than the secure heap holds all work, and it never fills beyond nine tenths", async (t) => {
  const device = await open(t, await place(t), { secureHeapBytes: 65_536 });
  const { wrap, sign } = device;
  assert.ok(wrap !== undefined && sign !== undefined);
  const rsa = { algorithm: "rsa-2048", exportable: true } as const;
  const wrapping = await device.keys.generate({ algorithm: "aes-256", usages: ["wrap"], exportable: false });
  const origin = await device.keys.generate({ ...rsa, usages: ["sign"] });
  const wrapped = await wrap.export(wrapping.ref, "aes-kwp", origin.ref);
  const refs: Uint8Array[] = [];
  for (let i = 0; i < 150; i++)
    refs.push((await wrap.import(wrapping.ref, "aes-kwp", wrapped, { ...rsa, usages: ["sign"] })).ref);
  let most = 0;
  for (const ref of refs.toReversed()) {
    const [signature] = await sign.sign(ref, "rsa-pkcs1-sha256", "message", [toUtf8("x")]);
    assert.ok(signature instanceof Uint8Array);
    const { counters } = await device.status();
    most = Math.max(most, (counters["secureHeapUsed"] ?? 0) / (counters["secureHeapBytes"] ?? 1));
  }
  assert.ok(most <= 0.9, `${most}`);
  assert.ok(most > 0.2, "the test would not notice");
  const { counters } = await device.status();
  assert.ok((counters["keyLoads"] ?? 0) > 200, "keys were loaded again");
});

test("a key file that others may read is refused", async (t) => {
  const directory = await place(t);
  await writeFile(join(directory, "root.key"), "", { mode: 0o644 });
  await assert.rejects(
    open(t, directory),
    (error: unknown) => isCasemateError(error) && error.code === "CONFIG_INVALID",
  );
});

test("state without its key file is refused by the file's name; without state a start that fails takes its own key file away", async (t) => {
  const directory = await place(t);
  const key = join(directory, "root.key");
  await (await open(t, directory)).close();
  await rm(key);
  await assert.rejects(open(t, directory), (error: unknown) => {
    assert.ok(isCasemateError(error) && error.code === "CONFIG_INVALID");
    assert.ok(error.message.includes(`${key} is missing`) && error.hint?.includes(key));
    return true;
  });
  assert.deepEqual(await readdir(directory), ["state"]);

  const fresh = await place(t);
  const broken = join(await place(t), "main.ts");
  await writeFile(broken, "throw new Error('it does not start');\n");
  await assert.rejects(open(t, fresh, { entry: broken }));
  assert.deepEqual(await readdir(fresh), ["state"]);
});

test("zeroizing leaves an empty, locked device and no root", async (t) => {
  const directory = await place(t);
  const device = await open(t, directory);
  const key = await device.keys.generate(ec);
  await device.zeroize?.zeroize();
  assert.equal((await device.status()).state, "locked");
  assert.ok((await readFile(join(directory, "root.key"))).every((byte) => byte === 0));
  await device.close();
  const next = await open(t, directory);
  assert.equal((await next.status()).state, "operational");
  await assert.rejects(
    next.keys.publicKey(key.ref),
    (error: unknown) => isCasemateError(error) && error.code === "NOT_FOUND",
  );
});
