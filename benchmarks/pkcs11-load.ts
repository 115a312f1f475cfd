/** Many applications at once, and many operations: what is held, and whether memory stays where it is. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { residentMiB } from "./machine.ts";
import { LoadClient, OPERATIONS_PER_CYCLE } from "./pkcs11-client.ts";
import { startServer, type BenchServer } from "./server.ts";

const CONNECTIONS = 1000;
const SESSIONS_EACH = 10;
/** Connections that are being opened, and cycles under way, at the same time. */
const SIDE_BY_SIDE = 64;
const KEY = "load";
const TENTHS = 10;
/** Operations of a short run; the full one has 10 000 000 (CASEMATE_LOAD_OPERATIONS). */
const SHORT = 100_000;

interface Memory {
  readonly serverMiB: number;
  readonly boundaryMiB: number;
}

export interface LoadFigures {
  readonly connections: number;
  readonly sessions: number;
  readonly before: Memory;
  /** With all connections and sessions open and nothing done yet. */
  readonly held: Memory;
  readonly operations: number;
  readonly mix: string;
  readonly perSecond: number;
  /** At the end of each tenth of the operations. */
  readonly tenths: readonly Memory[];
  /** Growth from the first tenth to the last, in MiB. */
  readonly growth: Memory;
  readonly auditRecords: number;
  readonly openFilesLimit: string;
}

function memory({ pid, boundary }: BenchServer): Memory {
  return { serverMiB: residentMiB(pid), boundaryMiB: residentMiB(boundary) };
}

/** @throws when a call is refused or a connection ends. */
export async function loadFigures(report: (line: string) => void): Promise<LoadFigures> {
  const wanted = Number(process.env["CASEMATE_LOAD_OPERATIONS"] ?? SHORT);
  const folder = mkdtempSync(join(tmpdir(), "casemate-load-"));
  const clients: LoadClient[] = [];
  try {
    const data = join(folder, "data");
    await using server = await startServer(data);
    await server.client.createKey({ name: KEY, algorithm: "ec-p256", usages: ["sign"] });
    const before = memory(server);
    const socket = join(data, "pkcs11.sock");
    const opener = async (): Promise<void> => {
      while (opened < CONNECTIONS) {
        opened++;
        clients.push(await LoadClient.open(socket, server.token, KEY, SESSIONS_EACH));
      }
    };
    let opened = 0;
    await Promise.all(Array.from({ length: SIDE_BY_SIDE }, opener));
    const held = memory(server);
    report(
      `${CONNECTIONS} connections, ${CONNECTIONS * SESSIONS_EACH} sessions held: server ${before.serverMiB} → ${held.serverMiB} MiB`,
    );
    const tenths: Memory[] = [];
    const cycles = Math.ceil(wanted / TENTHS / OPERATIONS_PER_CYCLE);
    const begun = performance.now();
    for (let tenth = 1; tenth <= TENTHS; tenth++) {
      let left = cycles;
      let next = 0;
      const worker = async (): Promise<void> => {
        while (left > 0) {
          left--;
          await (clients[next++ % CONNECTIONS] as LoadClient).cycle();
        }
      };
      await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker));
      const now = memory(server);
      tenths.push(now);
      report(`${tenth * 10} %: server ${now.serverMiB} MiB, boundary ${now.boundaryMiB} MiB`);
    }
    const operations = cycles * TENTHS * OPERATIONS_PER_CYCLE;
    const [first, last] = [tenths[0] as Memory, tenths.at(-1) as Memory];
    const metrics = await fetch(`${server.url}/metrics`).then((answer) => answer.text());
    return {
      connections: clients.length,
      sessions: clients.reduce((sum, client) => sum + client.sessions.length, 0),
      before,
      held,
      operations,
      mix: "a P-256 signature (CKM_ECDSA), 32 random bytes of the device, a SHA-256 digest, in turn over all sessions",
      perSecond: Math.round((1000 * operations) / (performance.now() - begun)),
      tenths,
      growth: { serverMiB: last.serverMiB - first.serverMiB, boundaryMiB: last.boundaryMiB - first.boundaryMiB },
      auditRecords: Number(/^casemate_audit_records (\d+)/m.exec(metrics)?.[1]),
      openFilesLimit: /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${server.pid}/limits`, "utf8"))?.[1] ?? "",
    };
  } finally {
    for (const client of clients) client.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
