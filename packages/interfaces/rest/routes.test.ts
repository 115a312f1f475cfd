/** Every route of the OpenAPI document against every kind of bad input, so that a new route is never forgotten. */
import assert from "node:assert/strict";
import { before, after, test } from "node:test";
import { openApiDocument } from "@casemate/interfaces/rest";
import { restBench, type Answer, type Call, type RestBench } from "@casemate/testkit/rest";
import { REST_LIMITS } from "./limits.ts";

interface Schema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly contentEncoding?: string;
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required: boolean;
  readonly schema: Schema;
}

interface Described {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly security?: readonly unknown[];
  readonly parameters: readonly Partial<Parameter>[];
  readonly requestBody?: { readonly content: { readonly "application/json": { readonly schema: Schema } } };
}

interface Route {
  readonly id: string;
  readonly method: NonNullable<Call["method"]>;
  readonly path: string;
  readonly query: readonly Parameter[];
  readonly body: Schema | undefined;
  readonly octets: boolean;
  readonly via: "http" | "inject";
}

const described = openApiDocument("0.0.0") as unknown as {
  readonly paths: unknown;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
};

/** The paths with references to lists replaced by the lists. */
const paths = JSON.parse(
  JSON.stringify(described.paths, (_name, value: { readonly $ref?: string } | null) => {
    const list = described.components.schemas[value?.$ref?.replace("#/components/schemas/", "") ?? ""];
    return list?.enum === undefined ? value : list;
  }),
) as Readonly<Record<string, Readonly<Record<string, Described>>>>;

const routes: readonly Route[] = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods)
    .filter(([, described]) => described.security === undefined)
    // The use of keys has a shorter way over a connection: both are tried.
    .flatMap(([method, described]) => [
      [method, described, "http"] as const,
      ...(/^(Use|Batch)$/.test(described.tags[0] ?? "") ? [[method, described, "inject"] as const] : []),
    ])
    .map(([method, described, via]) => ({
      via,
      id: described.operationId,
      method: method.toUpperCase() as Route["method"],
      path,
      query: (described.parameters ?? []).filter((parameter): parameter is Parameter => parameter.in === "query"),
      body: described.requestBody?.content["application/json"].schema,
      octets:
        described.requestBody?.content !== undefined && "application/octet-stream" in described.requestBody.content,
    })),
);

/** Some value that the schema takes. */
function valid(schema: Schema): unknown {
  if (schema.enum !== undefined) return schema.enum[0];
  if (schema.anyOf !== undefined) return valid(schema.anyOf[0] ?? {});
  switch (schema.type) {
    case "object":
      return Object.fromEntries((schema.required ?? []).map((name) => [name, valid(schema.properties?.[name] ?? {})]));
    case "array":
      return Array.from({ length: schema.minItems ?? 0 }, () => valid(schema.items ?? {}));
    case "integer":
      return schema.minimum ?? 1;
    case "boolean":
      return true;
    default:
      if (schema.contentEncoding === "base64") return "AAAA";
      return schema.pattern?.includes("\\d{4}") === true ? "2031-01-01T00:00:00Z" : "abcd";
  }
}

/** Values that the schema must not take, each with a word for it. */
function* invalid(schema: Schema): Generator<readonly [string, unknown]> {
  for (const [word, value] of [
    ["null", null],
    ["a number", 1.5],
    ["a boolean", true],
    ["an empty object", {}],
    ["a list", [[]]],
    ["a text", "\u0000"],
  ] as const) {
    const fits = (schema.anyOf ?? [schema]).some(
      (part) =>
        (part.type === "null" && value === null) ||
        (part.type === "boolean" && typeof value === "boolean") ||
        (part.type === "object" && word === "an empty object" && (part.required ?? []).length === 0) ||
        (part.type === "string" &&
          typeof value === "string" &&
          part.pattern === undefined &&
          part.enum === undefined &&
          part.contentEncoding === undefined),
    );
    if (!fits) yield [word, value];
  }
  if (schema.maxLength !== undefined) yield ["too long", "A".repeat(schema.maxLength + 4)];
  if (schema.contentEncoding === "base64") {
    yield ["unpadded base64", "QQ"];
    yield ["base64url", "_-_-"];
    yield ["base64 with a line break", "QUJD\nRA=="];
    yield ["base64 with stray bits", "QR=="];
  }
  if (schema.minimum !== undefined) yield ["too small", schema.minimum - 1];
  if (schema.maximum !== undefined) yield ["too large", schema.maximum + 1];
  if (schema.maxItems !== undefined)
    yield ["too many", Array.from({ length: schema.maxItems + 1 }, () => valid(schema.items ?? {}))];
  if (schema.minItems !== undefined) yield ["too few", []];
}

