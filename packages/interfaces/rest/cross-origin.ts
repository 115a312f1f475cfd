/** Web pages of named origins may call the server (https://fetch.spec.whatwg.org/#http-cors-protocol); without a list, browsers keep all of them out. */
import type { IncomingMessage, ServerResponse } from "node:http";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const PREFLIGHT_HEADERS = {
  "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
  "access-control-allow-headers": "authorization, content-type, idempotency-key, x-request-id",
  "access-control-max-age": "600",
};
/** What scripts may read besides the body and its type. */
const EXPOSED = "x-request-id, retry-after, allow, etag";

/** Wraps `next`; without origins it is `next` itself. Tokens are still asked for: an origin is no credential. */
export function crossOrigin(origins: ReadonlySet<string>, next: Handler): Handler {
  if (origins.size === 0) return next;
  return (request, response) => {
    const { origin } = request.headers;
    response.setHeader("vary", "origin");
    if (origin === undefined || !origins.has(origin)) {
      next(request, response);
      return;
    }
    response.setHeader("access-control-allow-origin", origin);
    if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) {
      response.setHeader("access-control-expose-headers", EXPOSED);
      next(request, response);
      return;
    }
    // A page from elsewhere may reach into a private network only if that is said too (https://wicg.github.io/private-network-access).
    const inside = request.headers["access-control-request-private-network"] === "true";
    response.writeHead(204, {
      ...PREFLIGHT_HEADERS,
      ...(inside ? { "access-control-allow-private-network": "true" } : {}),
    });
    response.end();
  };
}
