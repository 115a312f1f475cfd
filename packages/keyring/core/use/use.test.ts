import assert from "node:assert/strict";
import { test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { temporaryKeyring, type TemporaryKeyring } from "@casemate/testkit/fakes";

const data = toUtf8("attack at dawn");
const input = toUtf8("x");

function failing(code: string) {
  return (error: unknown): boolean => {
    assert.ok(isCasemateError(error), String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}

async function encrypted(t: TemporaryKeyring, raw = false): Promise<Uint8Array> {
  const { results } = await t.keyring.encrypt(t.admin, "a", { raw, items: [{ data, context: input }] });
  const [ciphertext] = results;
  assert.ok(ciphertext instanceof Uint8Array);
  return ciphertext;
}

test("a ciphertext names its version: after a rotation old and new decrypt side by side", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "aes-256" });
  const old = await encrypted(t);
  await t.keyring.rotateKey(t.admin, "a");
  const fresh = await encrypted(t);
  const items = [old, fresh, old].map((ciphertext) => ({ data: ciphertext, context: input }));
  const { results, version } = await t.keyring.decrypt(t.admin, "a", { items });
  assert.deepEqual(results, [data, data, data]);
  assert.equal(version, 2);
  const view = await t.keyring.getKey(t.admin, "a");
  assert.deepEqual(
    view.versions.map(({ state }) => state),
    ["deactivated", "active"],
  );
});

test("one bad ciphertext does not fail its neighbours, and is counted in the record", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "aes-256" });
  const good = await encrypted(t);
  const changed = good.with(good.length - 1, (good.at(-1) ?? 0) ^ 1);
  const items = [good, changed, toUtf8("xy"), good.with(5, 9)].map((ciphertext) => ({
    data: ciphertext,
    context: input,
  }));
  const { results } = await t.keyring.decrypt(t.admin, "a", { items });
  assert.deepEqual(results[0], data);
  assert.deepEqual(
    results.slice(1).map((result) => (isCasemateError(result) ? result.code : "no error")),
    ["DECRYPT_FAILED", "DECRYPT_FAILED", "DECRYPT_FAILED"],
  );
  const record = t.audit.entries.at(-1);
  assert.equal(record?.count, 4);
  assert.equal(record?.details?.["failed"], 3);
});

test("raw ciphertexts have no header and need their version", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "aes-256" });
  const raw = await encrypted(t, true);
  assert.equal(raw.length, 12 + data.length + 16);
  const items = [{ data: raw, context: input }];
  await assert.rejects(t.keyring.decrypt(t.admin, "a", { raw: true, items }), failing("BAD_REQUEST"));
  await assert.rejects(t.keyring.decrypt(t.admin, "a", { items }), failing("DECRYPT_FAILED"));
  assert.deepEqual((await t.keyring.decrypt(t.admin, "a", { raw: true, version: 1, items })).results, [data]);
});

test("what is no ciphertext, another key's, or for a key of another use is refused by what it is, with what to do", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "aes-256" });
  await t.keyring.createKey(t.admin, { name: "signer", algorithm: "ed25519" });
  const good = await encrypted(t);
  const refusal = async (name: string, ciphertext: Uint8Array): Promise<string> => {
    const items = [{ data: ciphertext, context: input }];
    const error = await t.keyring.decrypt(t.admin, name, { items }).catch((thrown: unknown) => thrown);
    assert.ok(isCasemateError(error) && error.hint !== undefined, `${name}: a hint`);
    return `${error.code}: ${error.message}`;
  };
  assert.match(await refusal("a", toUtf8("xy")), /^DECRYPT_FAILED: this is no ciphertext .* 2 bytes/);
  assert.match(
    await refusal("a", toUtf8("a plain text")),
    /^DECRYPT_FAILED: this is no ciphertext .* begins otherwise/,
  );
  assert.match(await refusal("a", good.with(5, 9)), /^DECRYPT_FAILED: .* names version 9, and a has 1$/);
  assert.equal(await refusal("signer", toUtf8("xy")), "KEY_USAGE: signer was not made to decrypt");
});

