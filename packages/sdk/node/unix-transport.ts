/** Requests over a Unix socket, for Node alone. */
import { Agent, request, type IncomingMessage } from "node:http";
import type { Transport, TransportResponse } from "@casemate/sdk";

export type UnixTransport = Transport & {
  /** Ends idle connections, so that the process can exit. */
  close(): void;
};

/** Connections are kept alive and shared. The socket of `casemate up` is `casemate.sock` in its data directory. */
export function unixTransport(socketPath: string, options: { readonly maxSockets?: number } = {}): UnixTransport {
  const agent = new Agent({ keepAlive: true, maxSockets: options.maxSockets ?? 16 });
  const transport: Transport = ({ method, path, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
      const sent = request(
        {
          agent,
          socketPath,
          method,
          path,
          headers: { host: "localhost", ...headers, ...length },
          ...(signal && { signal }),
        },
        (response) => void collect(response).then(resolve, reject),
      );
      sent.on("error", reject);
      sent.end(body);
    });
  return Object.assign(transport, { close: () => agent.destroy() });
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
