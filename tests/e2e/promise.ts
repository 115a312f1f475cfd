/**
 * The promise: a key never comes out. Keys whose values the test knows are brought in wrapped, used over REST, and then looked for in the
 * server's memory, its data directory and its logs. The same search over the boundary process finds them, so the search can fail.
 */
import assert from "node:assert/strict";
import {
  constants,
  createCipheriv,
  createPublicKey,
  encapsulate,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
  type KeyObject,
} from "node:crypto";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { searchFile, searchMemory, type Needle } from "./memory.ts";
import { KEY_ALGORITHMS } from "@casemate/devices/contract";
import { startServer, temporary } from "./harness.ts";

interface Known {
  readonly algorithm: string;
  readonly usage: string;
  /** What is wrapped: PKCS#8 DER or raw bytes. */
  readonly material: Uint8Array;
  /** Private values by name, big-endian. */
  readonly secrets: Readonly<Record<string, Uint8Array>>;
  readonly use: () => readonly [route: string, body: object];
}

const signs: Known["use"] = () => ["sign", { input: "bWVzc2FnZQ==" }];
const agrees =
  (type: string): Known["use"] =>
  () => ["agree", { peer: spki(pair(type)) }];

function spki(key: KeyObject): string {
  return createPublicKey(key).export({ type: "spki", format: "der" }).toString("base64");
}

function pkcs8(key: KeyObject): Uint8Array {
  return key.export({ type: "pkcs8", format: "der" });
}

function pair(type: string, options?: object): KeyObject {
  const generate = generateKeyPairSync as unknown as (type: string, options?: object) => { privateKey: KeyObject };
  return generate(type, options).privateKey;
}

function jwkSecrets(key: KeyObject, names: readonly string[]): Record<string, Uint8Array> {
  const jwk = key.export({ format: "jwk" }) as Record<string, string>;
  return Object.fromEntries(names.map((name) => [name, Buffer.from(jwk[name] ?? "", "base64url")]));
}

function known(
  algorithm: string,
  type: string,
  options: object | undefined,
  names: readonly string[],
  use = signs,
): Known {
  const key = pair(type, options);
  const usage = use === signs ? "sign" : "agree";
  return { algorithm, usage, material: pkcs8(key), secrets: jwkSecrets(key, names), use };
}

function seeded(algorithm: string, usage: string, use: Known["use"]): Known {
  const key = pair(algorithm);
  return { algorithm, usage, material: pkcs8(key), secrets: { seed: rawPart(key, "raw-seed") }, use };
}

function kem(algorithm: string): Known {
  const key = pair(algorithm);
  const use: Known["use"] = () => {
    const { ciphertext } = encapsulate(createPublicKey(key));
    return ["decapsulate", { ciphertext: Buffer.from(ciphertext).toString("base64") }];
  };
  return { algorithm, usage: "kem", material: pkcs8(key), secrets: { seed: rawPart(key, "raw-seed") }, use };
}

/** SLH-DSA (FIPS 205 §9.1): SK.seed and SK.prf come first; what follows is public. */
function hashBased(algorithm: string, n: number): Known {
  const key = pair(algorithm);
  const whole = rawPart(key, "raw-private");
  const secrets = { "SK.seed": whole.subarray(0, n), "SK.prf": whole.subarray(n, 2 * n) };
  return { algorithm, usage: "sign", material: pkcs8(key), secrets, use: signs };
}

function rawPart(key: KeyObject, format: string): Uint8Array {
  return key.export({ format } as never) as unknown as Uint8Array;
}

function raw(algorithm: string, usage: string, length: number, route: string, body: object): Known {
  const value = randomBytes(length);
  return { algorithm, usage, material: value, secrets: { value }, use: () => [route, body] };
}

