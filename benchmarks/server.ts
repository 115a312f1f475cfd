/** A server of its own in a directory of its own, as `casemate up` starts it. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { createClient, type Client } from "@casemate/sdk";
import { unixTransport } from "@casemate/sdk/node";

const PROGRAM = join(import.meta.dirname, "../apps/cli/bin/casemate.mjs");

export interface BenchServer extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** Process id of the virtual HSM's boundary. */
  readonly boundary: number;
  readonly token: string;
  readonly client: Client;
  readonly firstOutputMs: number;
  readonly readyMs: number;
  /** Items of successful operations that the server has counted of this action, such as `key.sign`. */
  operations(action: string): Promise<number>;
}

interface Announced {
  readonly url: string;
  readonly socket: string;
}

export async function startServer(data: string, options: readonly string[] = []): Promise<BenchServer> {
  const begun = performance.now();
  const server = spawn(process.execPath, [PROGRAM, "up", "--json", "--listen", "127.0.0.1:0", ...options], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, CASEMATE_DATA: data },
  });
  const exited = new Promise<void>((resolve) => server.once("exit", () => resolve()));
  let firstOutputMs = 0;
  const announced = await new Promise<Announced>((resolve, reject) => {
    let text = "";
    server.stdout.on("data", (part: Buffer) => {
      firstOutputMs ||= performance.now() - begun;
      text += part.toString("utf8");
      const line = text.split("\n").find((candidate) => candidate.startsWith('{"url"'));
      if (line !== undefined && text.endsWith("\n")) resolve(JSON.parse(line) as Announced);
    });
    void exited.then(() => reject(new Error(`the server did not start:\n${text}`)));
  });
  const readyMs = performance.now() - begun;
  const token = readFileSync(join(data, "admin.token"), "utf8").trim();
  const client = createClient({ transport: unixTransport(announced.socket), token });
  const boundary = (await client.getDevice("hsm-1")).status.pid;
  if (boundary === undefined) throw new Error("the device does not tell its process");
  return {
    url: announced.url,
    pid: server.pid ?? 0,
    boundary,
    token,
    client,
    firstOutputMs,
    readyMs,
    async operations(action) {
      const metrics = await get(announced.socket, "/metrics", token);
      const counter = `casemate_operations_total{action="${action}",outcome="ok"} `;
      const line = metrics.split("\n").find((candidate) => candidate.startsWith(counter));
      if (line === undefined) throw new Error(`the server counts no ${action}`);
      return Number(line.slice(counter.length));
    },
    async [Symbol.asyncDispose]() {
      server.kill("SIGTERM");
      await exited;
    },
  };
}

function get(socketPath: string, path: string, token: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, headers: { authorization: `Bearer ${token}` } }, (response) => {
      if (response.statusCode === 200) resolve(textOf(response));
      else reject(new Error(`${path} answered ${response.statusCode}`));
    });
    sent.once("error", reject).end();
  });
}
