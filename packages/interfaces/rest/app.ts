/** The routes on fastify: built from the operations, plus health, metrics and the OpenAPI document. */
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { checkHost } from "./connection.ts";
import {
  authenticateRequest,
  Context,
  JSON_TYPE,
  PROBLEM_TYPE,
  problemHeaders,
  refusal,
  SECURITY_HEADERS,
  type Services,
} from "./context.ts";
import { checkHeaders, checkUnusual } from "./headers.ts";
import { IdempotentCalls } from "./idempotent-call.ts";
import { parseJson } from "./json.ts";
import { REST_LIMITS } from "./limits.ts";
import { openApiDocument } from "./openapi.ts";
import { RawReply, type Operation } from "./operation.ts";
import { OPERATIONS } from "./operations/all.ts";
import { perform } from "./pipeline.ts";
import { COMPONENTS } from "./schemas.ts";
import { CONTENT_ENCODED, fastifyProblem, OTHER_CHARSET } from "./transport-errors.ts";
import { validatorFor } from "./validation.ts";

const OCTETS = "application/octet-stream";
const CHARSETS = /;\s*charset\s*=\s*"?([^\s";]+)/gi;
const QUERY_WITHOUT_TYPE = "FST_ERR_ROUTE_MISSING_CONTENT_TYPE";
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

declare module "fastify" {
  interface FastifyRequest {
    context: Context | null;
  }
  interface FastifyContextConfig {
    operation?: string;
    action?: string;
    access?: "token" | "none" | "metrics";
  }
}

/** `/v1/keys/{name}` as fastify writes it. */
function fastifyPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ":$1");
}

function send(
  services: Services,
  context: Context,
  reply: FastifyReply,
  status: number,
  type: string,
  body: string | Uint8Array,
): FastifyReply {
  context.counter.add(status, services.clock.monotonic() - context.startedAt);
  return reply.code(status).header("content-type", type).send(body);
}

async function sendProblem(
  services: Services,
  request: FastifyRequest,
  reply: FastifyReply,
  error: unknown,
  status?: number,
): Promise<FastifyReply> {
  const context = request.context ?? contextOf(services, request, reply);
  const problem = await refusal(services, context, error, status);
  reply.headers(problemHeaders(problem));
  // The rest of a body that was not read is not waited for.
  if (problem.status === 413 || problem.status === 408) reply.header("connection", "close");
  return send(services, context, reply, problem.status, PROBLEM_TYPE, JSON.stringify(problem));
}

function contextOf(services: Services, request: FastifyRequest, reply: FastifyReply): Context {
  const { connections, metrics, clock, requestId, state } = services;
  const { config } = request.routeOptions;
  const context = new Context(
    connections.of(request.raw.socket),
    requestId(request.headers["x-request-id"]),
    config?.action ?? "refused",
    metrics.of(config?.operation ?? "unknown"),
    clock.monotonic(),
  );
  request.context = context;
  reply.headers(SECURITY_HEADERS).header("x-request-id", context.requestId);
  if (state.closing) reply.header("connection", "close");
  return context;
}

function needsToken(context: Context, request: FastifyRequest): boolean {
  const { access } = request.routeOptions.config ?? {};
  if (access === "token") return true;
  if (access === "metrics") return context.connection.door.metricsNeedToken;
  // An unknown route asks for no token; one that is sent names the caller in the audit record.
  return access === undefined && request.headers.authorization !== undefined;
}

function addOperation(app: FastifyInstance, services: Services, calls: IdempotentCalls, operation: Operation): void {
  const validator = validatorFor(operation);
  const status = operation.status ?? 200;
  app.route({
    method: operation.method,
    url: fastifyPath(operation.path),
    config: { operation: operation.id, action: operation.action, access: "token" },
    handler: async (request, reply) => {
      const { context, headers } = request;
      if (context === null) throw new CasemateError("INTERNAL", "a request without its context");
      if (request.body instanceof Uint8Array && operation.octets === undefined) {
        throw Object.assign(new Error(), { code: "FST_ERR_CTP_INVALID_MEDIA_TYPE" });
      }
      // Made of the schema at first use; undeclared fields cannot slip out.
      const serialize = reply.compileSerializationSchema(operation.response as Record<string, unknown>);
      const encode = (value: unknown): string => serialize(value as Record<string, unknown>);
      const answer = await perform(services, calls, context, operation, validator, encode, {
        params: request.params,
        query: request.query,
        body: request.body,
        accept: headers.accept ?? "",
        authorization: headers.authorization,
        idempotencyKey: headers["idempotency-key"],
      });
      if (operation.id === "revokeToken") services.authenticator.forget();
      if (answer instanceof RawReply) {
        reply.headers(answer.headers);
        return send(services, context, reply, status, answer.contentType, answer.body);
      }
      return send(services, context, reply, status, JSON_TYPE, answer);
    },
  });
}

/** Methods that a path does take, for 405. */
function allowedMethods(path: string): readonly string[] {
  const parts = path.split("/");
  const fits = (pattern: string): boolean => {
    const wanted = pattern.split("/");
    return wanted.length === parts.length && wanted.every((part, at) => part.startsWith("{") || part === parts[at]);
  };
  const known = [...OPERATIONS, ...PLAIN].filter((row) => fits(row.path)).map((row) => row.method);
  return [...new Set<string>(known.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method])))];
}

const PLAIN = [
  { method: "GET", path: "/v1/health" },
  { method: "GET", path: "/v1/openapi.json" },
  { method: "GET", path: "/v1/whoami" },
  { method: "GET", path: "/metrics" },
] as const;

