import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { encode, type Codec } from "@casemate/foundation/codec";
import { isCasemateError } from "@casemate/foundation/errors";
import { OPERATIONS, type OperationName, type RequestOf } from "@casemate/protocols/session-keys";
import { OPEN, TestHost } from "./host.testkit.ts";

/** Answers or fails with a coded error; anything else is a bug. */
async function survives(host: TestHost, op: number, body: Uint8Array): Promise<void> {
  try {
    await host.engine.handle(op, body);
  } catch (error) {
    assert.ok(isCasemateError(error), `op ${op}: ${String(error)}`);
    assert.notEqual(error.code, "INTERNAL", error.message);
  }
}

const names = Object.keys(OPERATIONS) as OperationName[];

/** One good request of each operation. */
async function validFrames(host: TestHost): Promise<readonly (readonly [OperationName, Uint8Array])[]> {
  const data = new Uint8Array(32).fill(3);
  const iv = new Uint8Array(16);
  const nothing = new Uint8Array(0);
  const aes = await host.secret("aes", data);
  const generic = await host.secret("generic", data);
  const made = async (curve: "prime256v1" | "ed25519") =>
    (await host.call("generateCurve", { curve, ...OPEN })).id.slice();
  const ec = await made("prime256v1");
  const ed = await made("ed25519");
  const rsa = (await host.call("generateRsa", { bits: 1024, exponent: 65_537, ...OPEN })).id.slice();
  const peer = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "der", type: "spki" });
  const door = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const publicKey = door.publicKey.export({ format: "der", type: "spki" });
  const pkcs8 = door.privateKey.export({ format: "der", type: "pkcs8" });
  const how = { kind: "block", cipher: "aes", mode: "cbc-pad", iv } as const;
  const { bytes: wrapped } = await host.call("wrap", { id: aes, how, target: generic });
  const { bytes: wrappedPrivate } = await host.call("wrap", { id: aes, how, target: ec });
  const n = data.slice();
  const oaep = { kind: "oaep", hash: "sha256", label: data } as const;
  const frames: { readonly [N in OperationName]: RequestOf<N> } = {
    status: {},
    generateSecret: { type: "aes", length: 32, ...OPEN },
    generateRsa: { bits: 1024, exponent: 65_537, ...OPEN },
    generateCurve: { curve: "x25519", ...OPEN },
    importSecret: { type: "generic", value: data.slice(), ...OPEN },
    importRsa: { n, e: n, d: n, p: n, q: n, dp: n, dq: n, qi: n, ...OPEN },
    importCurve: { curve: "secp384r1", value: data.slice(), ...OPEN },
    importPkcs8: { pkcs8, ...OPEN },
    copy: { id: aes, ...OPEN },
    restrict: { id: ed, ...OPEN },
    forget: { ids: [data.slice(0, 16), data.slice(0, 16)] },
    read: { id: rsa },
    plaintext: { id: ec },
    sign: { id: ec, scheme: "ecdsa", input: data },
    mac: { id: generic, algorithm: "hmac-sha256", input: data },
    checkMac: { id: aes, algorithm: "aes-cmac", input: data, mac: iv },
    decrypt: { id: rsa, padding: oaep, input: new Uint8Array(128) },
    cipher: { id: aes, cipher: "aes", mode: "cfb8", encrypt: true, iv, input: data },
    gcm: { id: aes, encrypt: true, nonce: data.slice(0, 12), context: data, tagLength: 16, input: data },
    agree: { id: ec, peer },
    derive: { id: generic, how: { kind: "x963", hash: "sha512", shared: data }, type: "aes", length: 32, ...OPEN },
    wrap: { id: aes, how, target: generic },
    wrapFor: { publicKey, padding: oaep, target: generic },
    seal: { publicKey, target: generic },
    unwrapSecret: { id: aes, how, wrapped: wrapped.slice(), type: "generic", length: 0, ...OPEN },
    unwrapPrivate: { id: aes, how, wrapped: wrappedPrivate.slice(), ...OPEN },
    digest: {
      hash: "sha256",
      parts: [
        { kind: "bytes", bytes: nothing },
        { kind: "key", id: generic },
      ],
    },
  };
  return names.map((name) => [name, encode(OPERATIONS[name].request as Codec<unknown>, frames[name])]);
}

test("good requests of every operation are answered", async () => {
  const host = new TestHost();
  for (const [name, body] of await validFrames(host)) {
    // Numbers that are no key, a ciphertext of zeros: refused as what they are.
    if (name === "importRsa" || name === "decrypt") await survives(host, OPERATIONS[name].op, body);
    else await host.engine.handle(OPERATIONS[name].op, body);
  }
});

test("random bodies of every operation are answered with a coded error", async () => {
  const host = new TestHost();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...names), fc.uint8Array({ maxLength: 120 }), (name, body) =>
      survives(host, OPERATIONS[name].op, body),
    ),
    { numRuns: 1500 },
  );
});

test("unknown operations are refused", () => {
  const host = new TestHost();
  const known = new Set<number>(Object.values(OPERATIONS).map(({ op }) => op));
  for (let op = 0; op < 256; op++)
    if (!known.has(op)) assert.throws(() => host.engine.handle(op, new Uint8Array(3)), /have no operation/);
});

test("valid frames with changed, inserted and missing bytes never crash the engine", async () => {
  const host = new TestHost();
  const frames = (await validFrames(host)).filter(([name]) => name !== "generateRsa");
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...frames),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 }), fc.constantFrom("set", "insert", "cut")), {
        minLength: 1,
        maxLength: 4,
      }),
      async ([name, body], changes) => {
        let bytes = [...body];
        for (const [where, value, how] of changes) {
          const at = where % (bytes.length + 1);
          if (how === "set") bytes[at] = value;
          else if (how === "insert") bytes.splice(at, 0, value);
          else bytes = bytes.slice(0, at);
        }
        await survives(host, OPERATIONS[name].op, Uint8Array.from(bytes));
      },
    ),
    { numRuns: 2500 },
  );
});

test("frames cut at every byte are refused as malformed", async () => {
  const host = new TestHost();
  for (const [name, body] of await validFrames(host))
    for (let length = 0; length < body.length; length++) {
      await assert.rejects(
        async () => host.engine.handle(OPERATIONS[name].op, body.slice(0, length)),
        (error: unknown) => isCasemateError(error) && error.code.startsWith("DECODE_"),
        `${name} cut at ${length}`,
      );
    }
});