function everyKind(): readonly Known[] {
  return [
    ...[2048, 3072, 4096].map((modulusLength) =>
      known(`rsa-${modulusLength}`, "rsa", { modulusLength }, ["d", "p", "q", "dp", "dq", "qi"]),
    ),
    known("ec-p256", "ec", { namedCurve: "P-256" }, ["d"]),
    known("ec-p384", "ec", { namedCurve: "P-384" }, ["d"]),
    known("ec-p521", "ec", { namedCurve: "P-521" }, ["d"]),
    known("ec-secp256k1", "ec", { namedCurve: "secp256k1" }, ["d"]),
    known("ed25519", "ed25519", undefined, ["d"]),
    known("ed448", "ed448", undefined, ["d"]),
    known("x25519", "x25519", undefined, ["d"], agrees("x25519")),
    known("x448", "x448", undefined, ["d"], agrees("x448")),
    seeded("ml-dsa-44", "sign", signs),
    seeded("ml-dsa-65", "sign", signs),
    seeded("ml-dsa-87", "sign", signs),
    kem("ml-kem-512"),
    kem("ml-kem-768"),
    kem("ml-kem-1024"),
    ...["sha2", "shake"].flatMap((hash) =>
      [16, 24, 32].flatMap((n) => ["s", "f"].map((speed) => hashBased(`slh-dsa-${hash}-${n * 8}${speed}`, n))),
    ),
    raw("aes-128", "encrypt", 16, "encrypt", { data: "bWVzc2FnZQ==" }),
    raw("aes-192", "encrypt", 24, "encrypt", { data: "bWVzc2FnZQ==" }),
    raw("aes-256", "encrypt", 32, "encrypt", { data: "bWVzc2FnZQ==" }),
    raw("hmac-sha384", "mac", 48, "mac", { input: "bWVzc2FnZQ==" }),
    raw("hmac-sha512", "mac", 64, "mac", { input: "bWVzc2FnZQ==" }),
    raw("hmac-sha256", "mac", 32, "mac", { input: "bWVzc2FnZQ==" }),
  ];
}

/** CKM_RSA_AES_KEY_WRAP of PKCS#11 3.1 §6.1.8: an AES key under OAEP with SHA-256, then the material under it (RFC 5649). */
function wrapFor(spki: string, material: Uint8Array): string {
  const publicKey = createPublicKey({ key: Buffer.from(spki, "base64"), format: "der", type: "spki" });
  const aes = randomBytes(32);
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const first = publicEncrypt({ key: publicKey, padding, oaepHash: "sha256" }, aes);
  const cipher = createCipheriv("id-aes256-wrap-pad", aes, Buffer.from("a65959a6", "hex"));
  const second = Buffer.concat([cipher.update(material), cipher.final()]);
  return Buffer.concat([first, second]).toString("base64");
}

/** A private value in the forms in which it could lie about: as it is, as OpenSSL keeps numbers, and as text. */
export function forms(name: string, value: Uint8Array): readonly Needle[] {
  const bytes = Buffer.from(value);
  return [
    { name, bytes },
    { name, bytes: Buffer.from(bytes).reverse() },
    { name, bytes: Buffer.from(bytes.toString("base64").replace(/=+$/, "").slice(0, -1)) },
    { name, bytes: Buffer.from(bytes.toString("hex")) },
  ];
}

export function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(/\s+/).map(Number);
}

export function childOf(pid: number): number {
  const children = childrenOf(pid);
  assert.equal(children.length, 1, `one boundary process, not ${children.join(" ")}`);
  return children[0] as number;
}

/** What is found in a core file of the running process, taken as a debugger takes it. */
export function searchCore(pid: number, directory: string, needles: readonly Needle[]): ReadonlySet<string> {
  execFileSync("gcore", ["-o", join(directory, "core"), String(pid)], { stdio: "pipe" });
  return searchFile(join(directory, `core.${pid}`), needles);
}

export function mayLook(pid: number): boolean {
  try {
    searchMemory(pid, [{ name: "nothing", bytes: randomBytes(16) }]);
    return true;
  } catch {
    return false;
  }
}