export async function createApp(services: Services, connections: () => number): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    bodyLimit: REST_LIMITS.bodyBytes,
    routerOptions: { maxParamLength: 256, ignoreTrailingSlash: false, caseSensitive: true },
    // RFC 9110 §9.3.2: whatever takes GET takes HEAD, which does and records the same and leaves the content out.
    exposeHeadRoutes: true,
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => void sendProblem(services, request, reply, ...fastifyProblem(error)),
  });
  app.decorateRequest("context", null);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
    try {
      // RFC 8259 §8.1: JSON that is exchanged is UTF-8; whoever says something else means other letters.
      const charsets = [...(request.headers["content-type"] ?? "").matchAll(CHARSETS)];
      if (charsets.some(([, name]) => name?.toLowerCase() !== "utf-8"))
        throw Object.assign(new Error(), { code: OTHER_CHARSET });
      done(null, parseJson(body as Buffer));
    } catch (error) {
      done(error as Error);
    }
  });
  app.addContentTypeParser(OCTETS, { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  // Requests are checked in the pipeline, in the order token, parameters, query, body.
  app.setValidatorCompiler(() => () => true);

  app.addHook("onRequest", (request, reply, done) => {
    const context = contextOf(services, request, reply);
    try {
      checkHeaders(request.raw);
      checkUnusual(request.raw);
      checkHost(context.connection, request.headers.host);
      if (!needsToken(context, request)) return done();
    } catch (error) {
      return done(error as Error);
    }
    const header = request.headers.authorization;
    context.caller = services.authenticator.known(context.connection, header);
    if (context.caller !== undefined) return done();
    authenticateRequest(services, context, header).then(
      () => done(),
      (error: Error) => done(error),
    );
  });
  app.addHook("preParsing", async ({ headers }, reply, payload) => {
    if ((headers["content-encoding"] ?? "identity").toLowerCase() === "identity") return payload;
    reply.header("accept-encoding", "identity");
    throw Object.assign(new Error(), { code: CONTENT_ENCODED });
  });
  const noRoute = (request: FastifyRequest, reply: FastifyReply) => refuseRoute(services, request, reply);
  app.setErrorHandler((error, request, reply) => {
    if (isCasemateError(error)) return sendProblem(services, request, reply, error);
    // Fastify looks for the content type of QUERY before it looks for the route, and no route takes QUERY.
    if ((error as { code?: unknown }).code === QUERY_WITHOUT_TYPE) return noRoute(request, reply);
    return sendProblem(services, request, reply, ...fastifyProblem(error));
  });
  app.setNotFoundHandler(noRoute);

  for (const [name, schema] of Object.entries(COMPONENTS)) app.addSchema({ ...schema, $id: name });
  const calls = new IdempotentCalls(services.idempotency, services.clock);
  for (const operation of OPERATIONS) addOperation(app, services, calls, operation);
  addPlainRoutes(app, services, connections);
  await app.ready();
  return app;
}

/** A path that is not there (404), or takes other methods (405). */
function refuseRoute(services: Services, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const path = request.url.split("?", 1)[0] ?? "";
  const methods = allowedMethods(path);
  if (methods.length === 0) {
    const error = new CasemateError("NOT_FOUND", `there is no route ${request.method} ${path.slice(0, 200)}`, {
      hint: "GET /v1/openapi.json lists the routes.",
    });
    return sendProblem(services, request, reply, error);
  }
  reply.header("allow", methods.join(", "));
  const error = new CasemateError("NOT_SUPPORTED", `this path takes ${methods.join(" and ")}, not ${request.method}`, {
    hint: "GET /v1/openapi.json lists the routes with their methods.",
  });
  return sendProblem(services, request, reply, error, 405);
}

/** Routes that are no use case of the keyring. */
function addPlainRoutes(app: FastifyInstance, services: Services, connections: () => number): void {
  const plain = (
    path: string,
    operation: string,
    access: "token" | "none" | "metrics",
    type: string,
    body: (context: Context) => string,
  ): void => {
    app.get(path, { config: { operation, access, action: "refused" } }, async (request, reply) => {
      const { context } = request;
      if (context === null) throw new CasemateError("INTERNAL", "a request without its context");
      // Scrapers may add parameters of their own to /metrics.
      if (access !== "metrics" && Object.keys(request.query as object).length > 0) {
        throw new CasemateError("BAD_REQUEST", "query: this route takes no parameters", {
          hint: "Send the path without a question mark.",
        });
      }
      return send(services, context, reply, 200, type, body(context));
    });
  };
  let document: string | undefined;
  plain("/v1/health", "health", "none", JSON_TYPE, () => JSON.stringify(healthOf(services)));
  plain(
    "/v1/openapi.json",
    "openapi",
    "none",
    JSON_TYPE,
    () => (document ??= JSON.stringify(openApiDocument(services.version))),
  );
  plain("/metrics", "metrics", "metrics", METRICS_TYPE, () =>
    services.metrics.text(services.keyring, services.refusals, connections()),
  );
  plain("/v1/whoami", "whoami", "token", JSON_TYPE, ({ caller }) =>
    JSON.stringify({
      principal: caller?.principal,
      kind: caller?.kind,
      roles: caller?.roles,
      server: services.version,
    }),
  );
}

/** Answers with 200 even then: whoever asks whether the process lives must not restart it for an alarm. */
function healthOf({ state, keyring: { alarm, warning } }: Services): Readonly<Record<string, string>> {
  if (state.closing) return { status: "closing" };
  return {
    status: alarm !== undefined ? "alarm" : warning !== undefined ? "warning" : "ok",
    ...(alarm === undefined ? {} : { alarm }),
    ...(warning === undefined ? {} : { warning }),
  };
}