test("refusals are sentences, whatever was asked", async () => {
  await using t = await temporaryKeyring();
  const { keyring, admin } = t;
  await keyring.createKey(admin, { name: "signer", algorithm: "ed25519" });
  const macs = keyring.mac(admin, "signer", { inputs: [input] });
  await assert.rejects(macs, { message: "signer was not made to make codes (MACs)" });
  const kem = keyring.createKey(admin, { name: "x", algorithm: "ed25519", usages: ["kem"] });
  await assert.rejects(kem, { message: "ed25519 keys do not have the use kem" });
  await keyring.transition(admin, "signer", "deactivate");
  await assert.rejects(keyring.transition(admin, "signer", "suspend"), /is deactivated: it cannot be suspended$/);
  await keyring.destroyKey(admin, "signer", { now: true });
  await assert.rejects(keyring.publicKey(admin, "signer"), /is destroyed: it cannot show its public half$/);
});

test("without a version, a signature of an older version is found", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  const [signature] = (await t.keyring.sign(t.admin, "a", { kind: "message", inputs: [input] })).results;
  assert.ok(signature instanceof Uint8Array);
  await t.keyring.rotateKey(t.admin, "a");
  const items = [{ input, signature }];
  const found = await t.keyring.verify(t.admin, "a", { kind: "message", items });
  assert.deepEqual([found.version, found.results], [1, [true]]);
  const second = await t.keyring.verify(t.admin, "a", { kind: "message", items, version: 2 });
  assert.deepEqual([second.version, second.results], [2, [false]]);
});

test("a key is used only for what it was made for, with schemes it has, in batches within the limits", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  const { keyring, admin } = t;
  await assert.rejects(keyring.encrypt(admin, "a", { items: [{ data }] }), failing("KEY_USAGE"));
  await assert.rejects(keyring.agree(admin, "a", new Uint8Array(44)), failing("KEY_USAGE"));
  await assert.rejects(keyring.dataKeys(admin, "a", { count: 1, bytes: 32, plaintext: false }), failing("KEY_USAGE"));
  await assert.rejects(
    keyring.sign(admin, "a", { kind: "message", inputs: [input], scheme: "ecdsa-sha256" }),
    failing("NOT_SUPPORTED"),
  );
  await assert.rejects(keyring.sign(admin, "a", { kind: "message", inputs: [] }), failing("BAD_REQUEST"));
  const inputs = Array.from({ length: 1001 }, () => input);
  await assert.rejects(keyring.sign(admin, "a", { kind: "message", inputs }), failing("TOO_LARGE"));
  await assert.rejects(
    keyring.sign(admin, "a", { kind: "message", inputs: [input], version: 2 }),
    failing("NOT_FOUND"),
  );
  await assert.rejects(keyring.sign(admin, "none", { kind: "message", inputs: [input] }), failing("NOT_FOUND"));
});

test("MACs, data keys, agreement and random come from the device", async () => {
  await using t = await temporaryKeyring();
  const { keyring, admin } = t;
  await keyring.createKey(admin, { name: "m", algorithm: "hmac-sha256" });
  const [mac] = (await keyring.mac(admin, "m", { inputs: [input] })).results;
  assert.ok(mac instanceof Uint8Array);
  const checked = await keyring.macVerify(admin, "m", {
    items: [
      { input, mac },
      { input: data, mac },
    ],
  });
  assert.deepEqual(checked.results, [true, false]);
  await keyring.createKey(admin, { name: "w", algorithm: "aes-256" });
  const { keys } = await keyring.dataKeys(admin, "w", { count: 3, bytes: 32, plaintext: true });
  assert.equal(new Set(keys.map((key) => key.plaintext?.toHex())).size, 3);
  const [sealed] = (await keyring.dataKeys(admin, "w", { count: 1, bytes: 32, plaintext: false })).keys;
  assert.equal(sealed?.plaintext, undefined);
  await keyring.createKey(admin, { name: "x", algorithm: "ec-p256", usages: ["agree"] });
  await keyring.createKey(admin, { name: "y", algorithm: "ec-p256", usages: ["agree"] });
  const [x, y] = [await keyring.publicKey(admin, "x"), await keyring.publicKey(admin, "y")];
  assert.deepEqual(
    (await keyring.agree(admin, "x", y.publicKey)).secret,
    (await keyring.agree(admin, "y", x.publicKey)).secret,
  );
  assert.equal((await keyring.random(admin, 32)).length, 32);
  await assert.rejects(keyring.random(admin, 0), failing("BAD_REQUEST"));
  await assert.rejects(keyring.encapsulate(admin, "x"), failing("KEY_USAGE"));
});