/** Fails where a private value is found. With `withCore`, core files of both processes are searched too: needs gcore. */
export async function keepsThePromise(t: TestContext, withCore: boolean): Promise<void> {
  using directory = temporary();
  const data = join(directory.path, "data");
  const server = await startServer(data, ["--log-level", "debug"]);
  const socketPath = server.announced.socket ?? "";
  const token = readFileSync(join(data, "admin.token"), "utf8").trim();
  const call = <T>(method: string, path: string, body?: object): Promise<T> =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const sent = request({ socketPath, path, method, headers, agent: false }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part: string) => (text += part));
        response.on("end", () => {
          if ((response.statusCode ?? 500) < 300) resolve(JSON.parse(text) as T);
          else reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`));
        });
      });
      sent.on("error", reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });

  try {
    const boundary = childOf(server.pid);
    if (!mayLook(server.pid) || !mayLook(boundary)) {
      t.skip("this account may not read the memory of the server and its boundary, as they intend; root may");
      return;
    }
    await call("POST", "/v1/keys", { name: "door", algorithm: "rsa-4096", usages: ["wrap"] });
    const { publicKey } = await call<{ publicKey: string }>("GET", "/v1/keys/door/public");
    const keys = everyKind();
    assert.deepEqual(
      keys.map(({ algorithm }) => algorithm).toSorted(),
      KEY_ALGORITHMS.toSorted(),
      "one key of each algorithm",
    );
    for (const { algorithm, usage, material, use } of keys) {
      const name = `known-${algorithm}`;
      const wrapped = wrapFor(publicKey, material);
      const body = { name, algorithm, usages: [usage], wrappingKey: "door", scheme: "rsa-aes-kwp", wrapped };
      await call("POST", "/v1/keys/import", body);
      const [route, request] = use();
      const times = algorithm.endsWith("s") ? 1 : 3; // the small sets of SLH-DSA take up to a second each
      for (let i = 0; i < times; i++) await call("POST", `/v1/keys/${name}/${route}`, request);
    }

    const root = readFileSync(join(data, "roots", "hsm-1.key")).subarray(0, 32);
    const needles = [
      ...keys.flatMap(({ algorithm, secrets }) =>
        Object.entries(secrets).flatMap(([name, value]) => forms(`${algorithm} ${name}`, value)),
      ),
      ...forms("root key", root),
    ];
    const expected = new Set(needles.map(({ name }) => name));
    t.diagnostic(`looking for ${expected.size} private values in ${needles.length} forms`);

    assert.deepEqual([...searchMemory(server.pid, needles)], [], "the server's memory holds private values");
    const inside = searchMemory(boundary, needles);
    for (const { algorithm, secrets } of keys) {
      const some = Object.keys(secrets).some((name) => inside.has(`${algorithm} ${name}`));
      assert.ok(some, `the search does not even find ${algorithm} in the boundary: it proves nothing`);
    }

    if (withCore) {
      using cores = temporary();
      assert.deepEqual(
        [...searchCore(server.pid, cores.path, needles)],
        [],
        "the server's core file holds private values",
      );
      const insideCore = searchCore(boundary, cores.path, needles);
      // What OpenSSL keeps outside its secure heap; the secure heap itself is left out of core files.
      for (const name of ["aes-256 value", "hmac-sha256 value"])
        assert.ok(insideCore.has(name), `the search does not find ${name} in the boundary's core: it proves nothing`);
    }

    writeFileSync(join(directory.path, "planted"), root);
    const files = readdirSync(directory.path, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    const holding = files
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((file) => {
        const content = readFileSync(file);
        return needles.some(({ bytes }) => content.includes(bytes));
      });
    assert.deepEqual(
      holding.toSorted(),
      [join(directory.path, "planted"), join(data, "roots", "hsm-1.key")].toSorted(),
      "only the key file (and what the test planted to see that it would find something) holds a private value",
    );
  } finally {
    await server.stop();
  }
}
