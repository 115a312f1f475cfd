/** How requests travel. The default is fetch; `@casemate/sdk/node` has one for Unix sockets. */
export interface TransportRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  readonly signal: AbortSignal | undefined;
}

export interface TransportResponse {
  readonly status: number;
  readonly header: (name: string) => string | undefined;
  readonly body: string;
}

/** Rejects only when no answer came. */
export type Transport = (request: TransportRequest) => Promise<TransportResponse>;

export function fetchTransport(baseUrl: string, fetch: typeof globalThis.fetch = globalThis.fetch): Transport {
  const base = baseUrl.replace(/\/+$/, "");
  return async ({ method, path, headers, body, signal }) => {
    const response = await fetch(base + path, {
      method,
      headers,
      redirect: "error",
      credentials: "omit",
      cache: "no-store",
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    });
    return {
      status: response.status,
      header: (name) => response.headers.get(name) ?? undefined,
      body: await response.text(),
    };
  };
}
