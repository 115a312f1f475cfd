import assert from "node:assert/strict";
import { test } from "node:test";
import type { CasemateError } from "@casemate/foundation/errors";
import { systemClock } from "@casemate/foundation/effects";
import type { Caller, Keyring } from "@casemate/keyring/core";
import { createRestServer } from "@casemate/interfaces/rest";
import { restBench } from "@casemate/testkit/rest";

const caller: Caller = { principal: "admin", kind: "user", roles: ["admin"], source: "test" };

test("a signature comes back as base64 and a refusal before the use case is audited", async () => {
  const refused: string[] = [];
  const keyring = {
    authenticate: async () => caller,
    refused: async (_caller: unknown, _source: string, action: string, error: CasemateError) => {
      refused.push(`${action} ${error.code}`);
    },
    sign: async () => ({ version: 1, scheme: "pure", results: [new Uint8Array([1, 2, 3])], warnings: [] }),
  } as unknown as Keyring;
  const log = { info() {}, warn() {}, error() {} };
  const server = await createRestServer({ keyring, version: "0.0.0", clock: systemClock, log });
  try {
    const headers = { authorization: "Bearer token" };
    const good = await server.app.inject({
      method: "POST",
      url: "/v1/keys/k/sign",
      headers,
      payload: { input: "aGk=" },
    });
    assert.equal(good.statusCode, 200);
    assert.deepEqual(good.json(), { version: 1, scheme: "pure", signature: "AQID", warnings: [] });
    const bad = await server.app.inject({ method: "POST", url: "/v1/keys/k/sign", headers, payload: { input: "!" } });
    assert.equal(bad.statusCode, 400);
    assert.deepEqual(refused, ["key.sign BAD_REQUEST"]);
  } finally {
    await server.close();
  }
});

test("lists by state, the key and its use follow a date at that very millisecond", async () => {
  await using server = await restBench();
  const { clock } = server.temporary;
  const deactivateAt = new Date(clock.now() + 60_000).toISOString();
  const made = await server.call({ url: "/v1/keys", body: { name: "k", algorithm: "ed25519", deactivateAt } });
  assert.equal(made.status, 201);
  const seen = async (): Promise<readonly unknown[]> => {
    const count = async (state: string): Promise<number> => {
      const { json } = await server.call({ url: `/v1/keys?state=${state}` });
      return (json["items"] as readonly unknown[]).length;
    };
    const { json } = await server.call({ url: "/v1/keys/k" });
    const used = await server.call({ url: "/v1/keys/k/sign", body: { input: "AAAA" } });
    return [await count("active"), await count("deactivated"), json["state"], used.status, used.json["code"]];
  };
  clock.advance(59_999);
  assert.deepEqual(await seen(), [1, 0, "active", 200, undefined]);
  clock.advance(1);
  assert.deepEqual(await seen(), [0, 1, "deactivated", 409, "KEY_STATE"]);
});