test("only an exportable key leaves, wrapped, and comes back by import", async () => {
  await using t = await temporaryKeyring();
  const { keyring, admin } = t;
  await keyring.createKey(admin, { name: "w", algorithm: "aes-256", usages: ["wrap"] });
  await keyring.createKey(admin, { name: "stays", algorithm: "ed25519" });
  const made = await keyring.createKey(admin, { name: "goes", algorithm: "ed25519", exportable: true });
  assert.match(made.warnings.join(), /exportable/);
  const request = { wrappingKey: "w", scheme: "aes-kwp" } as const;
  await assert.rejects(keyring.wrapKey(admin, "stays", request), failing("NOT_EXPORTABLE"));
  const { wrapped, warnings } = await keyring.wrapKey(admin, "goes", request);
  assert.deepEqual(warnings, []);
  const back = await keyring.importKey(admin, { name: "back", algorithm: "ed25519", ...request, wrapped });
  assert.match(back.warnings.join(), /imported/);
  const [signature] = (await keyring.sign(admin, "back", { kind: "message", inputs: [input] })).results;
  assert.ok(signature instanceof Uint8Array);
  const verified = await keyring.verify(admin, "goes", { kind: "message", items: [{ input, signature }] });
  assert.deepEqual(verified.results, [true]);
  assert.equal(made.origin, "generated");
  assert.deepEqual([back.origin, back.warnings.filter((line) => line.startsWith("imported"))].flat(), [
    "imported",
    "imported: copies may exist outside this device",
  ]);
  const rotated = await keyring.rotateKey(admin, "back");
  assert.deepEqual(
    [rotated.origin, ...rotated.versions.map(({ origin }) => origin)],
    ["generated", "imported", "generated"],
    "what a rotation adds was made in the device",
  );
  assert.match(rotated.warnings.join(), /version 1 was imported/);
  const changed = wrapped.with(0, (wrapped[0] ?? 0) ^ 1);
  await assert.rejects(
    keyring.importKey(admin, { name: "bad", algorithm: "ed25519", ...request, wrapped: changed }),
    failing("DECRYPT_FAILED"),
  );
});

test("a key reaches its use limit exactly, counts on over a restart, and rotation starts anew", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", useLimit: 5 });
  const sign = (count: number) =>
    t.keyring.sign(t.admin, "a", { kind: "message", inputs: Array.from({ length: count }, () => input) });
  await sign(2);
  await t.reopen();
  assert.equal((await t.keyring.getKey(t.admin, "a")).uses, 2);
  await assert.rejects(sign(4), failing("KEY_LIMIT"));
  await sign(3);
  await assert.rejects(sign(1), failing("KEY_LIMIT"));
  const signature = new Uint8Array(64);
  await t.keyring.verify(t.admin, "a", { kind: "message", items: [{ input, signature }] });
  await t.keyring.rotateKey(t.admin, "a");
  await sign(5);
  await assert.rejects(sign(1), failing("KEY_LIMIT"));
});

test("side by side, no more uses are granted than the limit", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", useLimit: 250 });
  const tries = await Promise.allSettled(
    Array.from({ length: 300 }, () => t.keyring.sign(t.admin, "a", { kind: "message", inputs: [input] })),
  );
  assert.equal(tries.filter(({ status }) => status === "fulfilled").length, 250);
});

test("a device that is gone or fails is said so, and the failure is on record", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519" });
  t.device.failNext("sign.sign", new CasemateError("DEVICE_RESTARTED", "the process ended"));
  const request = { kind: "message", inputs: [input] } as const;
  await assert.rejects(t.keyring.sign(t.admin, "a", request), failing("DEVICE_RESTARTED"));
  assert.equal(t.audit.entries.at(-1)?.outcome, "DEVICE_RESTARTED");
  t.device.setState("tampered");
  await assert.rejects(t.keyring.sign(t.admin, "a", request), failing("DEVICE_TAMPERED"));
});
