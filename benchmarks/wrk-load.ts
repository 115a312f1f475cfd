/** The same load by wrk, where it is installed: it costs the machine a fraction of what rest-load.ts does. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Order, Outcome } from "./rest-load.ts";

export function hasWrk(): boolean {
  return spawnSync("wrk", ["--version"]).error === undefined;
}

/** From the start of a run until its connections are made and busy. */
const SETTLE_SECONDS = 1;

/**
 * Runs the order; `begin` and `end` are called while the load goes on, `order.seconds` apart, when every connection has long
 * been made. Rejects when any answer was not 2xx.
 */
export async function wrkLoad(
  order: Order & { readonly token: string },
  begin: () => Promise<void>,
  end: () => Promise<void>,
): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), "casemate-wrk-"));
  try {
    const script = join(folder, "order.lua");
    writeFileSync(script, lua(order), { mode: 0o600 });
    if (order.warmUpSeconds > 0) await wrk(order, script, order.warmUpSeconds);
    const running = wrk(order, script, Math.ceil(order.seconds) + 2 * SETTLE_SECONDS);
    await Promise.race([running, sleep(SETTLE_SECONDS * 1000)]);
    await begin();
    await Promise.race([running, sleep(order.seconds * 1000)]);
    await end();
    const text = await running;
    const [requests, micros, p50, p99, failed] = (/^figures (.*)$/m.exec(text)?.[1] ?? "").split(" ").map(Number);
    if (requests === undefined || micros === undefined || p50 === undefined || p99 === undefined || failed !== 0) {
      throw new Error(`wrk did not get good answers:\n${text}`);
    }
    return { requests, wallSeconds: micros / 1e6, p50Ms: p50 / 1000, p99Ms: p99 / 1000 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const lua = ({ body, token }: Order & { readonly token: string }): string => `
wrk.method = "POST"
wrk.headers["Authorization"] = ${JSON.stringify(`Bearer ${token}`)}
wrk.headers["Content-Type"] = "application/json"
wrk.body = ${JSON.stringify(body)}
function done(summary, latency)
  local e = summary.errors
  print(string.format("figures %d %d %d %d %d", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
`;

async function wrk(order: Order, script: string, seconds: number): Promise<string> {
  const duration = `${Math.max(1, Math.round(seconds))}s`;
  const connections = String(order.connections);
  // wrk counts an answer after 2 s as lost; a batch of 100 RSA-4096 signatures behind seven others may take longer than that.
  const child = spawn("wrk", [
    "-t1",
    `-c${connections}`,
    `-d${duration}`,
    "--timeout",
    "30s",
    "-s",
    script,
    order.url + order.path,
  ]);
  let text = "";
  child.stdout.on("data", (part: Buffer) => (text += part.toString("utf8")));
  child.stderr.on("data", (part: Buffer) => (text += part.toString("utf8")));
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  if (status !== 0) throw new Error(`wrk ended with ${status}:\n${text}`);
  return text;
}
