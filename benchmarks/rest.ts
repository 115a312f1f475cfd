/** The whole server over TLS 1.3, audit durable before each reply; the load comes from a process of its own. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@casemate/foundation/effects";
import { serverCertificate } from "@casemate/interfaces/rest";
import type { Case, Path } from "./cases.ts";
import { cpuSeconds, residentMiB } from "./machine.ts";
import type { Load } from "./report.ts";
import type { Order, Outcome } from "./rest-load.ts";
import { startServer } from "./server.ts";
import { hasWrk, wrkLoad } from "./wrk-load.ts";

const BATCH = 100;
const WARM_UP_SECONDS = 3;
/** Before the first single: half a million requests or so, until the compiler has made of the server what runs for the rest of its life. */
const FIRST_WARM_UP_SECONDS = 30;
const CONNECTIONS: Readonly<Record<"rest" | "rest-batch", number>> = { rest: 128, "rest-batch": 8 };

export interface StartFigures {
  readonly firstOutputMs: number;
  readonly readyMs: number;
  readonly serverIdleMiB: number;
  readonly boundaryIdleMiB: number;
}

export interface RestBench extends AsyncDisposable {
  readonly start: StartFigures;
  /** What made the load. */
  readonly generator: string;
  measure(path: Exclude<Path, "engine">, item: Case, seconds: number): Promise<Load>;
}

export async function openRest(): Promise<RestBench> {
  const folder = mkdtempSync(join(tmpdir(), "casemate-bench-"));
  const data = join(folder, "data");
  const tls = serverCertificate({ directory: folder, hosts: ["127.0.0.1"], clock: systemClock });
  const files = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  writeFileSync(files.cert, tls.certificate);
  writeFileSync(files.key, tls.key, { mode: 0o600 });
  const server = await startServer(data, ["--tls-cert", files.cert, "--tls-key", files.key]);
  const { url, pid, boundary, token, client } = server;
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const start = {
    firstOutputMs: Math.round(server.firstOutputMs),
    readyMs: Math.round(server.readyMs),
    serverIdleMiB: residentMiB(pid),
    boundaryIdleMiB: residentMiB(boundary),
  };
  const prepared = new Set<string>();
  const wrk = hasWrk();
  return {
    start,
    generator: wrk ? "wrk" : "rest-load.ts",
    async measure(path, item, seconds) {
      const name = `${path}-${item.name}`;
      const first = prepared.size === 0;
      const known = prepared.has(name);
      prepared.add(name);
      if (!known) await client.createKey({ name, algorithm: item.algorithm, usages: [item.work.kind] });
      const order: Order = {
        url,
        path: `/v1/keys/${name}/${item.work.kind}${path === "rest" ? "" : "-batch"}`,
        body: requestBody(path, item),
        connections: CONNECTIONS[path],
        // The compiler has to see the hot path often before it is what a running server executes.
        warmUpSeconds: first ? FIRST_WARM_UP_SECONDS : known ? 0 : WARM_UP_SECONDS,
        seconds,
        certificate: tls.certificate,
      };
      const used = (): number => cpuSeconds(pid) + cpuSeconds(boundary);
      if (!wrk) {
        const { outcome, cpu } = await load(order, token, used);
        const operations = outcome.requests * (path === "rest" ? 1 : BATCH);
        return { ...outcome, operations, cpuSeconds: cpu };
      }
      const counted = (): Promise<number> => server.operations(`key.${item.work.kind}`);
      return byWrk(order, token, async () => {
        const operations = await counted();
        return { operations, cpu: used(), at: performance.now() };
      });
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function requestBody(path: Exclude<Path, "engine">, { work, data }: Case): string {
  const value = Buffer.from(data).toString("base64");
  const [field, options] =
    work.kind === "sign" ? ["input", { scheme: work.scheme, kind: work.input }] : ["data", { scheme: work.scheme }];
  const item = { [field as string]: value };
  return JSON.stringify(
    path === "rest" ? { ...(options as object), ...item } : { ...(options as object), items: Array(BATCH).fill(item) },
  );
}

interface Reading {
  readonly operations: number;
  readonly cpu: number;
  readonly at: number;
}

/** What the server counts and uses between two readings under steady load: no start of the load generator is in it. */
async function byWrk(order: Order, token: string, read: () => Promise<Reading>): Promise<Load> {
  const readings: Reading[] = [];
  const take = async (): Promise<void> => void readings.push(await read());
  const { p50Ms, p99Ms } = await wrkLoad({ ...order, token }, take, take);
  const [before, after] = readings as [Reading, Reading];
  return {
    operations: after.operations - before.operations,
    wallSeconds: (after.at - before.at) / 1000,
    cpuSeconds: after.cpu - before.cpu,
    p50Ms,
    p99Ms,
  };
}

/** Runs the load in its own process; the token travels on its standard input. */
async function load(
  order: Order,
  token: string,
  used: () => number,
): Promise<{ readonly outcome: Outcome; readonly cpu: number }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "rest-load.ts")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(JSON.stringify({ ...order, token }));
  let text = "";
  let before = 0;
  let after = 0;
  child.stdout.on("data", (part: Buffer) => {
    text += part.toString("utf8");
    if (before === 0 && text.includes("begin\n")) before = used();
    if (after === 0 && text.includes("end\n")) after = used();
  });
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  if (status !== 0) throw new Error(`the load generator ended with ${status}`);
  const outcome = JSON.parse(text.slice(text.indexOf("end\n") + 4)) as Outcome;
  return { outcome, cpu: after - before };
}
