/**
 * The promise for session keys: their values are in a process of their own. Keys of every kind are made and used over PKCS#11; the memory of
 * server and boundary is kept; only then are the values read, and looked for in what was kept. Found in the boundary, so the search can fail.
 */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKD, CKF, CKK, CKM, CKO } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, TestClient } from "@casemate/testkit/pkcs11";
import { startServer, temporary } from "./harness.ts";
import { keepMemory, searchFile, type Needle } from "./memory.ts";
import { childOf, childrenOf, forms, mayLook, searchCore } from "./promise.ts";

interface Kind {
  readonly name: string;
  /** Handle of the key whose value is private. */
  readonly key: number;
  /** Attributes by which its value is learnt at the end. */
  readonly values: readonly number[];
}

const SHOWN = [attribute(CKA.SENSITIVE, false), attribute(CKA.EXTRACTABLE, true), attribute(CKA.PRIVATE, false)];
const RSA_VALUES = [CKA.PRIVATE_EXPONENT, CKA.PRIME_1, CKA.PRIME_2, CKA.EXPONENT_1, CKA.EXPONENT_2, CKA.COEFFICIENT];
const CURVES: readonly (readonly [name: string, keyGen: number, params: string, use: number])[] = [
  ["P-256", CKM.EC_KEY_PAIR_GEN, "06082a8648ce3d030107", CKM.ECDSA],
  ["P-384", CKM.EC_KEY_PAIR_GEN, "06052b81040022", CKM.ECDSA],
  ["P-521", CKM.EC_KEY_PAIR_GEN, "06052b81040023", CKM.ECDSA],
  ["secp256k1", CKM.EC_KEY_PAIR_GEN, "06052b8104000a", CKM.ECDSA],
  ["Ed25519", CKM.EC_EDWARDS_KEY_PAIR_GEN, "06032b6570", CKM.EDDSA],
  ["Ed448", CKM.EC_EDWARDS_KEY_PAIR_GEN, "06032b6571", CKM.EDDSA],
  ["X25519", CKM.EC_MONTGOMERY_KEY_PAIR_GEN, "06032b656e", CKM.ECDH1_DERIVE],
  ["X448", CKM.EC_MONTGOMERY_KEY_PAIR_GEN, "06032b656f", CKM.ECDH1_DERIVE],
];

/** Makes and uses a key of each kind. */
async function everyKind(client: TestClient, session: number): Promise<readonly Kind[]> {
  const kinds: Kind[] = [];
  const data = new Uint8Array(32).fill(7);
  const sign = async (type: number, key: number): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      await client.call("C_SignInit", session, mechanism(type), key);
      await client.call("C_Sign", session, data, 1024);
    }
  };
  const secret = async (name: string, type: number, use: (key: number) => Promise<void>, length?: number) => {
    const size = length === undefined ? [] : [attribute(CKA.VALUE_LEN, length)];
    const usages = [CKA.SIGN, CKA.ENCRYPT, CKA.WRAP, CKA.UNWRAP, CKA.DERIVE].map((usage) => attribute(usage, true));
    const template = [...SHOWN, ...size, ...usages];
    const [key] = await client.call("C_GenerateKey", session, mechanism(type), template);
    await use(key);
    kinds.push({ name, key, values: [CKA.VALUE] });
    return key;
  };
  const encrypt = (type: number, iv: number) => async (key: number) => {
    const parameter = { kind: "bytes", bytes: new Uint8Array(iv) } as const;
    await client.call("C_EncryptInit", session, mechanism(type, parameter), key);
    await client.call("C_Encrypt", session, data, 1024);
  };
  const wrapping = await secret("AES", CKM.AES_KEY_GEN, encrypt(CKM.AES_CBC_PAD, 16), 32);
  await secret("3DES", CKM.DES3_KEY_GEN, encrypt(CKM.DES3_CBC, 8));
  const generic = await secret("generic secret", CKM.GENERIC_SECRET_KEY_GEN, (key) => sign(CKM.SHA256_HMAC, key), 32);
  const [, rsa] = await client.call(
    "C_GenerateKeyPair",
    session,
    mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
    [attribute(CKA.MODULUS_BITS, 2048)],
    SHOWN,
  );
  await sign(CKM.SHA256_RSA_PKCS, rsa);
  kinds.push({ name: "RSA", key: rsa, values: RSA_VALUES });

  const derived = [...SHOWN, attribute(CKA.KEY_TYPE, CKK.GENERIC_SECRET), attribute(CKA.VALUE_LEN, 32)];
  for (const [name, keyGen, params, use] of CURVES) {
    const usage = [attribute(use === CKM.ECDH1_DERIVE ? CKA.DERIVE : CKA.SIGN, true)];
    const [publicKey, key] = await client.call(
      "C_GenerateKeyPair",
      session,
      mechanism(keyGen),
      [attribute(CKA.EC_PARAMS, Uint8Array.fromHex(params))],
      [...SHOWN, ...usage],
    );
    kinds.push({ name, key, values: [CKA.VALUE] });
    if (use !== CKM.ECDH1_DERIVE) {
      await sign(use, key);
      continue;
    }
    const [[point]] = await client.call("C_GetAttributeValue", session, publicKey, [
      { type: CKA.EC_POINT, capacity: 200 },
    ]);
    const parameter = { kind: "ecdh", kdf: CKD.SHA256_KDF, shared: data, peer: point?.value as Uint8Array } as const;
    const [made] = await client.call("C_DeriveKey", session, mechanism(use, parameter), key, derived);
    await sign(CKM.SHA256_HMAC, made);
    kinds.push({ name: `derived by ${name}`, key: made, values: [CKA.VALUE] });
  }

  const pad = mechanism(CKM.AES_CBC_PAD, { kind: "bytes", bytes: new Uint8Array(16) });
  const [hashed] = await client.call("C_DeriveKey", session, mechanism(CKM.SHA256_KEY_DERIVATION), generic, derived);
  const [wrapped] = await client.call("C_WrapKey", session, pad, wrapping, hashed, 100);
  const [unwrapped] = await client.call("C_UnwrapKey", session, pad, wrapping, wrapped as Uint8Array, [
    ...SHOWN,
    attribute(CKA.CLASS, CKO.SECRET_KEY),
    attribute(CKA.KEY_TYPE, CKK.GENERIC_SECRET),
  ]);
  await sign(CKM.SHA256_HMAC, unwrapped);
  kinds.push({ name: "hashed, wrapped and unwrapped", key: unwrapped, values: [CKA.VALUE] });
  return kinds;
}

