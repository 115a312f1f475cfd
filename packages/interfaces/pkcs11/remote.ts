// The way in from other machines: TLS 1.3, an API token first, then p11-kit's RPC as on the socket.
import type { Server, Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import type { Caller } from "@casemate/keyring/core";
import type { Ports } from "./context.ts";

/** Where to listen for bridges of other machines. */
export interface RemoteOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** PEM. */
  readonly key: string | Buffer;
  /** PEM, with the chain. */
  readonly cert: string | Buffer;
  /** Milliseconds that a connection has for TLS, and then for its token; the default is ten seconds. */
  readonly waitMs?: number;
}

export interface RemoteDoor {
  readonly port: number;
  close(): Promise<void>;
}

const GREETING = /^casemate-pkcs11 1 ([\x21-\x7e]{1,255})\n$/;
const MAX_GREETING = 300;
const WAIT_MS = 10_000;

/** The socket belongs to the account; from elsewhere a token says that somebody may come in at all. PINs are asked for all the same. */
function greet(socket: TLSSocket, ports: Ports, waitMs: number, welcome: (socket: TLSSocket) => void): void {
  let text = "";
  const refuse = (why: string): void => {
    ports.log.warn({ from: socket.remoteAddress, why }, "pkcs11: refused a connection from elsewhere");
    socket.end("refused\n");
  };
  const timer = setTimeout(() => socket.destroy(), waitMs);
  const done = (): void => {
    clearTimeout(timer);
    socket.off("data", receive);
  };
  const receive = (chunk: Buffer): void => {
    text += chunk.toString("latin1");
    if (!text.includes("\n") && text.length <= MAX_GREETING) return;
    done();
    const token = GREETING.exec(text)?.[1];
    if (token === undefined) return refuse("no greeting");
    socket.pause();
    // What is revoked while it is looked at may be missed there.
    const revoked = new Set<string>();
    const unsubscribe = ports.keyring.subscribe((change) => {
      if (change.what === "token") revoked.add(change.name);
    });
    const authenticated = ports.keyring.authenticate(token, "pkcs11").finally(unsubscribe);
    authenticated.then(
      (caller) => {
        if (socket.destroyed) return;
        if (caller.token !== undefined && revoked.has(caller.token)) return refuse("UNAUTHENTICATED");
        endWith(caller, socket, ports);
        socket.write("ok\n");
        welcome(socket);
        socket.resume();
      },
      (error: unknown) => refuse(isCasemateError(error) ? error.code : "INTERNAL"),
    );
  };
  socket.on("data", receive);
  socket.on("error", () => undefined);
  socket.once("close", done);
}

/** Longest time that a timer takes. */
const MOST_MS = 2 ** 31 - 1;

/** A connection ends with the token that it came in by, whoever is logged in over it: it was let in by that alone. */
function endWith({ token, expiresAt }: Caller, socket: TLSSocket, { keyring, clock, log }: Ports): void {
  const end = (why: string): void => {
    log.info({ from: socket.remoteAddress, why }, "pkcs11: closed a connection from elsewhere");
    socket.destroy();
  };
  let timer: NodeJS.Timeout | undefined;
  const wait = (): void => {
    const left = (expiresAt ?? 0) - clock.now();
    if (left <= 0) end("its token is over");
    else timer = setTimeout(wait, Math.min(left, MOST_MS)).unref();
  };
  const unsubscribe = keyring.subscribe((change) => {
    if (change.what === "token" && change.name === token) end("its token was revoked");
  });
  socket.once("close", () => {
    clearTimeout(timer);
    unsubscribe();
  });
  if (expiresAt !== undefined) wait();
}

/** @throws CONFIG_INVALID. */
export async function openRemote(
  options: RemoteOptions,
  ports: Ports,
  welcome: (socket: TLSSocket) => void,
  limit: (server: Server) => void,
): Promise<RemoteDoor> {
  const { key, cert, host, port, waitMs = WAIT_MS } = options;
  const held = new Set<Socket>();
  const server = createServer({ key, cert, minVersion: "TLSv1.3", handshakeTimeout: waitMs }, (socket) => {
    greet(socket, ports, waitMs, welcome);
  });
  limit(server);
  // The connection below TLS: the end does not wait for who never begins it.
  server.on("connection", (socket: Socket) => {
    held.add(socket);
    socket.once("close", () => held.delete(socket));
  });
  // Node leaves the connection open, also after the time for the handshake.
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new CasemateError("CONFIG_INVALID", `cannot listen on ${host}:${port}: ${cause.message}`, { cause })),
    );
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    async close() {
      for (const socket of held) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
