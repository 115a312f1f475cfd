/** A REST server over a whole keyring on a temporary directory, and calls to it. */
import {
  createRestServer,
  type ConnectionLimits,
  type IdempotencyStore,
  type RestLog,
  type RestServer,
} from "@casemate/interfaces/rest";
import { temporaryKeyring, type TemporaryKeyring, type TemporaryOptions } from "@casemate/testkit/fakes";
import { Agent, request } from "node:http";
import type { Role } from "@casemate/keyring/core";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number | string[] | undefined>>;
  readonly text: string;
  // Answers are looked into field by field by assertions, which fail on a wrong shape.
  readonly json: Readonly<Record<string, unknown>>;
}

export interface Call {
  readonly method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly url: string;
  readonly body?: unknown;
  readonly raw?: string | Uint8Array;
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** Over a loopback connection (default), or handed to fastify without one. */
  readonly via?: "http" | "inject";
}

export interface RestBench extends AsyncDisposable {
  readonly rest: RestServer;
  readonly temporary: TemporaryKeyring;
  readonly logged: readonly { readonly level: string; readonly message: string; readonly fields: object }[];
  call(call: Call): Promise<Answer>;
  tokenFor(role: Role, expiresInSeconds?: number): Promise<string>;
}

interface Sent {
  readonly method: NonNullable<Call["method"]>;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Buffer | undefined;
}

type Got = Omit<Answer, "json">;

function overHttp(port: number | undefined, agent: Agent, { method, url, headers, payload }: Sent): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, agent, method, path: url, headers }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text: Buffer.concat(parts).toString("utf8"),
        }),
      );
    });
    // A server that refuses a large body answers before it was sent, so a failed write may come after the answer.
    sent.on("error", reject);
    sent.end(payload);
  });
}

async function injected(server: RestServer, { method, url, headers, payload }: Sent): Promise<Got> {
  const answer = await server.app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) });
  return { status: answer.statusCode, headers: answer.headers, text: answer.body };
}

export async function restBench(
  options: TemporaryOptions & {
    readonly idempotency?: IdempotencyStore;
    readonly limits?: Partial<ConnectionLimits>;
    readonly allowOrigins?: readonly string[];
  } = {},
): Promise<RestBench> {
  const { idempotency, limits, allowOrigins = [], ...rest } = options;
  const temporary = await temporaryKeyring(rest);
  const logged: { level: string; message: string; fields: object }[] = [];
  const at = (level: string) => (fields: object, message: string) => void logged.push({ level, message, fields });
  const log: RestLog = { info: at("info"), warn: at("warn"), error: at("error") };
  const server = await createRestServer({
    keyring: temporary.keyring,
    version: "0.0.0-test",
    clock: temporary.clock,
    log,
    allowOrigins,
    ...(idempotency === undefined ? {} : { idempotency }),
    ...(limits === undefined ? {} : { limits }),
  });
  const { port } = await server.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const agent = new Agent({ keepAlive: true });
  return {
    rest: server,
    temporary,
    logged,
    async call({ method, url, body, raw, token = temporary.adminToken, headers = {}, via = "http" }) {
      const text = raw ?? (body === undefined ? undefined : JSON.stringify(body));
      const payload = text === undefined ? undefined : Buffer.from(text as string);
      const request: Sent = {
        method: method ?? (payload === undefined ? "GET" : "POST"),
        url,
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(payload === undefined
            ? {}
            : { "content-type": "application/json", "content-length": String(payload.length) }),
          ...headers,
        },
        payload,
      };
      const answer = via === "http" ? await overHttp(port, agent, request) : await injected(server, request);
      let json: Record<string, unknown> = {};
      try {
        json = JSON.parse(answer.text) as Record<string, unknown>;
      } catch {
        // Not JSON: the text is there.
      }
      return { ...answer, json };
    },
    async tokenFor(role, expiresInSeconds) {
      const made = await temporary.keyring.createToken(temporary.admin, {
        principal: `${role}-1`,
        roles: [role],
        ...(expiresInSeconds === undefined ? {} : { expiresInSeconds }),
      });
      return made.token;
    },
    async [Symbol.asyncDispose]() {
      agent.destroy();
      await server.close();
      await temporary[Symbol.asyncDispose]();
    },
  };
}