/** Fails where a private value is found. With `withCore`, core files of both processes are searched too: needs gcore. */
export async function keepsThePromiseOfSessionKeys(t: TestContext, withCore: boolean): Promise<void> {
  using directory = temporary();
  using kept = temporary();
  const data = join(directory.path, "data");
  const server = await startServer(data, ["--log-level", "debug"]);
  try {
    const device = childOf(server.pid);
    if (!mayLook(server.pid) || !mayLook(device)) {
      t.skip("this account may not read the memory of the server and its boundary, as they intend; root may");
      return;
    }
    await using client = await TestClient.open(join(data, "pkcs11.sock"));
    const [session] = await client.call("C_OpenSession", 0, CKF.SERIAL_SESSION | CKF.RW_SESSION);
    const kinds = await everyKind(client, session);
    const boundary = childrenOf(server.pid).find((pid) => pid !== device);
    assert.ok(boundary !== undefined, "session keys have a process of their own");

    const serverMemory = join(kept.path, "server");
    const boundaryMemory = join(kept.path, "boundary");
    keepMemory(server.pid, serverMemory);
    keepMemory(boundary, boundaryMemory);
    // The values are learnt after this: nothing that is found can have come from the reading.
    const core = withCore
      ? (pid: number, needles: readonly Needle[]) => searchCore(pid, kept.path, needles)
      : undefined;
    core?.(server.pid, [{ name: "nothing", bytes: toUtf8("to have the core file written") }]);
    core?.(boundary, [{ name: "nothing", bytes: toUtf8("to have the core file written") }]);

    const needles: Needle[] = [];
    for (const { name, key, values } of kinds) {
      const buffers = values.map((type) => ({ type, capacity: 4096 }));
      const [attributes] = await client.call("C_GetAttributeValue", session, key, buffers);
      for (const { type, value } of attributes) {
        assert.ok(value instanceof Uint8Array && value.length >= 16, `${name}: the value of 0x${type.toString(16)}`);
        needles.push(...forms(name, value));
      }
    }
    t.diagnostic(`looking for the values of ${kinds.length} session keys in ${needles.length} forms`);
    const names = new Set(kinds.map(({ name }) => name));
    assert.deepEqual([...searchFile(serverMemory, needles)], [], "the server's memory held values of session keys");
    const inside = searchFile(boundaryMemory, needles);
    for (const name of names) assert.ok(inside.has(name), `not even found in the boundary: ${name}; it proves nothing`);
    if (withCore) {
      const coreOf = (pid: number) => searchFile(join(kept.path, `core.${pid}`), needles);
      assert.deepEqual([...coreOf(server.pid)], [], "the server's core file held values of session keys");
      const insideCore = coreOf(boundary);
      for (const name of names) assert.ok(insideCore.has(name), `not even in the boundary's core: ${name}`);
    }
    for (const entry of readdirSync(directory.path, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const file = join(entry.parentPath, entry.name);
      const content = readFileSync(file);
      assert.ok(!needles.some(({ bytes }) => content.includes(bytes)), `${file} holds a value of a session key`);
    }
  } finally {
    await server.stop();
  }
}
