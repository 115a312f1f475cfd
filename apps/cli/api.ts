import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { CasemateError, ERROR_CODES, type ErrorCode } from "@casemate/foundation/errors";
import { lookup } from "@casemate/foundation/codec";
import { notReachable } from "./failure.ts";
import { toJson } from "./json.ts";

export interface Target {
  /** As people read it. */
  readonly where: string;
  readonly url: URL;
  /** Unix socket to use instead of the URL's host. */
  readonly socketPath?: string;
  /** Absent for routes that need none, such as health. */
  readonly token?: string;
  /** PEM to trust besides the system's. */
  readonly ca?: string;
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;
type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Failures that mean that nobody is there. */
const NOBODY = new Set([
  "ECONNREFUSED",
  "ENOENT",
  "ENOTFOUND",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EAI_AGAIN",
  "ETIMEDOUT",
]);
const TIMEOUT_MS = 120_000;

interface Problem {
  readonly code?: string;
  readonly title?: string;
  readonly detail?: string;
  readonly hint?: string;
}

/** The REST interface as the verbs use it: JSON in, JSON out, problems as CasemateError. */
export class Api {
  readonly #target: Target;
  readonly #agent: Agent | false;

  /** One connection per request unless an agent keeps them: a verb asks once or twice and ends. */
  constructor(target: Target, agent: Agent | false = false) {
    this.#target = target;
    this.#agent = agent;
  }

  /** The same, over at most `connections` that stay open until the process ends. Plain HTTP and sockets only. */
  keptAlive(connections: number): Api {
    if (this.#target.url.protocol !== "http:") return this;
    return new Api(this.#target, new Agent({ keepAlive: true, maxSockets: connections }));
  }

  get where(): string {
    return this.#target.where;
  }

  get<T>(path: string, query: Query = {}): Promise<T> {
    return this.#call<T>("GET", path, query);
  }

  post<T>(path: string, body: unknown = {}): Promise<T> {
    return this.#call<T>("POST", path, {}, body);
  }

  put<T>(path: string, body: unknown): Promise<T> {
    return this.#call<T>("PUT", path, {}, body);
  }

  patch<T>(path: string, body: unknown): Promise<T> {
    return this.#call<T>("PATCH", path, {}, body);
  }

  delete<T>(path: string): Promise<T> {
    return this.#call<T>("DELETE", path, {});
  }

  /** All items of a paged route, page by page. */
  async *pages<T>(path: string, query: Query = {}): AsyncGenerator<T, void, undefined> {
    let cursor: string | undefined;
    do {
      const page: { items: readonly T[]; next?: string } = await this.get(path, { ...query, cursor });
      yield* page.items;
      cursor = page.next;
    } while (cursor !== undefined);
  }

  async #call<T>(method: Method, path: string, query: Query, body?: unknown): Promise<T> {
    const url = new URL(path, this.#target.url);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const text = body === undefined ? undefined : toJson(body);
    const { status, answer } = await this.#exchange(method, url, text);
    const value: unknown = answer === "" ? {} : parse(answer);
    if (status >= 400) throw problem(status, value);
    return value as T;
  }

  async #exchange(method: Method, url: URL, body: string | undefined): Promise<{ status: number; answer: string }> {
    const { token, socketPath, ca, where } = this.#target;
    const request = url.protocol === "https:" ? (await import("node:https")).request : httpRequest;
    const headers: Record<string, string> = { accept: "application/json" };
    if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
    if (body !== undefined) {
      headers["content-type"] = "application/json";
      headers["content-length"] = String(Buffer.byteLength(body));
    }
    return new Promise((resolve, reject) => {
      const options = { method, headers, timeout: TIMEOUT_MS, agent: this.#agent };
      const sent = request(
        url,
        { ...options, ...(socketPath === undefined ? {} : { socketPath }), ...(ca === undefined ? {} : { ca }) },
        (response) => {
          collect(response).then((answer) => resolve({ status: response.statusCode ?? 0, answer }), reject);
        },
      );
      sent.on("timeout", () =>
        sent.destroy(new CasemateError("TIMEOUT", `no answer from ${where} within two minutes`)),
      );
      sent.on("error", (error: NodeJS.ErrnoException) => {
        reject(NOBODY.has(error.code ?? "") ? notReachable(where, error) : connectionFailed(where, error));
      });
      sent.end(body);
    });
  }
}

function connectionFailed(where: string, error: NodeJS.ErrnoException): CasemateError {
  if (error instanceof CasemateError) return error;
  const certificate = error.code?.includes("CERT") === true || error.code?.includes("SELF_SIGNED") === true;
  return new CasemateError("UNAVAILABLE", `the connection to ${where} failed: ${error.message}`, {
    cause: error,
    ...(certificate ? { hint: "Give the server's certificate with --ca-file FILE." } : {}),
  });
}

async function collect(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("utf8");
}

function parse(answer: string): unknown {
  try {
    return JSON.parse(answer);
  } catch (error) {
    throw new CasemateError("UNAVAILABLE", "the answer is not JSON: is this a Casemate server?", { cause: error });
  }
}

/** RFC 9457 problem details back into the error they were made of. */
export function problem(status: number, value: unknown): CasemateError {
  const { code, detail, title, hint } = (typeof value === "object" && value !== null ? value : {}) as Problem;
  const known: ErrorCode =
    code !== undefined && lookup(ERROR_CODES, code) !== undefined ? (code as ErrorCode) : "INTERNAL";
  return new CasemateError(
    known,
    detail ?? title ?? `the server answered with status ${status}`,
    hint === undefined ? {} : { hint },
  );
}