let server: RestBench;
before(async () => {
  server = await restBench();
});
after(() => server[Symbol.asyncDispose]());

const filled = (path: string): string => path.replaceAll(/\{\w+\}/g, "abcd");

/** What a request needs beyond the fields that its schema requires. */
const ALSO: Readonly<Record<string, object>> = { adoptKey: { label: "abcd" }, updateKey: { useLimit: 1 } };

function goodCall(route: Route): Call {
  const query = route.query
    .filter((parameter) => parameter.required)
    .map(({ name, schema }) => `${name}=${String(valid(schema))}`);
  return {
    via: route.via,
    method: route.method,
    url: filled(route.path) + (query.length === 0 ? "" : `?${query.join("&")}`),
    ...(route.body === undefined ? {} : { body: { ...(valid(route.body) as object), ...ALSO[route.id] } }),
  };
}

/** The call is refused with one of the statuses, says so in a problem, and leaves exactly one audit record. */
async function refused(call: Call, statuses: readonly number[], what: string): Promise<Answer> {
  const { entries } = server.temporary.audit;
  const size = entries.length;
  const answer = await server.call(call);
  assert.ok(statuses.includes(answer.status), `${what}: ${answer.status} ${answer.text.slice(0, 200)}`);
  assert.match(String(answer.headers["content-type"]), /^application\/problem\+json/);
  const { code, detail, status, requestId } = answer.json;
  assert.ok(typeof code === "string" && typeof detail === "string" && typeof requestId === "string", what);
  assert.equal(status, answer.status);
  const written = entries.slice(size).filter(({ outcome }) => outcome !== "ok");
  assert.equal(written.length, 1, `${what}: ${JSON.stringify(written)}`);
  assert.equal(written[0]?.outcome, code);
  return answer;
}

const BAD = [400, 413];

test("the document lists every route that needs a token", () => {
  assert.ok(routes.length >= 50, String(routes.length));
});

for (const route of routes) {
  test(`${route.id} (${route.via}): no token, an unknown one, an expired one and a role without rights are refused`, async () => {
    const good = goodCall(route);
    await refused({ ...good, token: null }, [401], "no token");
    await refused({ ...good, token: "nonsense" }, [401], "an unknown token");
    await refused({ ...good, headers: { authorization: "Basic YTpi" }, token: null }, [401], "another scheme");
    const expiring = await server.tokenFor("admin", 10);
    server.temporary.clock.advance(11_000);
    const answer = await refused({ ...good, token: expiring }, [401], "an expired token");
    assert.equal(answer.json["code"], "TOKEN_EXPIRED");
    assert.equal(answer.headers["www-authenticate"], 'Bearer realm="casemate"');
    if (route.id === "whoami") return;
    const auditor = await server.tokenFor("auditor");
    await refused({ ...good, token: auditor }, [403, 404], "a role without rights");
  });

  test(`${route.id} (${route.via}): wrong types, sizes, encodings and unknown fields are refused and change nothing`, async () => {
    const good = goodCall(route);
    const keysBefore = (await server.temporary.keyring.listKeys(server.temporary.admin, {})).items.length;
    const at = good.url.includes("?") ? "&" : "?";
    await refused({ ...good, url: `${good.url}${at}unknown=1` }, BAD, "an unknown query parameter");
    for (const { name, schema } of route.query) {
      const values =
        schema.type === "integer" ? ["x", "-1", "1e3", "99999999999999999999", ""] : ["", "%00", "x".repeat(600)];
      for (const value of values) {
        await refused({ ...good, url: `${good.url}${at}${name}=${value}` }, BAD, `query ${name}=${value}`);
      }
      await refused({ ...good, url: `${good.url}${at}${name}=1&${name}=2` }, BAD, `query ${name} twice`);
    }
    if (route.path.includes("{")) {
      for (const name of ["%00", "-x", "a%20b", "a%2fb", "..%2f..", "x".repeat(129), "%F0%9F%94%91"]) {
        await refused({ ...good, url: good.url.replace("abcd", name) }, [400, 404, 414], `path ${name}`);
      }
    }
    if (route.body !== undefined) await badBodies(route, route.body, good);
    const keysAfter = (await server.temporary.keyring.listKeys(server.temporary.admin, {})).items.length;
    assert.equal(keysAfter, keysBefore);
  });
}

