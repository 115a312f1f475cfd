/** RFC 9110 §9.3.2: HEAD is GET without the content. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { exchange, restBench, type Answer, type Call } from "@casemate/testkit/rest";
import { OPERATIONS } from "./operations/all.ts";

const PLAIN = ["/v1/health", "/v1/openapi.json", "/v1/whoami", "/metrics"];
const PATHS = [...OPERATIONS.filter(({ method }) => method === "GET").map(({ path }) => path), ...PLAIN];
const FILLED: Readonly<Record<string, string>> = { "{name}": "k", "{id}": "hsm-1", "{version}": "1" };
/** Parts of the log that do not move on while it grows. */
const QUERY: ReadonlyMap<string, string> = new Map([
  ["/v1/audit/records", "?from=0&limit=2"],
  ["/v1/audit/inclusion", "?index=0&size=2"],
  ["/v1/audit/consistency", "?first=1&second=2"],
]);
const REQUEST_ID = { "x-request-id": "the-same" };

/** What must be the same: lengths are looked at apart, since logs and counters grow. */
function constant({ status, headers }: Answer): object {
  const { "content-length": _length, date: _date, ...rest } = headers;
  return { status, ...rest };
}

test("health, metrics, document and a repeated whoami leave no record, all other reading does", async () => {
  await using server = await restBench();
  const { entries } = server.temporary.audit;
  await server.call({ url: "/v1/keys", body: { name: "k", algorithm: "ed25519" } });
  await server.call({ url: "/v1/whoami" });
  const silent: string[] = [];
  for (const path of PATHS) {
    const before = entries.length;
    await server.call({ url: path.replaceAll(/\{\w+\}/g, (name) => FILLED[name] ?? "none"), method: "GET" });
    if (entries.length === before) silent.push(path);
  }
  assert.deepEqual(silent, PLAIN);
});

test("every path that takes GET takes HEAD: same status, headers, length and audit record, and no body", async () => {
  await using server = await restBench();
  const { entries } = server.temporary.audit;
  await server.call({ url: "/v1/keys", body: { name: "k", algorithm: "ed25519" } });
  await server.call({ method: "PUT", url: "/v1/policies/p", body: { text: "permit (principal, action, resource);" } });
  const asked = async (call: Call): Promise<readonly [Answer, readonly object[]]> => {
    const before = entries.length;
    const answer = await server.call({ ...call, headers: REQUEST_ID });
    return [
      answer,
      entries
        .slice(before)
        .map(({ action, resource, outcome, principal }) => ({ action, resource, outcome, principal })),
    ];
  };
  const length = ({ headers }: Answer): number => Number(headers["content-length"]);
  assert.ok(PATHS.length > PLAIN.length);
  for (const path of PATHS) {
    const filled = path.replaceAll(/\{\w+\}/g, (name) => FILLED[name] ?? "none");
    const url = `${filled}${QUERY.get(path) ?? ""}`;
    for (const call of [{ url }, { url, token: null }, { url, token: "cmt_wrong" }, { url: `${filled}?surprise=1` }]) {
      const what = JSON.stringify(call);
      const [before, onRecord] = await asked({ method: "GET", ...call });
      const [head, recorded] = await asked({ method: "HEAD", ...call });
      const [after] = await asked({ method: "GET", ...call });
      assert.equal(head.text, "", what);
      assert.deepEqual(constant(head), constant(before), what);
      // Seconds in the metrics have more digits at one time than at another.
      if (path !== "/metrics")
        assert.ok(length(before) <= length(head) && length(head) <= length(after), `${what}: ${length(head)}`);
      assert.ok(length(head) > 0, what);
      // The first use of a token from somewhere is one record more.
      const uses = (list: readonly object[]) =>
        list.filter((entry) => !("action" in entry) || entry.action !== "authenticate");
      assert.deepEqual(uses(recorded), uses(onRecord), what);
    }
  }
});

test("a body that HEAD leaves out does not stand before the next answer on the connection", async () => {
  await using server = await restBench();
  const { port = 0 } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const head = (path: string, more = ""): string => `HEAD ${path} HTTP/1.1\r\nhost: localhost\r\n${more}\r\n`;
  const answer = await exchange(
    port,
    head("/v1/health") +
      head("/nowhere") +
      head("/v1/keys") +
      head("/v1/keys/a/sign") +
      head("/v1/health", "connection: close\r\n"),
  );
  assert.deepEqual(
    answer.split("\r\n\r\n").map((part) => part.split(" ", 2).join(" ")),
    ["HTTP/1.1 200", "HTTP/1.1 404", "HTTP/1.1 401", "HTTP/1.1 405", "HTTP/1.1 200", ""],
  );
});

test("paths that take GET say so with HEAD beside it, and others do not take HEAD", async () => {
  await using server = await restBench();
  const [both, neither] = [
    await server.call({ method: "DELETE", url: "/v1/health" }),
    await server.call({ method: "HEAD", url: "/v1/keys/k/sign" }),
  ];
  assert.equal(both.status, 405);
  assert.equal(both.headers["allow"], "GET, HEAD");
  assert.match(String(both.json["detail"]), /this path takes GET and HEAD, not DELETE/);
  assert.equal(neither.status, 405);
  assert.equal(neither.headers["allow"], "POST");
});
