/**
 * A shorter way for the use of keys (sign, encrypt, …) in its plainest form: POST, JSON, a known length, no query.
 * Same operations, validation, audit and problems as through fastify; only routing, hooks and body reading are spared.
 * Whatever looks unusual goes the long way.
 */
import { CasemateError } from "@casemate/foundation/errors";
import type { IncomingMessage, ServerResponse } from "node:http";
import { checkHost, type Connection } from "./connection.ts";
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

/** What the head of such a request says, once it was found good. */
export interface PlainHead {
  readonly row: Row;
  /** Of the key. */
  readonly name: string;
  /** Of the body, in bytes. */
  readonly length: number;
  readonly authorization: string | undefined;
  readonly requestId: string | undefined;
}

export interface Answer {
  readonly status: number;
  /** Names and values in turn, without Content-Length. */
  readonly headers: string[];
  readonly body: string;
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
    const head = plainHead(rows, request);
    if (head === undefined) longWay(request, response);
    else void answer(services, head, request, response);
  };
}

function plainHead(
  rows: ReadonlyMap<string, Row>,
  { url = "", method, headers }: IncomingMessage,
): PlainHead | undefined {
  const slash = url.lastIndexOf("/");
  const row = slash > PREFIX.length && method === "POST" ? rows.get(url.slice(slash + 1)) : undefined;
  const name = url.slice(PREFIX.length, slash);
  const length = Number(headers["content-length"]);
  const plain =
    url.startsWith(PREFIX) &&
    PLAIN_NAME.test(name) &&
    length > 0 &&
    length <= REST_LIMITS.bodyBytes &&
    headers["transfer-encoding"] === undefined &&
    headers["content-encoding"] === undefined &&
    headers.expect === undefined &&
    (headers.accept === undefined || ANY_TYPES.has(headers.accept)) &&
    JSON_TYPES.has(headers["content-type"] ?? "");
  if (row === undefined || !plain) return undefined;
  const requestId = headers["x-request-id"] as string | undefined;
  return { row, name, length, authorization: headers.authorization, requestId };
}

async function answer(
  services: Services,
  head: PlainHead,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const connection = services.connections.of(request.socket);
  const check = (): void => {
    checkHeaders(request);
    checkHost(connection, request.headers.host);
    connection.repeats?.remember(head);
  };
  const made = await answerTo(services, connection, head, check, () => read(request, head.length));
  if (made === undefined) return;
  const { status, headers, body } = made;
  // A body that was not read to its end is not waited for.
  if (services.state.closing || !request.complete) headers.push("connection", "close");
  const size = Buffer.byteLength(body);
  headers.push("content-length", String(size));
  response.writeHead(status, headers);
  if (size === body.length) response.end(body, "latin1");
  else response.end(body);
}

/** Whatever `check`, `receive` or the use case throws becomes an answer; there is none when the client went away before it had asked for anything. */
export async function answerTo(
  services: Services,
  connection: Connection,
  { row: { operation, validator, counter }, name, authorization, requestId }: PlainHead,
  check: () => void,
  receive: () => Buffer | Promise<Buffer>,
): Promise<Answer | undefined> {
  const { clock, keyring, authenticator } = services;
  const context = new Context(connection, services.requestId(requestId), operation.action, counter, clock.monotonic());
  const headers = [...COMMON_HEADERS, "x-request-id", context.requestId];
  let status = 200;
  let body: string;
  try {
    check();
    const caller =
      (context.caller = authenticator.known(connection, authorization)) ??
      (await authenticateRequest(services, context, authorization));
    const received = receive();
    const json = parseJson(received instanceof Promise ? await received : received);
    const input = understood(operation, validator, { params: { name }, query: NO_QUERY, body: json, accept: "" });
    const useCase = operation.handle(input);
    context.auditedByKeyring = true;
    const result = await useCase(keyring, { ...caller, requestId: context.requestId });
    if (result instanceof RawReply) throw new CasemateError("INTERNAL", "bytes where JSON was due");
    // The fields were chosen one by one where the result was made: nothing undeclared can slip out.
    body = operation.text?.(result) ?? JSON.stringify(result);
    headers.push("content-type", JSON_TYPE);
  } catch (error) {
    if (error instanceof ClientGone) return undefined;
    const problem = await refusal(services, context, error);
    status = problem.status;
    body = JSON.stringify(problem);
    headers.push("content-type", PROBLEM_TYPE, ...Object.entries(problemHeaders(problem)).flat());
  }
  counter.add(status, clock.monotonic() - context.startedAt);
  return { status, headers, body };
}

class ClientGone extends Error {}

/** The body, in one piece. The parser cuts it at Content-Length. Rejects when the client goes away. */
function read(request: IncomingMessage, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let first: Buffer | undefined;
    let rest: Buffer[] | undefined;
    const gone = (): void => reject(new ClientGone());
    if (request.destroyed) return gone();
    request.on("error", gone);
    request.on("data", (chunk: Buffer) => {
      if (first === undefined) first = chunk;
      else (rest ??= [first]).push(chunk);
    });
    request.on("end", () => resolve(rest === undefined ? (first ?? Buffer.alloc(0)) : Buffer.concat(rest, length)));
  });
}
