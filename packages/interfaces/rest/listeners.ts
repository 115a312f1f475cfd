/** The doors: plain HTTP on loopback, a Unix socket for this account alone, TLS 1.3 anywhere. */
import type { Clock } from "@casemate/foundation/effects";
import { CasemateError } from "@casemate/foundation/errors";
import { once } from "node:events";
import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect, isIP, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Connection, Door } from "./connection.ts";
import { PROBLEM_TYPE, type Services } from "./context.ts";
import type { Answer, PlainHead } from "./hot-path.ts";
import { REST_LIMITS, type ConnectionLimits } from "./limits.ts";
import { problemOf } from "./problem.ts";
import { InFlight, Repeats } from "./repeats.ts";
import { parserProblem, TUNNEL, type Broken } from "./transport-errors.ts";

export type ListenOptions =
  | {
      readonly kind: "tcp";
      readonly host: string;
      /** 0 takes a free one. */
      readonly port: number;
      /** PEM texts. Needed for every address but loopback. */
      readonly tls?: { readonly certificate: string; readonly key: string };
    }
  | { readonly kind: "unix"; readonly path: string };

export interface ListenAddress {
  /** `http://localhost:8730`, `https://…` or `unix:/path`. */
  readonly url: string;
  readonly port?: number;
}

/** Answers a request with a head that was found good before. */
export type Again = (connection: Connection, head: PlainHead, body: Buffer) => Promise<Answer | undefined>;
type Handler = (request: IncomingMessage, response: ServerResponse) => void;

function serverOptions(limits: ConnectionLimits): ServerOptions {
  return {
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionsCheckingInterval: limits.checkEveryMs,
    maxHeaderSize: REST_LIMITS.headerBytes,
    insecureHTTPParser: false,
    // Its absence is refused with a problem, not with Node's bare answer.
    requireHostHeader: false,
    noDelay: true,
  };
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** What to do about an address that cannot be had. */
const LISTEN_HINTS: ReadonlyMap<string, string> = new Map([
  ["EADDRINUSE", "Another program uses it: choose another one with --listen HOST:PORT; port 0 takes a free one."],
  ["EACCES", "This account may not use that port: choose one above 1023 with --listen HOST:PORT."],
  ["EADDRNOTAVAIL", "This machine has no such address: name one of its own with --listen HOST:PORT."],
  ["ENOTFOUND", "The name is not known here: name an address of this machine with --listen HOST:PORT."],
]);

/** They mean every interface: no client can name them. */
const EVERY_ADDRESS: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);
/** The other side is gone: nothing was asked that could be refused. */
const VANISHED: ReadonlySet<string> = new Set(["ECONNRESET", "EPIPE", "ETIMEDOUT"]);

export class Listeners {
  readonly #services: Services;
  readonly #servers: Server[] = [];
  readonly #limits: ConnectionLimits;
  readonly #options: ServerOptions;
  readonly #open = new Set<Socket>();
  readonly #inFlight = new InFlight();
  readonly #date: () => string;
  #handler: Handler = (_request, response) => void response.writeHead(503).end();
  #again: Again | undefined;

  constructor(services: Services, limits: ConnectionLimits) {
    this.#services = services;
    this.#limits = limits;
    this.#options = serverOptions(limits);
    this.#date = httpDates(services.clock);
  }

  /** `again` answers requests whose head `handler` has seen on the same connection. */
  serve(handler: Handler, again: Again | undefined): void {
    this.#handler = handler;
    this.#again = again;
  }

  /** Open connections over all doors. */
  get connections(): number {
    return this.#open.size;
  }

