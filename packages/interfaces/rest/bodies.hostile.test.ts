/** Bodies made at random for every route: the server refuses or does as asked, and never breaks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { restBench, type Call } from "@casemate/testkit/rest";
import { OPERATIONS } from "./operations/all.ts";

/** Values that look right often enough to come past the first checks. */
const value = fc.oneof(
  fc.constantFrom(
    "k",
    "hsm-1",
    "ed25519",
    "aes-256",
    "AAAA",
    "",
    "admin",
    "message",
    "aes-gcm",
    "2031-01-01T00:00:00Z",
  ),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  fc.string(),
  fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<unknown>,
);

const bodyFor = (names: readonly string[]): fc.Arbitrary<unknown> =>
  names.length === 0
    ? fc.oneof(fc.constant({}), fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<unknown>)
    : fc.dictionary(fc.constantFrom(...names, "__proto__", "constructor"), value, {
        maxKeys: names.length,
        noNullPrototype: true,
      });

test("whatever the body is, no answer blames the server", async () => {
  await using server = await restBench();
  for (const name of ["k", "key"]) {
    const made = await server.call({ url: "/v1/keys", body: { name, algorithm: "aes-256", usages: ["encrypt"] } });
    assert.equal(made.status, 201);
  }
  const posts = OPERATIONS.filter(({ body, id }) => body !== undefined && id !== "createAuditCheckpoint");
  const request = fc.constantFrom(...posts).chain((operation) =>
    fc.record({
      method: fc.constant(operation.method as NonNullable<Call["method"]>),
      url: fc.constant(operation.path.replace("{name}", "k").replace("{id}", "hsm-1")),
      body: bodyFor(Object.keys(operation.body?.properties ?? {})),
    }),
  );
  await fc.assert(
    fc.asyncProperty(request, async (call) => {
      const { status, text } = await server.call(call);
      assert.ok(status < 500, `${call.method} ${call.url} ${JSON.stringify(call.body)}: ${status} ${text}`);
    }),
    { numRuns: 1500 },
  );
  assert.equal(server.logged.filter(({ level }) => level === "error").length, 0);
  assert.equal((await server.call({ url: "/v1/keys" })).status, 200);
});
