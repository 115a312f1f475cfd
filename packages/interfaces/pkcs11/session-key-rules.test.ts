import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import { CKA, CKD, CKF, CKK, CKM, CKO, CKR, CKU } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, pkcs11Bench, TestClient, type Pkcs11Bench } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const RW = CKF.SERIAL_SESSION | CKF.RW_SESSION;
const P256 = Uint8Array.fromHex("06082a8648ce3d030107");

test("without the interface's own caller nothing is made before a login; a process that is full is a full token", async () => {
  const sessionKeys = {
    call: () => Promise.reject(new CasemateError("DEVICE_FULL", "no more fit")),
    onLost: () => undefined,
  };
  await using bench = await pkcs11Bench((parts) => {
    const { service: _, ...others } = parts;
    return createPkcs11Server({ ...others, sessionKeys, objects: parts.keyring.objects });
  });
  await using client = await TestClient.open(bench.socketPath, { version: 2 });
  const [session] = await client.call("C_OpenSession", 0, RW);
  const make = () => client.rv("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), [attribute(CKA.VALUE_LEN, 16)]);
  assert.equal(await make(), CKR.USER_NOT_LOGGED_IN);
  await client.call("C_Login", session, CKU.USER, toUtf8(bench.adminToken));
  assert.equal(await make(), CKR.DEVICE_MEMORY);
});

test("a key whose making cannot be recorded is ended", async () => {
  await using bench = await pkcs11Bench((parts) => {
    const keyring = {
      ...parts.keyring,
      async sessionKey<T>(
        ...[caller, action, about, work]: Parameters<typeof parts.keyring.sessionKey<T>>
      ): Promise<T> {
        await parts.keyring.sessionKey(caller, action, about, work);
        throw new CasemateError("STORAGE_FULL", "no room for the record");
      },
    };
    return createPkcs11Server({ ...parts, keyring, objects: parts.keyring.objects });
  });
  await using client = await TestClient.open(bench.socketPath, { version: 2 });
  const [session] = await client.call("C_OpenSession", 0, RW);
  const made = await client.rv("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), [attribute(CKA.VALUE_LEN, 16)]);
  assert.equal(made, CKR.DEVICE_MEMORY);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await bench.sessionKeys.call("status", {})).keys, 0);
});

