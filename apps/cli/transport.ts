import { Agent, request as httpRequest, type ClientRequestArgs, type IncomingMessage } from "node:http";
import { CasemateError } from "@casemate/foundation/errors";
import type { Transport, TransportResponse } from "@casemate/sdk";
import { notReachable } from "./failure.ts";

export interface Target {
  /** As people read it. */
  readonly where: string;
  readonly url: URL;
  /** Unix socket to use instead of the URL's host. */
  readonly socketPath?: string;
  /** PEM to trust besides the system's. */
  readonly ca?: string;
}

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
const TRUST_IT = "Give the server's certificate, or its authority's, with --ca-file FILE.";

/**
 * How the CLI's requests travel: unix socket, plain HTTP on loopback, or TLS with a certificate of the user's choice, which fetch cannot take.
 * One connection per request, since a verb asks once or twice and ends; with `connections`, so many are kept open until the process ends.
 */
export function nodeTransport(target: Target, connections = 0): Transport {
  const { url, where, socketPath, ca } = target;
  const secure = url.protocol === "https:";
  const agent = connections > 0 && !secure ? new Agent({ keepAlive: true, maxSockets: connections }) : false;
  const place = { ...(socketPath === undefined ? {} : { socketPath }), ...(ca === undefined ? {} : { ca }) };
  return async ({ method, path, headers, body, signal }) => {
    const request = secure ? (await import("node:https")).request : httpRequest;
    const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const options: ClientRequestArgs = {
      method,
      agent,
      timeout: TIMEOUT_MS,
      headers: { ...headers, ...length },
      ...(signal === undefined ? {} : { signal }),
      ...place,
    };
    return new Promise((resolve, reject) => {
      const sent = request(new URL(path, url), options, (response) => {
        collect(response).then(resolve, reject);
      });
      sent.on("timeout", () =>
        sent.destroy(new CasemateError("TIMEOUT", `no answer from ${where} within two minutes`)),
      );
      sent.on("error", (error: NodeJS.ErrnoException) => {
        reject(NOBODY.has(error.code ?? "") ? notReachable(where, error) : connectionFailed(where, error));
      });
      sent.end(body);
    });
  };
}

/** What OpenSSL's verdicts on a certificate mean, by Node's code (https://nodejs.org/api/tls.html#x509-certificate-error-codes). */
const CERTIFICATE_FAILURES: ReadonlyMap<string, readonly [why: string, hint: string]> = new Map([
  ["DEPTH_ZERO_SELF_SIGNED_CERT", ["it is self-signed", TRUST_IT]],
  ["SELF_SIGNED_CERT_IN_CHAIN", ["its chain ends in a certificate that is not trusted here", TRUST_IT]],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", ["its issuer is not known here", TRUST_IT]],
  ["UNABLE_TO_GET_ISSUER_CERT", ["its issuer is not known here", TRUST_IT]],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", ["its issuer is not known here", TRUST_IT]],
  ["CERT_HAS_EXPIRED", ["it has expired", "Ask whoever runs the server for a new one."]],
  ["CERT_NOT_YET_VALID", ["it is not valid yet", "Check the clocks of both machines."]],
  ["ERR_TLS_CERT_ALTNAME_INVALID", ["it is for another name", "Use a name that the certificate carries in --url."]],
]);

/** What the other side says when it speaks another protocol than was asked for. */
const OTHER_LANGUAGES: ReadonlyMap<string, readonly [why: string, hint: string]> = new Map([
  ["EPROTO", ["it does not speak TLS there", "Use http:// in --url where the server listens on loopback alone."]],
  ["HPE_INVALID_CONSTANT", ["it does not speak HTTP there", "Check host and port, and https:// or http://."]],
]);

/** What went wrong on the way, in the words of the user of the CLI. */
export function connectionFailed(where: string, error: NodeJS.ErrnoException): CasemateError {
  if (error instanceof CasemateError) return error;
  const [why, hint] = CERTIFICATE_FAILURES.get(error.code ?? "") ?? [];
  if (why !== undefined && hint !== undefined)
    return new CasemateError("UNAVAILABLE", `the certificate of ${where} is refused: ${why}`, { cause: error, hint });
  const [what = error.message, todo = "Check host and port, and whether it is https:// or http:// there."] =
    OTHER_LANGUAGES.get(error.code ?? "") ?? [];
  return new CasemateError("UNAVAILABLE", `the connection to ${where} failed: ${what}`, {
    cause: error,
    hint: todo,
  });
}

async function collect(response: IncomingMessage): Promise<TransportResponse> {
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  return {
    status: response.statusCode ?? 0,
    header(name) {
      const value = response.headers[name.toLowerCase()];
      return Array.isArray(value) ? value.join(", ") : value;
    },
    body: Buffer.concat(parts).toString("utf8"),
  };
}
