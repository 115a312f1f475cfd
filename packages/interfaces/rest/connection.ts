/** What is known about a connection: where it comes from, and whom it was last authenticated as. */
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import type { Clock } from "@casemate/foundation/effects";
import type { Caller, Keyring } from "@casemate/keyring/core";
import type { Socket } from "node:net";
import type { Repeats } from "./repeats.ts";
import { Throttle } from "./throttle.ts";

/** How a listener treats what arrives on it. */
export interface Door {
  /** Prefix of the audit source: `rest/unix`, `rest/loopback`, `rest/tls`. */
  readonly source: string;
  /** Plain HTTP on loopback: only loopback names in Host, against DNS rebinding. */
  readonly loopbackHostOnly: boolean;
  /** Whether /metrics asks for a token. */
  readonly metricsNeedToken: boolean;
}

const DEFAULT_DOOR: Door = { source: "rest", loopbackHostOnly: true, metricsNeedToken: false };

export class Connection {
  readonly door: Door;
  readonly source: string;
  /** The Host header last found good on this connection. */
  goodHost: string | undefined;
  /** The Authorization header last found good here. Kept per connection, so that nobody can time guesses against others' tokens. */
  authorization: string | undefined;
  caller: Caller | undefined;
  knownUntil = 0;
  epoch = 0;
  /** The shorter way for requests that begin alike. */
  repeats: Repeats | undefined;

  constructor(door: Door, remoteAddress: string | undefined) {
    this.door = door;
    this.source = remoteAddress === undefined ? door.source : `${door.source}/${remoteAddress}`;
  }
}

export class Connections {
  readonly #known = new WeakMap<Socket, Connection>();

  /** Called by a listener for each new socket, before its first request. */
  open(socket: Socket, door: Door): Connection {
    const connection = new Connection(door, socket.remoteAddress);
    this.#known.set(socket, connection);
    return connection;
  }

  of(socket: Socket): Connection {
    let connection = this.#known.get(socket);
    if (connection === undefined) {
      connection = new Connection(DEFAULT_DOOR, socket.remoteAddress);
      this.#known.set(socket, connection);
    }
    return connection;
  }
}

const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;

/** @throws FORBIDDEN when a page elsewhere made a browser send this. */
export function checkHost(connection: Connection, host: string | undefined): void {
  if (!connection.door.loopbackHostOnly || (host !== undefined && host === connection.goodHost)) return;
  if (host === undefined || !LOOPBACK_HOST.test(host)) {
    throw new CasemateError("FORBIDDEN", "the Host header does not name this machine's loopback address", {
      hint: "Use http://localhost, http://127.0.0.1 or http://[::1]; other names need a TLS listener.",
    });
  }
  connection.goodHost = host;
}

/** How long a token once found good is believed on its connection. Revocation through this server ends it at once. */
const BELIEVED_MS = 1000;
const BEARER = /^Bearer ([A-Za-z0-9._~+/=-]{1,512})$/i;

export class Authenticator {
  readonly #keyring: Keyring;
  readonly #clock: Clock;
  readonly #throttle: Throttle;
  #epoch = 1;

  constructor(keyring: Keyring, clock: Clock) {
    this.#keyring = keyring;
    this.#clock = clock;
    this.#throttle = new Throttle(clock);
  }

  /** Forgets every caller: after a revocation. */
  forget(): void {
    this.#epoch++;
  }

  /** The caller already known on this connection, or undefined when `authenticate` must ask. */
  known(connection: Connection, header: string | undefined): Caller | undefined {
    return header !== undefined &&
      header === connection.authorization &&
      connection.epoch === this.#epoch &&
      this.#clock.monotonic() < connection.knownUntil
      ? connection.caller
      : undefined;
  }

  /** The token of the header. @throws UNAUTHENTICATED when there is none of the right form. */
  tokenFrom(header: string | undefined): string {
    const token = header === undefined ? undefined : BEARER.exec(header)?.[1];
    if (token !== undefined) return token;
    throw new CasemateError(
      "UNAUTHENTICATED",
      header === undefined ? "no token was given" : "the Authorization header is not `Bearer TOKEN`",
      { hint: "Send the header `Authorization: Bearer TOKEN`; the first run writes a token to admin.token." },
    );
  }

  /** @throws RATE_LIMITED after too many bad tokens from one source; not audited yet then. */
  admit(connection: Connection, token: string): void {
    if (this.#throttle.allows(connection.source, token)) return;
    throw new CasemateError("RATE_LIMITED", "too many requests with bad tokens came from there", {
      hint: "Wait a second; check the token.",
    });
  }

  /** @throws UNAUTHENTICATED, TOKEN_EXPIRED; the keyring audits either way. */
  async authenticate(connection: Connection, header: string, token: string, requestId: string): Promise<Caller> {
    const epoch = this.#epoch;
    connection.authorization = undefined;
    let caller: Caller;
    try {
      caller = await this.#keyring.authenticate(token, connection.source, requestId);
    } catch (error) {
      if (isCasemateError(error) && error.code === "UNAUTHENTICATED") this.#throttle.failed(connection.source);
      throw error;
    }
    this.#throttle.succeeded(token);
    connection.authorization = header;
    connection.caller = caller;
    connection.epoch = epoch;
    connection.knownUntil = this.#clock.monotonic() + BELIEVED_MS;
    return caller;
  }
}
