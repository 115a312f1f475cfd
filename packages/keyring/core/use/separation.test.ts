// One use of a key never does the work of another that was not allowed.
import assert from "node:assert/strict";
import { createCipheriv, createPublicKey, publicEncrypt, constants, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { concat, fromUtf8, toUtf8 } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import { pkcs11Bench, type Pkcs11Bench } from "@casemate/testkit/pkcs11";
import { temporaryKeyring } from "@casemate/testkit/fakes";
import { keyEntry } from "../catalogue/key-cache.ts";
import type { KeyRecord } from "../catalogue/key-record.ts";
import type { Caller } from "../types.ts";
import { allowRaw } from "./sign.ts";

const failing = (code: string) => (error: unknown) => isCasemateError(error) && error.code === code;

describe("separation of uses", () => {
  let bench: Pkcs11Bench;
  before(async () => {
    bench = await pkcs11Bench(() => Promise.resolve({ close: () => Promise.resolve() }));
  });
  after(() => bench[Symbol.asyncDispose]());

  const as = async (principal: string, role: "operator" | "user"): Promise<Caller> => {
    const { token } = await bench.keyring.createToken(bench.admin, { principal, roles: [role] });
    return bench.keyring.authenticate(token, "test");
  };
  /** Brings an AES value into the device as a key that wraps. */
  const bring = async (caller: Caller, name: string, value: Uint8Array, exportable = false): Promise<void> => {
    const { keyring } = bench;
    await keyring.createKey(caller, { name: `${name}-way`, algorithm: "rsa-2048", usages: ["wrap"] });
    const { publicKey } = await keyring.publicKey(caller, `${name}-way`);
    const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
    const kek = randomBytes(32);
    const cipher = createCipheriv("id-aes256-wrap-pad", kek, Uint8Array.fromHex("a65959a6"));
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    const wrapped = concat(
      publicEncrypt({ key, padding, oaepHash: "sha256" }, kek),
      cipher.update(value),
      cipher.final(),
    );
    await keyring.importKey(caller, {
      name,
      algorithm: "aes-256",
      usages: ["wrap"],
      exportable,
      wrappingKey: `${name}-way`,
      scheme: "rsa-aes-kwp",
      wrapped,
    });
  };

  test("an RSA key that wraps does not sign: a raw signature would open what it wraps", async () => {
    const both = { name: "both", algorithm: "rsa-2048", usages: ["sign", "wrap"] } as const;
    await assert.rejects(bench.keyring.createKey(bench.admin, both), failing("NOT_SUPPORTED"));
  });

  test("an RSA key of an earlier version that wraps and signs makes no raw signatures", () => {
    const record = { name: "old", usages: ["sign", "wrap"], versions: [{ version: 1, state: "active" }] };
    const guard = { authorizeKey: () => undefined };
    const raw = () => allowRaw(guard, bench.admin, keyEntry(record as unknown as KeyRecord));
    assert.throws(raw, (error) => isCasemateError(error) && error.code === "KEY_USAGE" && error.hint !== undefined);
  });

  test("a key in a device that may do everything is adopted for the use of data, not for wrapping", async () => {
    await using t = await temporaryKeyring();
    t.device.plant("aes-256", "everything", "01");
    const adopt = { name: "theirs", device: "hsm-1", id: "01" };
    await assert.rejects(
      t.keyring.adoptKey(t.admin, { ...adopt, usages: ["encrypt", "wrap"] }),
      failing("NOT_SUPPORTED"),
    );
    assert.deepEqual((await t.keyring.adoptKey(t.admin, adopt)).usages, ["encrypt"]);
  });

  test("a raw signature with a key that decrypts needs the right to decrypt", async () => {
    const { keyring, admin } = bench;
    await keyring.createKey(admin, { name: "rsa", algorithm: "rsa-2048", usages: ["sign", "encrypt"] });
    const signer = await as("signer", "user");
    const raw = { scheme: "rsa-raw", kind: "message", inputs: [new Uint8Array(256).fill(1)] } as const;
    assert.equal((await keyring.sign(signer, "rsa", raw)).results.length, 1);
    const text = `forbid(principal == User::"signer", action == Action::"key.decrypt", resource);`;
    await keyring.setPolicy(admin, "signs-only", text);
    await assert.rejects(keyring.sign(signer, "rsa", raw), failing("FORBIDDEN"));
    const ordinary = { kind: "message", inputs: [toUtf8("x")] } as const;
    assert.equal((await keyring.sign(signer, "rsa", ordinary)).results.length, 1);
  });

  test("who may encrypt alone cannot choose the blocks: that would open GCM ciphertexts of the same key", async () => {
    const { keyring, admin } = bench;
    await keyring.createKey(admin, { name: "aes", algorithm: "aes-256", usages: ["encrypt"] });
    const sender = await as("sender", "user");
    await keyring.setPolicy(
      admin,
      "sends-only",
      `forbid(principal == User::"sender", action, resource) unless { action == Action::"key.encrypt" };`,
    );
    const data = toUtf8("sixteen bytes ok");
    assert.equal((await keyring.encrypt(sender, "aes", { items: [{ data }] })).results.length, 1);
    const iv = new Uint8Array(16);
    for (const request of [
      { scheme: "aes-ctr", items: [{ data, iv }] },
      { scheme: "aes-cbc", items: [{ data, iv }] },
      { scheme: "aes-ecb", items: [{ data }] },
    ] as const) {
      await assert.rejects(
        keyring.encrypt(sender, "aes", { ...request, raw: true }),
        (error) => isCasemateError(error) && error.code === "FORBIDDEN" && /Use aes-gcm/.test(error.hint ?? "no hint"),
      );
      assert.equal((await keyring.encrypt(admin, "aes", { ...request, raw: true })).results.length, 1);
    }
    const made = await keyring.encrypt(sender, "aes", { scheme: "aes-cbc", items: [{ data }] });
    assert.equal(made.results.length, 1, "with an iv of the device's");
  });

  test("who may not make the codes of a key cannot choose its blocks either: that would make them", async () => {
    const { keyring, admin } = bench;
    await keyring.createKey(admin, { name: "both-aes", algorithm: "aes-256", usages: ["encrypt", "mac"] });
    const opener = await as("opener", "user");
    await keyring.setPolicy(
      admin,
      "opens-only",
      `forbid(principal == User::"opener", action, resource) unless { [Action::"key.encrypt", Action::"key.decrypt"].contains(action) };`,
    );
    const block = { scheme: "aes-ecb", items: [{ data: new Uint8Array(16) }], raw: true } as const;
    await assert.rejects(
      keyring.encrypt(opener, "both-aes", block),
      (error) => isCasemateError(error) && error.code === "FORBIDDEN" && /key\.mac/.test(error.message),
    );
    await keyring.createKey(admin, { name: "no-codes", algorithm: "aes-256", usages: ["encrypt"] });
    assert.equal((await keyring.encrypt(opener, "no-codes", block)).results.length, 1);
  });

  test("the counter blocks of a GCM ciphertext are no way around a policy that allows to encrypt alone", async () => {
    const { keyring, admin } = bench;
    await keyring.createKey(admin, { name: "shared", algorithm: "aes-256", usages: ["encrypt"] });
    const secret = "not for the sender";
    const [sealed] = (await keyring.encrypt(admin, "shared", { items: [{ data: toUtf8(secret) }], raw: true })).results;
    assert.ok(sealed instanceof Uint8Array);
    // SP 800-38D §7.1: GCM encrypts in counter mode from nonce ‖ 2.
    const iv = concat(sealed.subarray(0, 12), Uint8Array.of(0, 0, 0, 2));
    const body = sealed.subarray(12, sealed.length - 16);
    const attack = { scheme: "aes-ctr", items: [{ data: body, iv }], raw: true } as const;
    const [opened] = (await keyring.encrypt(admin, "shared", attack)).results;
    assert.ok(opened instanceof Uint8Array);
    assert.equal(fromUtf8(opened.subarray(16)), secret, "who may decrypt may do so");
    await assert.rejects(keyring.encrypt(await as("sender", "user"), "shared", attack), failing("FORBIDDEN"));
  });

  test("a secret key that wraps is never exportable, made here or brought: whoever gets it opens what it wrapped", async () => {
    const { keyring, admin } = bench;
    const leaves = { name: "leaves", algorithm: "aes-256", usages: ["wrap"], exportable: true } as const;
    const refused = (error: unknown) =>
      isCasemateError(error) && error.code === "BAD_REQUEST" && /never leaves/.test(error.hint ?? "no hint");
    await assert.rejects(keyring.createKey(admin, leaves), refused);
    await assert.rejects(bring(admin, "leaves", randomBytes(32), true), refused);
    assert.equal((await keyring.createKey(admin, { ...leaves, usages: ["encrypt"] })).exportable, true);
  });

  test("wrapping under a key whose value came from outside is an administrator's decision", async () => {
    const { keyring, admin } = bench;
    const operator = await as("keeper", "operator");
    await bring(operator, "known", randomBytes(32));
    await keyring.createKey(operator, { name: "inside", algorithm: "aes-256", usages: ["wrap"] });
    await keyring.createKey(admin, { name: "victim", algorithm: "aes-128", usages: ["encrypt"], exportable: true });
    const under = (wrappingKey: string) => ({ wrappingKey, scheme: "aes-kwp" }) as const;
    await assert.rejects(
      keyring.wrapKey(operator, "victim", under("known")),
      (error) =>
        isCasemateError(error) && error.code === "FORBIDDEN" && /came from outside/.test(error.hint ?? "no hint"),
    );
    assert.ok((await keyring.wrapKey(operator, "victim", under("inside"))).wrapped.length > 0);
    assert.ok((await keyring.wrapKey(admin, "victim", under("known"))).wrapped.length > 0);
  });
});