async function badBodies(route: Route, schema: Schema, good: Call): Promise<void> {
  const body = valid(schema) as Record<string, unknown>;
  const wrong = (change: Record<string, unknown>): Call => ({ ...good, body: { ...body, ...change } });
  await refused(wrong({ surprise: 1 }), BAD, "an unknown field");
  await refused({ ...good, raw: `{"__proto__":{"a":1}}` }, BAD, "__proto__");
  for (const text of ["{", "[]", '"x"', "1", "null", '{"a":1}x', "[".repeat(100_000)]) {
    await refused({ ...good, raw: text }, BAD, `body ${text.slice(0, 10)}`);
  }
  await refused({ ...good, raw: Uint8Array.of(0x22, 0xff, 0x22) }, BAD, "not UTF-8");
  await refused({ ...good, raw: "x", headers: { "content-type": "text/plain" } }, [415], "text/plain");
  await refused({ ...good, raw: "<x/>", headers: { "content-type": "application/xml" } }, [415], "xml");
  if (!route.octets) {
    await refused({ ...good, raw: "x", headers: { "content-type": "application/octet-stream" } }, [415], "octets");
  }
  for (const name of schema.required ?? []) {
    const { [name]: _left, ...rest } = body;
    await refused({ ...good, body: rest }, BAD, `without ${name}`);
  }
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    for (const [word, value] of invalid(property)) {
      await refused(wrong({ [name]: value }), BAD, `${name} is ${word}`);
    }
    const item = property.items?.properties;
    if (item === undefined) continue;
    const first = valid(property.items ?? {}) as Record<string, unknown>;
    await refused(wrong({ [name]: [{ ...first, surprise: 1 }] }), BAD, `${name}[0] has an unknown field`);
    for (const [field, itemSchema] of Object.entries(item)) {
      for (const [word, value] of invalid(itemSchema)) {
        await refused(wrong({ [name]: [{ ...first, [field]: value }] }), BAD, `${name}[0].${field} is ${word}`);
      }
    }
  }
}

test("a path takes no other methods than its own, and says which", async () => {
  for (const path of new Set(routes.map((route) => route.path))) {
    const own = routes.filter((route) => route.path === path).map(({ method }) => method);
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"] as const) {
      // Another path with a parameter may take it: POST /v1/keys/import beside GET /v1/keys/{name}.
      if (own.includes(method) || routes.some((route) => route.method === method && fits(route.path, path))) continue;
      const answer = await refused({ method, url: filled(path) }, [405], `${method} ${path}`);
      assert.ok(own.every((allowed) => String(answer.headers["allow"]).includes(allowed)));
    }
  }
});

function fits(pattern: string, path: string): boolean {
  const wanted = pattern.split("/");
  const given = path.split("/");
  return wanted.length === given.length && wanted.every((part, at) => part.startsWith("{") || part === given[at]);
}

test("a body over the limit is refused before it is read, and the limit is named", async () => {
  const raw = `{"items":"${"A".repeat(REST_LIMITS.bodyBytes)}"}`;
  const answer = await refused({ url: "/v1/keys/abcd/sign-batch", raw }, [413], "a huge body");
  assert.equal(answer.json["code"], "TOO_LARGE");
  assert.equal(answer.json["detail"], `the body is larger than ${REST_LIMITS.bodyBytes} bytes`);
});

test("a body with a content encoding is refused by name, on the short way and on the long one", async () => {
  for (const via of ["http", "inject"] as const) {
    for (const url of ["/v1/keys/abcd/sign", "/v1/keys"]) {
      const headers = { "content-encoding": "gzip" };
      const answer = await refused({ url, via, headers, body: { input: "aGk=" } }, [415], `${via} ${url}`);
      assert.match(String(answer.json["detail"]), /Content-Encoding/);
      assert.equal(answer.headers["accept-encoding"], "identity");
    }
  }
});

test("a field that is given twice is refused by its name, on the short way and on the long one", async () => {
  for (const url of ["/v1/keys/abcd/sign", "/v1/keys"]) {
    const answer = await refused({ url, raw: '{"input":"AAAA","name":"a","input":"AAAB"}' }, [400], url);
    assert.equal(answer.json["detail"], 'body: the field "input" is given twice in one object');
  }
});

