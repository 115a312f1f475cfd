/** A REST server over a whole keyring on a temporary directory, and calls to it. */
import { createRestServer, type IdempotencyStore, type RestLog, type RestServer } from "@casemate/interfaces/rest";
import { temporaryKeyring, type TemporaryKeyring, type TemporaryOptions } from "@casemate/testkit/fakes";
import type { Role } from "@casemate/keyring/core";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number | string[] | undefined>>;
  readonly text: string;
  // Answers are looked into field by field by assertions, which fail on a wrong shape.
  readonly json: Readonly<Record<string, unknown>>;
}

export interface Call {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly url: string;
  readonly body?: unknown;
  readonly raw?: string | Uint8Array;
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RestBench extends AsyncDisposable {
  readonly rest: RestServer;
  readonly temporary: TemporaryKeyring;
  readonly logged: readonly { readonly level: string; readonly message: string; readonly fields: object }[];
  call(call: Call): Promise<Answer>;
  tokenFor(role: Role, expiresInSeconds?: number): Promise<string>;
}

export async function restBench(
  options: TemporaryOptions & { readonly idempotency?: IdempotencyStore } = {},
): Promise<RestBench> {
  const { idempotency, ...rest } = options;
  const temporary = await temporaryKeyring(rest);
  const logged: { level: string; message: string; fields: object }[] = [];
  const at = (level: string) => (fields: object, message: string) => void logged.push({ level, message, fields });
  const log: RestLog = { info: at("info"), warn: at("warn"), error: at("error") };
  const server = await createRestServer({
    keyring: temporary.keyring,
    version: "0.0.0-test",
    clock: temporary.clock,
    log,
    ...(idempotency === undefined ? {} : { idempotency }),
  });
  return {
    rest: server,
    temporary,
    logged,
    async call({ method, url, body, raw, token = temporary.adminToken, headers = {} }) {
      const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
      const answer = await server.app.inject({
        method: method ?? (payload === undefined ? "GET" : "POST"),
        url,
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(payload === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(payload === undefined ? {} : { payload: payload instanceof Uint8Array ? Buffer.from(payload) : payload }),
      });
      let json: Record<string, unknown> = {};
      try {
        json = answer.json();
      } catch {
        // Not JSON: the text is there.
      }
      return { status: answer.statusCode, headers: answer.headers, text: answer.body, json };
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
      await server.close();
      await temporary[Symbol.asyncDispose]();
    },
  };
}