/** Session keys are under policy and audit as all keys are, and where they are is a process of its own. */
describe("the rules for session keys", () => {
  let bench: Pkcs11Bench;
  let client: TestClient;
  let session: number;
  before(async () => {
    bench = await pkcs11Bench((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
    client = await TestClient.open(bench.socketPath, { version: 2 });
    [session] = await client.call("C_OpenSession", 1, RW);
  });
  after(async () => {
    await client[Symbol.asyncDispose]();
    await bench[Symbol.asyncDispose]();
  });

  const aes = async (...template: ReturnType<typeof attribute>[]): Promise<number> =>
    (
      await client.call("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), [
        attribute(CKA.VALUE_LEN, 16),
        attribute(CKA.PRIVATE, false),
        ...template,
      ])
    )[0];
  const generic = async (...template: ReturnType<typeof attribute>[]): Promise<number> =>
    (
      await client.call("C_GenerateKey", session, mechanism(CKM.GENERIC_SECRET_KEY_GEN), [
        attribute(CKA.VALUE_LEN, 32),
        attribute(CKA.PRIVATE, false),
        ...template,
      ])
    )[0];
  const mac = async (key: number): Promise<number> => {
    const rv = await client.rv("C_SignInit", session, mechanism(CKM.SHA256_HMAC), key);
    return rv === CKR.OK ? client.rv("C_Sign", session, toUtf8("data"), 64) : rv;
  };
  const records = (action: string) => bench.audit.entries.filter((entry) => entry.action === action);
  const policies = async (text?: string): Promise<void> => {
    const present = await bench.keyring.listPolicies(bench.admin);
    for (const { id, builtIn } of present) if (!builtIn) await bench.keyring.setPolicy(bench.admin, id, "");
    if (text !== undefined) await bench.keyring.setPolicy(bench.admin, "rule", text);
  };
  const read = async (object: number, type: number) => {
    const [[found], rv] = await client.call("C_GetAttributeValue", session, object, [{ type, capacity: 4096 }]);
    return rv === CKR.OK ? found?.value : rv;
  };

  test("making, using and reading are on record with algorithm and mechanism, before a login as the interface itself", async () => {
    const before = bench.audit.entries.length;
    const key = await generic(attribute(CKA.SENSITIVE, false));
    assert.equal(await mac(key), CKR.OK);
    const value = (await read(key, CKA.VALUE)) as Uint8Array;
    const fresh = bench.audit.entries.slice(before).filter(({ action }) => action.startsWith("session-key."));
    assert.deepEqual(
      fresh.map(({ action, principal, source, outcome, details }) => ({ action, principal, source, outcome, details })),
      [
        {
          action: "session-key.create",
          principal: "pkcs11",
          source: "pkcs11",
          outcome: "ok",
          details: { algorithm: "generic-256", operation: "generate", mechanism: "CKM_GENERIC_SECRET_KEY_GEN" },
        },
        {
          action: "session-key.use",
          principal: "pkcs11",
          source: "pkcs11",
          outcome: "ok",
          details: { algorithm: "generic-256", operation: "mac", mechanism: "hmac-sha256" },
        },
        {
          action: "session-key.read",
          principal: "pkcs11",
          source: "pkcs11",
          outcome: "ok",
          details: { algorithm: "generic-256", operation: "read value" },
        },
      ],
    );
    const text = JSON.stringify(bench.audit.entries);
    for (const form of [value.toHex(), value.toBase64(), toUtf8("data").toHex()])
      assert.ok(!text.includes(form), "no value and no input is in a record");
    assert.equal(new Set(fresh.map(({ resource }) => resource)).size, 1);
    assert.match(fresh[0]?.resource ?? "", /^session-key\/\d+$/);
  });

  test("after a login it is the user who makes and uses", async () => {
    const [other] = await client.call("C_OpenSession", 0, RW);
    await client.call("C_Login", other, CKU.USER, toUtf8(bench.adminToken));
    const before = bench.audit.entries.length;
    await client.call("C_GenerateKey", other, mechanism(CKM.AES_KEY_GEN), [attribute(CKA.VALUE_LEN, 16)]);
    const [made] = bench.audit.entries.slice(before).filter(({ action }) => action === "session-key.create");
    assert.equal(made?.principal, bench.admin.principal);
    await client.call("C_CloseSession", other);
  });

  test("a policy that forbids the use is obeyed for every use, and the refusal is on record", async () => {
    const key = await generic(attribute(CKA.SIGN, true), attribute(CKA.VERIFY, true), attribute(CKA.DERIVE, true));
    const block = await aes();
    const [checking, signing] = await client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.EC_KEY_PAIR_GEN),
      [attribute(CKA.EC_PARAMS, P256)],
      [attribute(CKA.PRIVATE, false)],
    );
    await policies('forbid(principal, action == Action::"session-key.use", resource);');
    try {
      const before = records("session-key.use").length;
      assert.equal(await mac(key), CKR.ACTION_PROHIBITED);
      await client.call("C_VerifyInit", session, mechanism(CKM.SHA256_HMAC), key);
      assert.equal(await client.rv("C_Verify", session, toUtf8("data"), new Uint8Array(32)), CKR.ACTION_PROHIBITED);
      await client.call("C_SignInit", session, mechanism(CKM.ECDSA), signing);
      assert.equal(await client.rv("C_Sign", session, new Uint8Array(32), 64), CKR.ACTION_PROHIBITED);
      await client.call("C_VerifyInit", session, mechanism(CKM.ECDSA), checking);
      assert.equal(await client.rv("C_Verify", session, new Uint8Array(32), new Uint8Array(64)), CKR.ACTION_PROHIBITED);
      await client.call("C_EncryptInit", session, mechanism(CKM.AES_ECB), block);
      assert.equal(await client.rv("C_Encrypt", session, new Uint8Array(16), 16), CKR.ACTION_PROHIBITED);
      await client.call("C_DigestInit", session, mechanism(CKM.SHA256));
      assert.equal(await client.rv("C_DigestKey", session, key), CKR.ACTION_PROHIBITED);
      await client.call("C_DigestFinal", session, 32);
      const derive = [attribute(CKA.KEY_TYPE, CKK.GENERIC_SECRET)];
      assert.equal(
        await client.rv("C_DeriveKey", session, mechanism(CKM.SHA256_KEY_DERIVATION), key, derive),
        CKR.ACTION_PROHIBITED,
      );
      const refused = records("session-key.use").slice(before);
      assert.deepEqual(
        refused.map(({ outcome, details }) => [outcome, details?.["operation"]]),
        ["mac", "verify mac", "sign", "verify", "encrypt", "digest", "derive"].map((operation) => [
          "FORBIDDEN",
          operation,
        ]),
      );
    } finally {
      await policies();
    }
    assert.equal(await mac(key), CKR.OK);
  });

  test("a policy forbids making and reading in the same way", async () => {
    const key = await generic(attribute(CKA.SENSITIVE, false));
    await policies(
      'forbid(principal, action in [Action::"session-key.create", Action::"session-key.read"], resource);',
    );
    try {
      assert.equal(
        await client.rv("C_GenerateKey", session, mechanism(CKM.AES_KEY_GEN), [attribute(CKA.VALUE_LEN, 16)]),
        CKR.ACTION_PROHIBITED,
      );
      assert.equal(await client.rv("C_CopyObject", session, key, []), CKR.ACTION_PROHIBITED);
      assert.equal(
        await client.rv("C_GetAttributeValue", session, key, [{ type: CKA.VALUE, capacity: 100 }]),
        CKR.ACTION_PROHIBITED,
      );
      assert.equal(await read(key, CKA.VALUE_LEN), 32, "what is public stays readable");
      assert.equal(await mac(key), CKR.OK);
    } finally {
      await policies();
    }
  });

  test("a size query shows the length of a secret and asks for no value", async () => {
    const key = await generic(attribute(CKA.SENSITIVE, false));
    const before = records("session-key.read").length;
    const [[found], rv] = await client.call("C_GetAttributeValue", session, key, [{ type: CKA.VALUE, capacity: -1 }]);
    assert.equal(rv, CKR.OK);
    assert.equal(found?.length, 32);
    assert.equal(records("session-key.read").length, before);
  });

  test("a session key that shows its value is found by it, one that does not is not", async () => {
    const value = new Uint8Array(20).fill(0x5a);
    const create = (sensitive: boolean) =>
      client.call("C_CreateObject", session, [
        attribute(CKA.CLASS, CKO.SECRET_KEY),
        attribute(CKA.KEY_TYPE, CKK.GENERIC_SECRET),
        attribute(CKA.VALUE, value),
        attribute(CKA.PRIVATE, false),
        attribute(CKA.SENSITIVE, sensitive),
      ]);
    const [open] = await create(false);
    await create(true);
    await client.call("C_FindObjectsInit", session, [attribute(CKA.VALUE, value)]);
    assert.deepEqual(await client.call("C_FindObjects", session, 10), [[open]]);
    await client.call("C_FindObjectsFinal", session);
  });

  test("a digest takes a value in where it is", async () => {
    const key = await generic(attribute(CKA.SENSITIVE, false));
    const value = (await read(key, CKA.VALUE)) as Uint8Array;
    await client.call("C_DigestInit", session, mechanism(CKM.SHA256));
    await client.call("C_DigestUpdate", session, toUtf8("before"));
    await client.call("C_DigestKey", session, key);
    await client.call("C_DigestUpdate", session, toUtf8("af"));
    await client.call("C_DigestUpdate", session, toUtf8("ter"));
    const [digest] = await client.call("C_DigestFinal", session, 32);
    const expected = createHash("sha256").update("before").update(value).update("after").digest("hex");
    assert.equal((digest as Uint8Array).toHex(), expected);
  });

  test("ECDH of a session key and of a device key give the same derived key", async () => {
    const [logged] = await client.call("C_OpenSession", 2 - 1, RW);
    await client.call("C_Login", logged, CKU.USER, toUtf8(bench.adminToken));
    const pair = (token: boolean) =>
      client.call(
        "C_GenerateKeyPair",
        logged,
        mechanism(CKM.EC_KEY_PAIR_GEN),
        [attribute(CKA.EC_PARAMS, P256), attribute(CKA.TOKEN, token)],
        [attribute(CKA.TOKEN, token), attribute(CKA.DERIVE, true)],
      );
    const pointOf = async (object: number) => {
      const [[found]] = await client.call("C_GetAttributeValue", logged, object, [
        { type: CKA.EC_POINT, capacity: 200 },
      ]);
      return found?.value as Uint8Array;
    };
    const [ownPublic, own] = await pair(false);
    const [devicePublic, device] = await pair(true);
    const derive = async (key: number, peer: Uint8Array) => {
      const parameter = { kind: "ecdh", kdf: CKD.SHA256_KDF, shared: toUtf8("shared"), peer } as const;
      const [made] = await client.call("C_DeriveKey", logged, mechanism(CKM.ECDH1_DERIVE, parameter), key, [
        attribute(CKA.KEY_TYPE, CKK.AES),
        attribute(CKA.VALUE_LEN, 32),
        attribute(CKA.SENSITIVE, false),
      ]);
      const [[value]] = await client.call("C_GetAttributeValue", logged, made, [{ type: CKA.VALUE, capacity: 100 }]);
      assert.ok(value?.value instanceof Uint8Array);
      return value.value.toHex();
    };
    assert.equal(await derive(own, await pointOf(devicePublic)), await derive(device, await pointOf(ownPublic)));
    await client.call("C_Logout", logged);
    await client.call("C_CloseSession", logged);
  });

  test("a private key whose making outlasts its login is left to nobody", async () => {
    const held = async (): Promise<number> => (await bench.sessionKeys.call("status", {})).keys;
    const before = await held();
    const [slow] = await client.call("C_OpenSession", 1, RW);
    const pin = toUtf8(bench.adminToken);
    await client.call("C_Login", slow, CKU.USER, pin);
    const pair = (isPrivate: boolean) =>
      client.rv(
        "C_GenerateKeyPair",
        slow,
        mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
        [attribute(CKA.MODULUS_BITS, 4096)],
        [attribute(CKA.PRIVATE, isPrivate)],
      );
    const making = pair(true);
    const open = pair(false);
    await client.call("C_Logout", slow);
    await client.call("C_Login", slow, CKU.USER, pin);
    assert.equal(await making, CKR.USER_NOT_LOGGED_IN);
    assert.equal(await open, CKR.OK, "what is public needs no login");
    await client.call("C_Logout", slow);
    await client.call("C_CloseSession", slow);
    assert.equal(await held(), before);
  });

  test("session keys end with their session, in the process that holds them", async () => {
    const held = async (): Promise<number> => (await bench.sessionKeys.call("status", {})).keys;
    const before = await held();
    const [other] = await client.call("C_OpenSession", 1, RW);
    for (let i = 0; i < 5; i++)
      await client.call("C_GenerateKey", other, mechanism(CKM.AES_KEY_GEN), [attribute(CKA.VALUE_LEN, 16)]);
    assert.equal(await held(), before + 5);
    await client.call("C_CloseSession", other);
    assert.equal(await held(), before);
  });

  test("when the process is killed under use nothing hangs, its keys are gone, and new ones are made", async () => {
    const key = await generic();
    const block = await aes();
    const [, rsa] = await client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      [attribute(CKA.MODULUS_BITS, 2048), attribute(CKA.PUBLIC_EXPONENT, new Uint8Array([1, 0, 1]))],
      [attribute(CKA.PRIVATE, false)],
    );
    const pid = bench.sessionKeys.pid as number;
    const sessions = await Promise.all(Array.from({ length: 24 }, () => client.call("C_OpenSession", 1, RW)));
    await Promise.all(sessions.map(([at]) => client.call("C_SignInit", at, mechanism(CKM.SHA256_RSA_PKCS), rsa)));
    // One operation is begun, and goes on after the kill.
    await client.call("C_EncryptInit", session, mechanism(CKM.AES_ECB), block);
    const answers = sessions.map(([at]) => client.rv("C_Sign", at, toUtf8("data"), 512));
    process.kill(pid, "SIGKILL");
    const allowed: readonly number[] = [CKR.OK, CKR.DEVICE_ERROR, CKR.KEY_HANDLE_INVALID];
    for (const rv of await Promise.all(answers)) assert.ok(allowed.includes(rv), `0x${rv.toString(16)}`);
    const begun = await client.rv("C_Encrypt", session, new Uint8Array(16), 16);
    assert.ok(begun === CKR.DEVICE_ERROR || begun === CKR.KEY_HANDLE_INVALID, `0x${begun.toString(16)}`);
    while (bench.sessionKeys.pid !== undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(await mac(key), CKR.KEY_HANDLE_INVALID);
    assert.equal(
      await client.rv("C_GetAttributeValue", session, key, [{ type: CKA.KEY_TYPE, capacity: 8 }]),
      CKR.OBJECT_HANDLE_INVALID,
    );
    await client.call("C_FindObjectsInit", session, [attribute(CKA.CLASS, CKO.SECRET_KEY)]);
    assert.deepEqual(await client.call("C_FindObjects", session, 100), [[]]);
    await client.call("C_FindObjectsFinal", session);
    const fresh = await generic();
    assert.equal(await mac(fresh), CKR.OK);
    assert.notEqual(bench.sessionKeys.pid, pid);
    assert.equal(await mac(key), CKR.KEY_HANDLE_INVALID);
    for (const [at] of sessions) await client.call("C_CloseSession", at);
  });
});
