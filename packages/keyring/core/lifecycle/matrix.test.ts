import assert from "node:assert/strict";
import { test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import { ALLOWED, MOVES, TRANSITIONS, mayMove, type KeyState } from "@casemate/keyring/core";
import { temporaryKeyring, type TemporaryKeyring } from "@casemate/testkit/fakes";

const input = toUtf8("x");

/** By hand: y allowed, - refused. Columns: pre-active, active, suspended, deactivated, compromised, destroyed. */
const MATRIX: Readonly<Record<string, string>> = {
  sign: "-y----",
  verify: "-yyyy-",
  encrypt: "-y----",
  decrypt: "-y-yy-",
  mac: "-y----",
  "mac-verify": "-yyyy-",
  agree: "-y-yy-",
  wrap: "-y----",
  unwrap: "-y-yy-",
  export: "-y----",
  "data-keys": "-y----",
  public: "yyyyy-",
};
const STATES: readonly KeyState[] = ["pre-active", "active", "suspended", "deactivated", "compromised", "destroyed"];

interface Made {
  readonly t: TemporaryKeyring;
  readonly signature: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly mac: Uint8Array;
  readonly wrapped: Uint8Array;
  readonly peer: Uint8Array;
}

function bytesOf(value: unknown): Uint8Array {
  assert.ok(value instanceof Uint8Array);
  return value;
}

/** Keys of each kind, what they protected while active, and then the state to look at. */
async function madeIn(t: TemporaryKeyring, state: KeyState): Promise<Made> {
  const { keyring, admin } = t;
  const later = state === "pre-active" ? { activateAt: "2099-01-01T00:00:00Z" } : {};
  const wrapping = { wrappingKey: "wrap", scheme: "aes-kwp" } as const;
  await keyring.createKey(admin, { name: "sign", algorithm: "ed25519", ...later });
  await keyring.createKey(admin, { name: "encrypt", algorithm: "aes-256", ...later });
  await keyring.createKey(admin, { name: "mac", algorithm: "hmac-sha256", ...later });
  await keyring.createKey(admin, { name: "agree", algorithm: "ec-p256", usages: ["agree"], ...later });
  await keyring.createKey(admin, { name: "wrap", algorithm: "aes-256", usages: ["wrap"], ...later });
  await keyring.createKey(admin, { name: "export", algorithm: "ed25519", exportable: true, ...later });
  await keyring.createKey(admin, { name: "other", algorithm: "aes-256", usages: ["wrap"] });
  await keyring.createKey(admin, { name: "free", algorithm: "ed25519", exportable: true });
  const peer = await keyring.createKey(admin, { name: "peer", algorithm: "ec-p256", usages: ["agree"] });
  const empty = new Uint8Array(8);
  const made =
    state === "pre-active"
      ? { signature: empty, ciphertext: Uint8Array.of(0xca, 1, 0, 0, 0, 1, 9), mac: empty, wrapped: empty }
      : {
          signature: bytesOf((await keyring.sign(admin, "sign", { kind: "message", inputs: [input] })).results[0]),
          ciphertext: bytesOf((await keyring.encrypt(admin, "encrypt", { items: [{ data: input }] })).results[0]),
          mac: bytesOf((await keyring.mac(admin, "mac", { inputs: [input] })).results[0]),
          wrapped: (await keyring.wrapKey(admin, "free", wrapping)).wrapped,
        };
  const move = { suspended: "suspend", deactivated: "deactivate", compromised: "compromise" } as const;
  for (const name of ["sign", "encrypt", "mac", "agree", "wrap", "export"]) {
    if (state in move) await keyring.transition(admin, name, move[state as keyof typeof move]);
    if (state === "destroyed") await keyring.destroyKey(admin, name, { now: true });
    assert.equal((await keyring.getKey(admin, name)).state, state);
  }
  return { t, ...made, peer: bytesOf(peer.versions[0]?.publicKey) };
}

const TRY: Readonly<Record<string, (made: Made) => Promise<unknown>>> = {
  sign: ({ t }) => t.keyring.sign(t.admin, "sign", { kind: "message", inputs: [input] }),
  verify: async ({ t, signature }) => {
    const items = [{ input, signature }];
    assert.deepEqual((await t.keyring.verify(t.admin, "sign", { kind: "message", items })).results, [true]);
  },
  encrypt: ({ t }) => t.keyring.encrypt(t.admin, "encrypt", { items: [{ data: input }] }),
  decrypt: async ({ t, ciphertext }) => {
    const { results } = await t.keyring.decrypt(t.admin, "encrypt", { items: [{ data: ciphertext }] });
    assert.deepEqual(results, [input]);
  },
  mac: ({ t }) => t.keyring.mac(t.admin, "mac", { inputs: [input] }),
  "mac-verify": async ({ t, mac }) => {
    assert.deepEqual((await t.keyring.macVerify(t.admin, "mac", { items: [{ input, mac }] })).results, [true]);
  },
  agree: ({ t, peer }) => t.keyring.agree(t.admin, "agree", peer),
  wrap: ({ t }) => t.keyring.wrapKey(t.admin, "free", { wrappingKey: "wrap", scheme: "aes-kwp" }),
  unwrap: ({ t, wrapped }) =>
    t.keyring.importKey(t.admin, {
      name: "imported",
      algorithm: "ed25519",
      wrappingKey: "wrap",
      scheme: "aes-kwp",
      wrapped,
    }),
  export: ({ t }) => t.keyring.wrapKey(t.admin, "export", { wrappingKey: "other", scheme: "aes-kwp" }),
  "data-keys": ({ t }) => t.keyring.dataKeys(t.admin, "encrypt", { count: 1, bytes: 32, plaintext: false }),
  public: ({ t }) => t.keyring.publicKey(t.admin, "sign"),
};

STATES.forEach((state, column) => {
  test(`a key that is ${state} does exactly what its column of the matrix says`, async () => {
    await using t = await temporaryKeyring();
    const made = await madeIn(t, state);
    for (const [operation, row] of Object.entries(MATRIX)) {
      const attempt = TRY[operation]?.(made);
      assert.ok(attempt, operation);
      if (row[column] === "y") await assert.doesNotReject(attempt, `${operation} while ${state}`);
      else
        await assert.rejects(
          attempt,
          (error) => isCasemateError(error) && error.code === "KEY_STATE",
          `${operation} while ${state}`,
        );
    }
  });
});

test("a compromised key warns with each answer", async () => {
  await using t = await temporaryKeyring();
  const made = await madeIn(t, "compromised");
  const items = [{ input, signature: made.signature }];
  const { warnings } = await t.keyring.verify(t.admin, "sign", { kind: "message", items });
  assert.match(warnings.join(), /compromised/);
});

test("moves are transitions of the table, and nothing leads out of destruction", () => {
  for (const { from, to } of Object.values(MOVES)) for (const state of from) assert.ok(mayMove(state, to));
  assert.deepEqual(TRANSITIONS.destroyed, []);
  assert.equal(ALLOWED.destroyed.size, 0);
});
