// OpenAPI 3.1: the document is built from the operations' own schemas.
import {
  CIPHER_SCHEMES,
  KEY_ALGORITHMS,
  MAC_SCHEMES,
  SIGN_SCHEMES,
  USAGES,
  WRAP_SCHEMES,
} from "@casemate/devices/contract";
import { ERROR_CODES } from "@casemate/foundation/errors";
import { ACTIONS } from "@casemate/keyring/core";
import { REST_LIMITS } from "./limits.ts";
import type { Operation } from "./operation.ts";
import { OPERATIONS } from "./operations/all.ts";
import { COMPONENTS } from "./schemas.ts";

type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };
type JsonObject = { readonly [name: string]: Json };

const PROBLEM = { $ref: "#/components/responses/Problem" };
const OCTETS = "application/octet-stream";

/** Lists that are used in many places get a name of their own in the document. */
const LISTS: Readonly<Record<string, readonly string[]>> = {
  KeyAlgorithm: KEY_ALGORITHMS,
  SignScheme: SIGN_SCHEMES,
  CipherScheme: CIPHER_SCHEMES,
  MacScheme: MAC_SCHEMES,
  WrapScheme: WRAP_SCHEMES,
  Usage: USAGES,
  Action: ACTIONS,
  ErrorCode: Object.keys(ERROR_CODES),
};
const NAME_OF_LIST: ReadonlyMap<string, string> = new Map(
  Object.entries(LISTS).map(([name, values]) => [JSON.stringify(values), name]),
);

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A plain copy of a schema with references that point into this document. */
function plain(schema: unknown): JsonObject {
  const copy = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(copy);
    if (!isObject(value)) return value;
    const list = NAME_OF_LIST.get(JSON.stringify(value["enum"]));
    if (list !== undefined) {
      const { description } = value;
      return { $ref: `#/components/schemas/${list}`, ...(description === undefined ? {} : { description }) };
    }
    return Object.fromEntries(
      Object.entries(value).map(([name, part]) =>
        name === "$ref" ? [name, `#/components/schemas/${String(part).replace("#", "")}`] : [name, copy(part)],
      ),
    );
  };
  // Through JSON, so that the library's own marks are left behind.
  return copy(JSON.parse(JSON.stringify(schema))) as JsonObject;
}

function parameters(operation: Operation): Json[] {
  const of = (where: "path" | "query"): Json[] => {
    const schema = where === "path" ? operation.params : operation.query;
    if (schema === undefined) return [];
    return Object.entries(schema.properties).map(([name, property]) => {
      const { description, ...rest } = plain(property) as JsonObject & { description?: string };
      return {
        name,
        in: where,
        required: schema.required?.includes(name) === true,
        ...(description === undefined ? {} : { description }),
        schema: rest,
      };
    });
  };
  const idempotency = operation.creates === true ? [{ $ref: "#/components/parameters/IdempotencyKey" }] : [];
  return [...of("path"), ...of("query"), ...idempotency];
}

function requestBody(operation: Operation): JsonObject {
  if (operation.body === undefined) return {};
  const needed = (operation.body.required?.length ?? 0) > 0;
  const octets =
    operation.octets === undefined
      ? {}
      : { [OCTETS]: { schema: { type: "string", format: "binary", maxLength: operation.octets.limit } } };
  return {
    requestBody: { required: needed, content: { "application/json": { schema: plain(operation.body) }, ...octets } },
  };
}

function described(operation: Operation): JsonObject {
  const types = [...(operation.produces ?? []), ...(operation.octets === undefined ? [] : [OCTETS])];
  const binary = Object.fromEntries(types.map((type) => [type, { schema: { type: "string", format: "binary" } }]));
  return {
    operationId: operation.id,
    tags: [operation.tag],
    summary: operation.summary,
    ...(operation.description === undefined ? {} : { description: operation.description }),
    parameters: parameters(operation),
    ...requestBody(operation),
    responses: {
      [String(operation.status ?? 200)]: {
        description: "Done.",
        content: { "application/json": { schema: plain(operation.response) }, ...binary },
      },
      default: PROBLEM,
    },
  };
}

