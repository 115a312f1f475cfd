import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encode, type Codec } from "@casemate/foundation/codec";
import { isCasemateError } from "@casemate/foundation/errors";
import { OPERATIONS, usageFlags, type OperationName } from "@casemate/protocols/hsm";
import { TestHost } from "./host.testkit.ts";

/** Answers or fails with a coded error; anything else is a bug. */
async function survives(host: TestHost, op: number, body: Uint8Array): Promise<void> {
  try {
    await host.engine.handle(op, body);
  } catch (error) {
    assert.ok(isCasemateError(error), `op ${op}: ${String(error)}`);
    assert.notEqual(error.code, "INTERNAL", error.message);
  }
}

/** Operations that end the device's work are tried elsewhere. */
const ENDING: ReadonlySet<OperationName> = new Set<OperationName>(["zeroize", "restore"]);
const names = (Object.keys(OPERATIONS) as OperationName[]).filter((name) => !ENDING.has(name));

async function validFrames(host: TestHost): Promise<readonly (readonly [OperationName, Uint8Array])[]> {
  const ec = await host.generate("ec-p256", "sign");
  const aes = await host.generate("aes-256", "encrypt", true);
  const kek = await host.generate("aes-256", "wrap");
  const mac = await host.generate("hmac-sha256", "mac");
  const x = await host.generate("x25519", "agree");
  const kem = await host.generate("ml-kem-512", "kem");
  const signer = await host.generate("ed25519", "sign");
  const data = new Uint8Array(32).fill(3);
  const frame = <N extends OperationName>(name: N, value: unknown): readonly [OperationName, Uint8Array] => [
    name,
    encode(OPERATIONS[name].request as Codec<unknown>, value),
  ];
  const spec = { algorithm: "ec-p256", usages: usageFlags(["sign"]), exportable: false };
  return [
    frame("status", {}),
    frame("random", { length: 8 }),
    frame("generate", spec),
    frame("publicKey", { ref: ec }),
    frame("sign", { ref: ec, scheme: "ecdsa-sha256", kind: "message", inputs: [data, data] }),
    frame("verify", { ref: ec, scheme: "ecdsa-raw", kind: "digest", items: [{ input: data, signature: data }] }),
    frame("encrypt", { ref: aes, scheme: "aes-gcm", items: [{ data, context: data, iv: new Uint8Array() }] }),
    frame("decrypt", { ref: aes, scheme: "aes-cbc", items: [{ data, context: new Uint8Array() }] }),
    frame("mac", { ref: mac, scheme: "hmac-sha256", inputs: [data] }),
    frame("checkMac", { ref: mac, scheme: "hmac-sha256", items: [{ input: data, mac: data }] }),
    frame("agree", { ref: x, peer: data }),
    frame("encapsulate", { ref: kem }),
    frame("decapsulate", { ref: kem, ciphertext: new Uint8Array(768) }),
    frame("exportKey", { wrapping: kek, scheme: "aes-kwp", target: aes }),
    frame("importKey", { wrapping: kek, scheme: "aes-kwp", wrapped: new Uint8Array(40), ...spec }),
    frame("dataKeys", { ref: aes, count: 2, bytes: 32, plaintext: true, context: data }),
    frame("witnessedLogs", {}),
    frame("signCheckpoint", { ref: signer, origin: "casemate-audit/0", size: 7n, root: data, proof: [] }),
    frame("challenge", {}),
    frame("unlock", { sealed: data }),
    frame("lock", {}),
    frame("stateSaved", { sequence: 5n, outcome: "kept" }),
    frame("destroy", { ref: x.map((byte, index) => (index === 30 ? byte ^ 1 : byte)) }),
  ];
}

test("random bodies of every operation are answered with a coded error", async () => {
  const host = await TestHost.start();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...names), fc.uint8Array({ maxLength: 120 }), (name, body) =>
      survives(host, OPERATIONS[name].op, body),
    ),
    { numRuns: 1500 },
  );
  assert.equal((await host.call("status", {})).state, "operational");
});

test("unknown operations are refused", async () => {
  const host = await TestHost.start();
  const known = new Set<number>(Object.values(OPERATIONS).map(({ op }) => op));
  for (let op = 0; op < 256; op++)
    if (!known.has(op)) assert.throws(() => host.engine.handle(op, new Uint8Array(3)), /has no operation/);
});

test("valid frames with changed, inserted and missing bytes never crash the engine", async () => {
  const host = await TestHost.start();
  const frames = await validFrames(host);
  for (const [name, body] of frames) await survives(host, OPERATIONS[name].op, body);
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
  assert.equal((await host.call("status", {})).state, "operational");
});

test("frames cut at every byte are refused as malformed and change nothing", async () => {
  const host = await TestHost.start();
  const frames = await validFrames(host);
  const saves = host.saves;
  for (const [name, body] of frames)
    for (let length = 0; length < body.length; length++) {
      await assert.rejects(
        async () => host.engine.handle(OPERATIONS[name].op, body.subarray(0, length)),
        (error: unknown) => isCasemateError(error) && (error.code.startsWith("DECODE_") || error.code === "CONFLICT"),
        `${name} cut at ${length}`,
      );
    }
  assert.equal(host.saves, saves);
});

test("in each state only the operations allowed there run", async () => {
  const fresh = new TestHost({});
  const tampered = await TestHost.start({ generations: [new Uint8Array(80).fill(1)] });
  const locked = await TestHost.start({ root: "passphrase" });
  for (const [host, state] of [
    [fresh, "starting"],
    [tampered, "tampered"],
    [locked, "locked"],
  ] as const)
    for (const name of names) {
      const allowed: readonly string[] = OPERATIONS[name].allowedIn;
      if (allowed.includes(state)) continue;
      assert.throws(
        () => host.engine.handle(OPERATIONS[name].op, new Uint8Array()),
        (error: unknown) =>
          isCasemateError(error) && ["UNAVAILABLE", "DEVICE_LOCKED", "DEVICE_TAMPERED"].includes(error.code),
        `${name} while ${state}`,
      );
    }
});
