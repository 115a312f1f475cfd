/** The hand-written half of the SDK: sending, retrying, paging, batching. The methods are generated. */
import { Batcher, type BatcherOptions } from "./batcher.ts";
import { decodeBytes, encodeBody } from "./bytes.ts";
import type { ApiCall, CallOptions } from "./call.ts";
import { type CasemateApiError, errorOf, unreachable } from "./error.ts";
import { Operations } from "./operations.generated.ts";
import { mayRetry, pause, pauseMs, type RetryOptions } from "./retry.ts";
import { fetchTransport, type Transport, type TransportResponse } from "./transport.ts";

interface CommonOptions {
  /** Bearer token, or a function that gives it for each call. Absent for health alone. */
  readonly token?: string | (() => string | Promise<string>);
  readonly retry?: RetryOptions;
}

export type ClientOptions = CommonOptions &
  (
    | { readonly baseUrl: string; readonly fetch?: typeof globalThis.fetch; readonly transport?: undefined }
    | { readonly transport: Transport; readonly baseUrl?: string; readonly fetch?: undefined }
  );

export class Client extends Operations {
  readonly #transport: Transport;
  readonly #token: CommonOptions["token"];
  readonly #retry: RetryOptions;

  constructor(options: ClientOptions) {
    super();
    this.#transport = options.transport ?? fetchTransport(options.baseUrl, options.fetch);
    this.#token = options.token;
    this.#retry = options.retry ?? {};
  }

  /** Collects concurrent calls on one key into batch requests: much less work per operation for client and server. */
  batcher(key: string, options?: BatcherOptions): Batcher {
    return new Batcher(this, key, options);
  }

  protected override async call<R>(call: ApiCall, options: CallOptions = {}): Promise<R> {
    const { attempts = 4 } = this.#retry;
    const headers = await this.#headers(call, options);
    const body = call.body === undefined ? undefined : encodeBody(call.body);
    const path = call.path + queryOf(call);
    for (let attempt = 1; ; attempt++) {
      options.signal?.throwIfAborted();
      let error: CasemateApiError;
      let retryAfter: string | undefined;
      try {
        const request = { method: call.method, path, headers, body, signal: options.signal };
        const response: TransportResponse = await this.#transport(request);
        if (response.status < 400) return answerOf<R>(call, response);
        error = errorOf(response.status, response.body);
        retryAfter = response.header("retry-after");
      } catch (cause) {
        options.signal?.throwIfAborted();
        error = unreachable(cause);
      }
      if (attempt >= attempts || !mayRetry(call, error)) throw error;
      await pause(pauseMs(attempt, this.#retry, retryAfter), options.signal);
    }
  }

  protected override async *paged<R>(
    page: (cursor: { readonly cursor?: string }) => Promise<{ readonly items: readonly R[]; readonly next?: string }>,
  ): AsyncGenerator<R, void, undefined> {
    let cursor: { readonly cursor?: string } = {};
    for (;;) {
      const { items, next } = await page(cursor);
      yield* items;
      if (next === undefined) return;
      cursor = { cursor: next };
    }
  }

  async #headers(call: ApiCall, options: CallOptions): Promise<Readonly<Record<string, string>>> {
    const token = typeof this.#token === "function" ? await this.#token() : this.#token;
    return {
      accept: "application/json",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(call.body === undefined ? {} : { "content-type": "application/json" }),
      ...(call.creates === true ? { "idempotency-key": options.idempotencyKey ?? randomName() } : {}),
      ...(options.requestId === undefined ? {} : { "x-request-id": options.requestId }),
    };
  }
}

/** Not crypto.randomUUID: pages that came by plain HTTP from another machine have none. */
function randomName(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function answerOf<R>(call: ApiCall, response: TransportResponse): R {
  let value: unknown;
  try {
    value = JSON.parse(response.body);
  } catch {
    throw errorOf(response.status, response.body);
  }
  if (call.bytes !== undefined) decodeBytes(value, call.bytes);
  // The type comes from the same document as the server's answers.
  return value as R;
}

function queryOf(call: ApiCall): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(call.query ?? {})) if (value !== undefined) query.set(name, String(value));
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

/** A client of one Casemate server, for Node and browsers. */
export function createClient(options: ClientOptions): Client {
  return new Client(options);
}