/** Routes that are no operation of the keyring. */
const PLAIN_PATHS: JsonObject = {
  "/v1/health": {
    get: {
      operationId: "health",
      tags: ["Server"],
      summary: "Whether the server answers",
      security: [],
      responses: {
        "200": {
          description: "It does.",
          content: {
            "application/json": {
              schema: {
                type: "object",
                required: ["status"],
                properties: {
                  status: { type: "string", enum: ["ok", "closing", "alarm", "warning"] },
                  alarm: {
                    type: "string",
                    description:
                      "What was found wrong, such as a changed record of the audit log, or a tampered or absent device that holds the storage key.",
                  },
                  warning: {
                    type: "string",
                    description:
                      "What needs somebody, with or without an alarm, though nothing was found wrong: why checkpoints of the audit log are not signed at present.",
                  },
                },
              },
            },
          },
        },
        default: PROBLEM,
      },
    },
  },
  "/v1/whoami": {
    get: {
      operationId: "whoami",
      tags: ["Server"],
      summary: "Whom the token stands for, and the version of the server",
      responses: {
        "200": {
          description: "The caller.",
          content: {
            "application/json": {
              schema: {
                type: "object",
                required: ["principal", "kind", "roles", "server"],
                properties: {
                  principal: { type: "string" },
                  kind: { type: "string" },
                  roles: { type: "array", items: { type: "string" } },
                  server: { type: "string", description: "Version of the server." },
                },
              },
            },
          },
        },
        default: PROBLEM,
      },
    },
  },
};

/** Beside the API itself. */
const TEXT_PATHS: JsonObject = {
  "/v1/openapi.json": {
    get: {
      operationId: "openapi",
      tags: ["Server"],
      summary: "This document",
      security: [],
      responses: {
        "200": { description: "The document.", content: { "application/json": { schema: { type: "object" } } } },
        default: PROBLEM,
      },
    },
  },
  "/metrics": {
    get: {
      operationId: "metrics",
      tags: ["Server"],
      summary: "Counters in the Prometheus text format; over TLS a token is needed",
      security: [{}, { token: [] }],
      responses: {
        "200": { description: "The counters.", content: { "text/plain": { schema: { type: "string" } } } },
        default: PROBLEM,
      },
    },
  },
};

/** The document served at /v1/openapi.json. */
export function openApiDocument(version: string): JsonObject {
  const paths: Record<string, Record<string, Json>> = {};
  for (const operation of OPERATIONS)
    (paths[operation.path] ??= {})[operation.method.toLowerCase()] = described(operation);
  return {
    openapi: "3.1.0",
    info: {
      title: "Casemate",
      version,
      description:
        "Keys that live inside security hardware, used from outside. Bytes are padded base64 (RFC 4648 §4), times ISO 8601 in UTC, " +
        "errors problem details (RFC 9457) with a stable code. Unknown fields are refused. The limits of this server are under x-casemate-limits.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    security: [{ token: [] }],
    "x-casemate-limits": { ...REST_LIMITS },
    paths: { ...PLAIN_PATHS, ...TEXT_PATHS, ...paths },
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer", description: "An API token of Casemate." } },
      parameters: {
        IdempotencyKey: {
          name: "Idempotency-Key",
          in: "header",
          required: false,
          description:
            "A word of the caller's choice, the same for each retry: the call is done once and its answer repeated for 24 hours.",
          schema: { type: "string", minLength: 1, maxLength: REST_LIMITS.idempotencyKeyLength },
        },
      },
      responses: {
        Problem: {
          description: "Refused or failed (RFC 9457).",
          content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
        },
      },
      schemas: Object.fromEntries([
        ...Object.entries(COMPONENTS).map(([name, schema]) => [name, plain(schema)] as const),
        ...Object.entries(LISTS).map(([name, values]) => [name, { type: "string", enum: [...values] }] as const),
      ]),
    },
  };
}
