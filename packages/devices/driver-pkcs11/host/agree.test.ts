import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { CKA, CKK } from "@casemate/protocols/p11-rpc";
import { agreeHandlers } from "./agree.ts";
import type { Cryptoki, Handle } from "./addon.ts";
import type { KeyStore } from "./keys.ts";
import type { Lane } from "./lane.ts";

/** A token whose shared secrets have that many bytes. */
function agreeing(bytes: number) {
  const gone: Handle[] = [];
  const cryptoki: Partial<Cryptoki> = {
    C_DeriveKey: () => Buffer.alloc(8, 9),
    C_GetAttributeValue: () => (bytes < 0 ? [] : [{ type: CKA.VALUE, value: Buffer.alloc(bytes, 5) }]),
    C_DestroyObject: (_session, object) => void gone.push(object),
  };
  const lane = {
    cryptoki,
    params: { ecdh: 1 },
    plan: { agrees: true, quirks: {} },
    session: { run: <T>(work: (open: Handle) => T): T => work(Buffer.alloc(8)) },
  } as unknown as Lane;
  const key = { handle: Buffer.alloc(8), keyType: CKK.EC, algorithm: "ec-p256", may: {} };
  const { agree } = agreeHandlers(lane, { resolve: () => key } as unknown as KeyStore);
  const peer = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "der", type: "spki" });
  return { agree: () => agree({ ref: new Uint8Array(1), peer }), gone };
}

test("a shared secret has the length of a coordinate, and its object goes whatever comes out", () => {
  const good = agreeing(32);
  assert.deepEqual(good.agree(), { bytes: new Uint8Array(32).fill(5) });
  assert.equal(good.gone.length, 1);
  for (const [bytes, code] of [
    [31, "DEVICE_FAILED"],
    [33, "DEVICE_FAILED"],
    [3, "DEVICE_FAILED"],
    [0, "NOT_SUPPORTED"],
    [-1, "NOT_SUPPORTED"],
  ] as const) {
    const bad = agreeing(bytes);
    assert.throws(bad.agree, { code }, `${bytes} bytes`);
    assert.equal(bad.gone.length, 1);
  }
});