test("what the routes beside the operations refuse is in the document", async () => {
  const document = (await server.call({ method: "GET", url: "/v1/openapi.json" })).json;
  const paths = document["paths"] as Readonly<Record<string, { readonly get: { readonly responses: object } }>>;
  for (const url of ["/v1/openapi.json", "/v1/health", "/v1/whoami", "/metrics"]) {
    assert.ok("default" in (paths[url]?.get.responses ?? {}), url);
    if (url !== "/metrics") await refused({ method: "GET", url: `${url}?x=1` }, [400], url);
  }
});

test("what a body lacks or has too much of, and names of labels, are told in words", async () => {
  const rows: readonly (readonly [url: string, body: object, says: RegExp])[] = [
    ["/v1/keys", {}, /^body: must have name, algorithm$/],
    ["/v1/keys/abcd/sign-batch", { items: [] }, /^body: items must have at least 1 item$/],
    ["/v1/keys", { name: "a b", algorithm: "aes-256" }, /^body: name must be 1 to 128 of A-Z/],
    ["/v1/keys", { name: "a", algorithm: "aes" }, /^body: algorithm must be one of rsa-2048, /],
    [
      "/v1/keys",
      { name: "a", algorithm: "aes-256", labels: { "b c": "d" } },
      /^body: "labels\/b c": a label's name must be/,
    ],
  ];
  for (const [url, body, says] of rows) {
    const answer = await refused({ url, body }, [400], JSON.stringify(body));
    assert.match(String(answer.json["detail"]), says);
  }
});

test("a number out of its range is refused with the range", async () => {
  for (const limit of ["-1", "0", "100000"]) {
    const answer = await refused({ method: "GET", url: `/v1/keys?limit=${limit}` }, [400], limit);
    assert.match(String(answer.json["detail"]), /limit must be [<>]= \d+/);
  }
});

test("an unknown field is named with its path, on the short way and on the long one", async () => {
  for (const via of ["http", "inject"] as const) {
    const body = { items: [{ input: "aGk=" }, { input: "aGk=", scheme: "pure" }] };
    const answer = await refused({ url: "/v1/keys/abcd/sign-batch", via, body }, [400], via);
    assert.equal(answer.json["detail"], 'body: there is no field "items/1/scheme"');
  }
});

test("a wrapped key has the limit that the document says, and an empty one is no matter of size", async () => {
  const body = { name: "in", algorithm: "aes-256", wrappingKey: "abcd", scheme: "aes-kwp" } as const;
  const url = "/v1/keys/import";
  const empty = await refused({ url, body: { ...body, wrapped: "" } }, [400], "empty");
  assert.equal(empty.json["detail"], "the wrapped key is empty");
  // Lengths with and without padding: what is said is the number of bytes.
  for (const more of [1, 2, 3, 4, 5]) {
    const over = Buffer.alloc(REST_LIMITS.wrappedBytes + more).toString("base64");
    const { json } = await refused({ url, body: { ...body, wrapped: over } }, [413], `${more} over`);
    assert.equal(json["code"], "TOO_LARGE");
    assert.match(String(json["detail"]), new RegExp(`wrapped has ${REST_LIMITS.wrappedBytes + more} bytes`));
  }
});

test("the document says of raw bodies what is taken", () => {
  const { paths } = openApiDocument("0") as unknown as {
    paths: Record<string, { post: { requestBody: { content: Record<string, { schema: { maxLength: number } }> } } }>;
  };
  const limit = (verb: string): number | undefined =>
    paths[`/v1/keys/{name}/${verb}`]?.post.requestBody.content["application/octet-stream"]?.schema.maxLength;
  assert.deepEqual(["sign", "decrypt"].map(limit), [
    REST_LIMITS.inputBytes,
    REST_LIMITS.inputBytes + REST_LIMITS.contextBytes,
  ]);
});

test("unknown routes are refused with or without a token, and audited", async () => {
  await refused({ url: "/v1/nothing" }, [404], "with a token");
  await refused({ url: "/v2/keys", token: null }, [404], "without one");
  await refused({ url: "/v1/keys/", token: null }, [401], "an empty name");
  await refused({ url: "/v1/%zz" }, [400, 404], "a broken escape");
});
