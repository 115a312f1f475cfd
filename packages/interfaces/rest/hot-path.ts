/**
 * A shorter way for the use of keys (sign, encrypt, …) in its plainest form: POST, JSON, a known length, no query.
 * Same operations, validation, audit and problems as through fastify; only routing, hooks and body reading are spared.
 * Whatever looks unusual goes the long way.
 */
import { CasemateError } from "@casemate/foundation/errors";
import type { IncomingMessage, ServerResponse } from "node:http";
import { checkHost } from "./connection.ts";
import {
  Context,
  JSON_TYPE,
  PROBLEM_TYPE,
  problemHeaders,
  refusal,
  SECURITY_HEADERS,
  type Services,
} from "./context.ts";
import { authenticateRequest } from "./context.ts";
import { checkHeaders } from "./headers.ts";
import { parseJson } from "./json.ts";
import { REST_LIMITS } from "./limits.ts";
import type { OperationCounter } from "./metrics.ts";
import { RawReply, type Operation } from "./operation.ts";
import { useOperations } from "./operations/use.ts";
import { understood } from "./pipeline.ts";
import { validatorFor, type Validator } from "./validation.ts";

const PREFIX = "/v1/keys/";
const PLAIN_NAME = /^[A-Za-z0-9._-]{1,128}$/;
const JSON_TYPES: ReadonlySet<string> = new Set(["application/json", JSON_TYPE, "application/json;charset=utf-8"]);
const ANY_TYPES: ReadonlySet<string> = new Set(["*/*", "application/json"]);
const COMMON_HEADERS: readonly string[] = Object.entries(SECURITY_HEADERS).flat();
const NO_QUERY: Readonly<Record<string, string>> = Object.freeze({});

interface Row {
  readonly operation: Operation;
  readonly validator: Validator;
  readonly counter: OperationCounter;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** Wraps the long way. */
export function hotPath(services: Services, longWay: Handler): Handler {
  const rows = new Map<string, Row>(
    useOperations.map((operation) => [
      operation.path.slice(operation.path.lastIndexOf("/") + 1),
      { operation, validator: validatorFor(operation), counter: services.metrics.of(operation.id) },
    ]),
  );
  return (request, response) => {
    const url = request.url ?? "";
    const slash = url.lastIndexOf("/");
    const row = slash > PREFIX.length && request.method === "POST" ? rows.get(url.slice(slash + 1)) : undefined;
    const name = url.slice(PREFIX.length, slash);
    const { headers } = request;
    const length = Number(headers["content-length"]);
    if (
      row === undefined ||
      !url.startsWith(PREFIX) ||
      !PLAIN_NAME.test(name) ||
      !(length > 0 && length <= REST_LIMITS.bodyBytes) ||
      headers["transfer-encoding"] !== undefined ||
      headers["content-encoding"] !== undefined ||
      headers.expect !== undefined ||
      !(headers.accept === undefined || ANY_TYPES.has(headers.accept)) ||
      !JSON_TYPES.has(headers["content-type"] ?? "")
    ) {
      longWay(request, response);
      return;
    }
    void answer(services, row, name, length, request, response);
  };
}

async function answer(
  services: Services,
  { operation, validator, counter }: Row,
  name: string,
  length: number,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { connections, clock, requestId, state, keyring } = services;
  const { headers } = request;
  const context = new Context(
    connections.of(request.socket),
    requestId(headers["x-request-id"]),
    operation.action,
    counter,
    clock.monotonic(),
  );
  const common = [...COMMON_HEADERS, "x-request-id", context.requestId];
  if (state.closing) common.push("connection", "close");
  let status = 200;
  let body: string;
  try {
    checkHeaders(request);
    checkHost(context.connection, headers.host);
    const caller =
      (context.caller = services.authenticator.known(context.connection, headers.authorization)) ??
      (await authenticateRequest(services, context, headers.authorization));
    const received = parseJson(await read(request, length));
    const input = understood(operation, validator, { params: { name }, query: NO_QUERY, body: received, accept: "" });
    const useCase = operation.handle(input);
    context.auditedByKeyring = true;
    const result = await useCase(keyring, { ...caller, requestId: context.requestId });
    if (result instanceof RawReply) throw new CasemateError("INTERNAL", "bytes where JSON was due");
    // The fields were chosen one by one where the result was made: nothing undeclared can slip out.
    body = JSON.stringify(result);
    common.push("content-type", JSON_TYPE);
  } catch (error) {
    // The client went away before it had asked for anything.
    if (response.destroyed && !context.auditedByKeyring) return;
    const problem = await refusal(services, context, error);
    status = problem.status;
    body = JSON.stringify(problem);
    common.push("content-type", PROBLEM_TYPE, ...Object.entries(problemHeaders(problem)).flat());
    // A body that was not read to its end is not waited for.
    if (!request.complete) common.push("connection", "close");
  }
  const size = Buffer.byteLength(body);
  const ascii = size === body.length;
  common.push("content-length", String(size));
  counter.add(status, clock.monotonic() - context.startedAt);
  response.writeHead(status, common);
  if (ascii) response.end(body, "latin1");
  else response.end(body);
}

/** The body, in one piece. The parser cuts it at Content-Length. Rejects when the client goes away. */
function read(request: IncomingMessage, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let first: Buffer | undefined;
    let rest: Buffer[] | undefined;
    const gone = (cause?: unknown): void =>
      reject(new CasemateError("BAD_REQUEST", "the body did not come to its end", { cause }));
    if (request.destroyed) return gone();
    request.on("error", gone);
    request.on("data", (chunk: Buffer) => {
      if (first === undefined) first = chunk;
      else (rest ??= [first]).push(chunk);
    });
    request.on("end", () => resolve(rest === undefined ? (first ?? Buffer.alloc(0)) : Buffer.concat(rest, length)));
  });
}