  async listen(options: ListenOptions): Promise<ListenAddress> {
    if (options.kind === "unix") return this.#listenUnix(options.path);
    const { host, port, tls } = options;
    const loopback = isLoopback(host);
    if (tls === undefined && !loopback) {
      throw new CasemateError("CONFIG_INVALID", `plain HTTP on ${host} would send tokens unencrypted`, {
        hint: "Listen on localhost, or give a certificate and key (or let one be made) for TLS.",
      });
    }
    const door: Door = {
      source: tls === undefined ? "rest/loopback" : "rest/tls",
      loopbackHostOnly: tls === undefined,
      metricsNeedToken: !loopback,
    };
    const open = async (address: string, at: number): Promise<number> => {
      const server = tls === undefined ? createServer(this.#options) : this.#tlsServer(tls);
      this.#guard(server, door, tls === undefined ? "connection" : "secureConnection");
      await this.#listening(server, { host: address, port: at }, `${address}:${at}`);
      return (server.address() as AddressInfo).port;
    };
    const bound = await open(host === "localhost" ? "127.0.0.1" : host, port);
    // Clients may take either address for the name; whoever else held the other one would be given their tokens.
    if (host === "localhost") await open("::1", bound).catch(unlessWithoutIpv6);
    const name = EVERY_ADDRESS.has(host) ? "localhost" : isIP(host) === 6 ? `[${host}]` : host;
    return { url: `${tls === undefined ? "http" : "https"}://${name}:${bound}`, port: bound };
  }

  async close(): Promise<void> {
    const grace = Promise.withResolvers<void>();
    const cut = setTimeout(() => {
      for (const server of this.#servers) server.closeAllConnections();
      for (const socket of this.#open) socket.destroy();
      grace.resolve();
    }, this.#limits.closeGraceMs).unref();
    // Node takes their connections for idle, and would cut them.
    await Promise.race([this.#inFlight.none(), grace.promise]);
    const closed = this.#servers.map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve());
          server.closeIdleConnections();
        }),
    );
    await Promise.all(closed);
    clearTimeout(cut);
  }

  #tlsServer({ certificate, key }: { readonly certificate: string; readonly key: string }): Server {
    try {
      // An https server is an http server over TLS sockets; the types keep them apart.
      return createTlsServer({
        ...this.#options,
        cert: certificate,
        key,
        minVersion: "TLSv1.3",
        // For who closes its half behind the request: see #guard.
        allowHalfOpen: true,
        handshakeTimeout: this.#limits.handshakeTimeoutMs,
      }) as unknown as Server;
    } catch (cause) {
      throw new CasemateError("CONFIG_INVALID", "the TLS certificate and key cannot be used", {
        hint: "Give PEM files, and the key that belongs to the certificate.",
        cause,
      });
    }
  }

  async #listenUnix(path: string): Promise<ListenAddress> {
    await removeStaleSocket(path);
    const server = createServer(this.#options);
    this.#guard(server, { source: "rest/unix", loopbackHostOnly: false, metricsNeedToken: false }, "connection");
    // Nobody else may connect between binding and chmod.
    const before = process.umask(0o177);
    try {
      await this.#listening(server, { path }, path);
    } finally {
      process.umask(before);
    }
    chmodSync(path, 0o600);
    return { url: `unix:${path}` };
  }

  async #listening(
    server: Server,
    where: { host: string; port: number } | { path: string },
    shown: string,
  ): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const failed = (cause: NodeJS.ErrnoException): void => {
        const hint = LISTEN_HINTS.get(cause.code ?? "") ?? "See the cause in the log.";
        reject(new CasemateError("CONFIG_INVALID", `cannot listen on ${shown}: ${cause.message}`, { cause, hint }));
      };
      server.once("error", failed);
      server.listen({ ...where, backlog: 1024 }, () => {
        server.off("error", failed);
        server.on("error", (error) => this.#services.log.error({ err: error }, "a listener failed"));
        resolve();
      });
    });
    this.#servers.push(server);
  }

  #guard(server: Server, door: Door, event: "connection" | "secureConnection"): void {
    server.maxConnections = this.#limits.connections;
    server.maxHeadersCount = this.#limits.headers;
    server.timeout = this.#limits.silenceTimeoutMs;
    // Who says that no more will come, such as `nc -N`, still gets the answer; Node would do what was asked and say nothing.
    (server as unknown as { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
    // With TLS this is the connection below, so that unfinished handshakes are counted and cut too.
    server.on("connection", (socket: Socket) => {
      this.#open.add(socket);
      socket.once("close", () => this.#open.delete(socket));
    });
    server.on(event, (socket: Socket) => this.#opened(socket, door));
    server.on("request", this.#came);
    // Refused with a problem as well.
    server.on("checkExpectation", this.#came);
    server.on("timeout", (socket: Socket) => {
      if (this.#services.connections.of(socket).repeats?.busy !== true) socket.destroy();
    });
    server.on("clientError", (error, socket) => void this.#broken(error, socket, door));
    // Offers to upgrade are declined by answering in HTTP/1.1 (RFC 9110 §7.8), which Node does where nobody listens to them.
    server.on("connect", (request: IncomingMessage, socket: Duplex) => {
      void this.#broken(Object.assign(new Error("CONNECT"), { code: TUNNEL }), socket, door);
    });
  }

  #opened(socket: Socket, door: Door): void {
    const connection = this.#services.connections.open(socket, door);
    const again = this.#again;
    if (again === undefined) return;
    connection.repeats = new Repeats(socket, {
      answer: (head, body) => again(connection, head, body),
      closing: () => this.#services.state.closing,
      keepAliveSeconds: Math.floor(this.#limits.keepAliveTimeoutMs / 1000),
      inFlight: this.#inFlight,
      date: this.#date,
    });
  }

  readonly #came = (request: IncomingMessage, response: ServerResponse): void => {
    const alone = this.#services.connections.of(request.socket).repeats?.head(request, response) ?? false;
    // Node forgets what came in one read with an offer to upgrade: who sends more at once is told that it was not taken.
    if (request.headers.upgrade !== undefined && !alone) response.shouldKeepAlive = false;
    this.#handler(request, response);
  };

  /** Not HTTP, too slow or too large: one short answer, then the connection ends. */
  async #broken(error: Error, socket: Duplex, door: Door): Promise<void> {
    const { metrics, refusals, log } = this.#services;
    const { code } = error as NodeJS.ErrnoException;
    if (code !== undefined && VANISHED.has(code)) {
      socket.destroy();
      return;
    }
    metrics.brokenRequests++;
    this.#services.connections.of(socket as Socket).repeats?.detach();
    // Nothing that follows is read, so that its end does not close the connection before the answer.
    socket.pause();
    const broken = parserProblem(error);
    const from = (socket as Socket).remoteAddress;
    const source = from === undefined ? door.source : `${door.source}/${from}`;
    // At once: Node ends the connection when TLS has failed.
    if (broken.answer === "below TLS") this.#refuse(this.#below(socket as Socket), broken);
    const recorded = await refusals.record(undefined, source, "refused", broken.error);
    // As many lines as records: strangers can fill neither.
    if (recorded && broken.mixedUp) log.warn({ source, hint: broken.error.hint }, `refused: ${broken.error.message}`);
    if (broken.answer !== "here") {
      socket.destroy();
      return;
    }
    // A refusal in front of it would be taken for the answer to an earlier request.
    for (let due = answerDue(socket); due !== undefined; due = answerDue(socket)) await once(due, "close");
    this.#refuse(socket, broken);
  }

  #refuse(socket: Duplex | undefined, { error, status }: Broken): void {
    if (socket?.writable !== true) {
      socket?.destroy();
      return;
    }
    const body = JSON.stringify(problemOf(error, undefined, status));
    socket.end(
      `HTTP/1.1 ${status} Refused\r\ncontent-type: ${PROBLEM_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
        `cache-control: no-store\r\nconnection: close\r\n\r\n${body}`,
      () => socket.destroy(),
    );
  }

  /** The connection under a TLS socket, which alone can take an answer that is not encrypted. */
  #below({ remoteAddress, remotePort, localPort }: Socket): Socket | undefined {
    for (const socket of this.#open)
      if (socket.remotePort === remotePort && socket.localPort === localPort && socket.remoteAddress === remoteAddress)
        return socket;
    return undefined;
  }
}

/** The Date of answers (RFC 9110 §6.6.1), made once a second. */
function httpDates(clock: Clock): () => string {
  let text = "";
  let until = 0;
  return () => {
    const now = clock.monotonic();
    if (now < until) return text;
    const wall = clock.now();
    text = new Date(wall).toUTCString();
    until = now + 1000 - (wall % 1000);
    return text;
  };
}

/** The answer under way to a request that came whole. Node's own handling of errors looks at this member of the socket, too. */
function answerDue(socket: Duplex): ServerResponse | undefined {
  const { _httpMessage: answer } = socket as { readonly _httpMessage?: ServerResponse | null };
  return answer?.req.complete === true && !answer.closed ? answer : undefined;
}

/** Lets a machine without IPv6 pass. */
function unlessWithoutIpv6(error: CasemateError): void {
  const { code } = error.cause as NodeJS.ErrnoException;
  if (code !== "EADDRNOTAVAIL" && code !== "EAFNOSUPPORT") throw error;
}

/** A socket file that nobody serves is left over from a crash. @throws CONFIG_INVALID when it is alive or no socket. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new CasemateError("CONFIG_INVALID", `${path} is there and is no socket`, {
      hint: "Move it away: the REST interface is served at this path.",
    });
  const alive = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => resolve(true)).on("error", () => resolve(false));
    probe.once("connect", () => probe.destroy());
  });
  if (alive)
    throw new CasemateError("CONFIG_INVALID", `another program serves ${path}`, {
      hint: "End that program, or use another data directory.",
    });
  unlinkSync(path);
}
