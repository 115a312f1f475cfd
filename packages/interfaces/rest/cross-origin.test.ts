import assert from "node:assert/strict";
import { request } from "node:http";
import { test } from "node:test";
import { restBench } from "@casemate/testkit/rest";

const APP = "https://app.example";

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

function send(port: number, method: string, path: string, headers: Record<string, string>, body = ""): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: "127.0.0.1", method, path, headers, agent: false }, (response) => {
      response.resume().on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers }));
    });
    sent.on("error", reject).end(body);
  });
}

const PREFLIGHT = { "access-control-request-method": "POST", "access-control-request-headers": "authorization" };

test("pages of an allowed origin pass the preflight and can read answers and problems; others cannot", async () => {
  await using server = await restBench({ allowOrigins: [APP] });
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const preflight = await send(port, "OPTIONS", "/v1/keys/k/sign", { ...PREFLIGHT, origin: APP });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers["access-control-allow-origin"], APP);
  assert.match(String(preflight.headers["access-control-allow-headers"]), /authorization/);
  assert.equal(preflight.headers["access-control-allow-private-network"], undefined);
  assert.equal(preflight.headers["access-control-allow-credentials"], undefined, "no cookies, no client certificates");
  const inside = { ...PREFLIGHT, origin: APP, "access-control-request-private-network": "true" };
  assert.equal(
    (await send(port, "OPTIONS", "/v1/keys", inside)).headers["access-control-allow-private-network"],
    "true",
  );
  const json = { "content-type": "application/json", "content-length": "2" };
  for (const [method, path, headers, body] of [
    ["GET", "/v1/health", {}, ""],
    ["GET", "/v1/keys", {}, ""],
    ["POST", "/v1/keys/k/sign", json, "{}"],
  ] as const) {
    const own = await send(port, method, path, { ...headers, origin: APP }, body);
    assert.equal(own.headers["access-control-allow-origin"], APP, path);
    assert.match(String(own.headers["access-control-expose-headers"]), /x-request-id/);
    assert.equal(own.headers["vary"], "origin");
    assert.equal(own.status, path === "/v1/health" ? 200 : 401, "an origin is no credential");
    for (const origin of ["https://evil.example", "null", `${APP}.evil.example`, `${APP}:8443`]) {
      const other = await send(port, method, path, { ...headers, origin }, body);
      assert.equal(other.headers["access-control-allow-origin"], undefined, origin);
    }
  }
  const refused = await send(port, "OPTIONS", "/v1/keys", { ...PREFLIGHT, origin: "https://evil.example" });
  assert.equal(refused.status, 405);
  assert.equal(refused.headers["access-control-allow-origin"], undefined);
});

test("without a list no page of any origin is let in", async () => {
  await using server = await restBench();
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  assert.equal((await send(port, "OPTIONS", "/v1/keys", { ...PREFLIGHT, origin: APP })).status, 405);
  const answer = await send(port, "GET", "/v1/health", { origin: APP });
  assert.equal(answer.headers["access-control-allow-origin"], undefined);
});
