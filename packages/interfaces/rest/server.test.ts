import assert from "node:assert/strict";
import { test } from "node:test";
import type { CasemateError } from "@casemate/foundation/errors";
import { systemClock } from "@casemate/foundation/effects";
import type { Caller, Keyring } from "@casemate/keyring/core";
import { createRestServer } from "@casemate/interfaces/rest";

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
