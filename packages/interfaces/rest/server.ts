/** The REST interface: every use case of the keyring under /v1, over plain HTTP on loopback, a Unix socket, or TLS 1.3. */
import type { Clock } from "@casemate/foundation/effects";
import type { Keyring } from "@casemate/keyring/core";
import type { FastifyInstance } from "fastify";
import { createApp } from "./app.ts";
import { Authenticator, Connections } from "./connection.ts";
import { requestIds, type Services } from "./context.ts";
import { crossOrigin } from "./cross-origin.ts";
import { answerTo, hotPath } from "./hot-path.ts";
import { memoryIdempotency, type IdempotencyStore } from "./idempotency.ts";
import { Listeners, type Again, type ListenAddress, type ListenOptions } from "./listeners.ts";
import { CONNECTION_LIMITS, type ConnectionLimits } from "./limits.ts";
import type { RestLog } from "./log.ts";
import { RestMetrics } from "./metrics.ts";
import { Refusals } from "./refusals.ts";

export interface RestOptions {
  readonly keyring: Keyring;
  /** Version of the program, for the OpenAPI document. */
  readonly version: string;
  readonly clock: Clock;
  readonly log: RestLog;
  /** Time limits and numbers of connections, where the defaults do not fit. */
  readonly limits?: Partial<ConnectionLimits>;
  /** Where answers of creating calls are remembered; in memory when absent. Closed with the server. */
  readonly idempotency?: IdempotencyStore;
  /** Origins of web pages that may call, as browsers write them: `https://app.example`; none when absent. */
  readonly allowOrigins?: readonly string[];
}

export interface RestServer {
  readonly app: FastifyInstance;
  /** Opens a door; any number of them. @throws CONFIG_INVALID for plain HTTP beyond loopback, or an address that cannot be used. */
  listen(options: ListenOptions): Promise<ListenAddress>;
  /** No new requests; waits for those in flight, then cuts what is left. */
  close(): Promise<void>;
}

export async function createRestServer(options: RestOptions): Promise<RestServer> {
  const { keyring, version, clock, log } = options;
  const idempotency = options.idempotency ?? memoryIdempotency();
  const metrics = new RestMetrics();
  const services: Services = {
    keyring,
    version,
    clock,
    log,
    connections: new Connections(),
    authenticator: new Authenticator(keyring, clock),
    refusals: new Refusals(keyring, clock, log),
    metrics,
    idempotency,
    requestId: requestIds(),
    state: { closing: false },
  };
  const listeners = new Listeners(services, { ...CONNECTION_LIMITS, ...options.limits });
  const app = await createApp(services, () => listeners.connections);
  const handler = hotPath(services, (request, response) => app.routing(request, response));
  const origins = new Set(options.allowOrigins);
  const again: Again = (connection, head, body) => answerTo(services, connection, head, nothingLeft, () => body);
  // Answers to web pages have headers of their own.
  listeners.serve(crossOrigin(origins, handler), origins.size === 0 ? again : undefined);
  return {
    app,
    listen: (where) => listeners.listen(where),
    async close() {
      services.state.closing = true;
      await listeners.close();
      await services.refusals.flush();
      await app.close();
      idempotency.close();
    },
  };
}

/** To check: the same head was found good before. */
function nothingLeft(): void {}
