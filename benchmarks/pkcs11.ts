/**
 * Signing through PKCS#11 by one C loop over three modules: SoftHSM 2 in the application's own process, SoftHSM 2 behind
 * p11-kit's server, and Casemate as it runs in production, both behind p11-kit's unmodified client. For P-256 a fourth is shown
 * beside them, for measure: a server in C behind the same client that does nothing but sign (raw/p11-server.c). What it reaches is the most
 * that is left to any server there.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpuSeconds, residentMiB } from "./machine.ts";
import { startServer } from "./server.ts";
import {
  compileBareServer,
  compileLoop,
  loop,
  must,
  SOFTHSM,
  softhsmToken,
  TOKEN,
  type LoopMeasured,
} from "./softhsm.ts";

const CLIENT = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so";
const PROGRAMS = ["cc", "softhsm2-util", "p11-kit"];
const WARM_UP_SECONDS = 0.3;
/** Before the first figure: until the compiler has made of the server what runs for the rest of its life. */
const FIRST_WARM_UP_SECONDS = 20;
/** Peers take turns, and medians are kept: a machine that drifts or is disturbed for a while favours none. */
const ROUNDS = 5;

interface Signing {
  readonly name: string;
  readonly make: "rsa" | "ec";
  /** The same for all; carried by p11-kit's client of every version. */
  readonly mechanism: string;
  readonly mechanismNumber: number;
}
const SIGNINGS: readonly Signing[] = [
  { name: "rsa-2048", make: "rsa", mechanism: "CKM_SHA256_RSA_PKCS", mechanismNumber: 0x40 },
  { name: "ec-p256", make: "ec", mechanism: "CKM_ECDSA", mechanismNumber: 0x1041 },
];

interface Shape {
  readonly name: string;
  readonly processes: number;
  readonly threads: number;
}
const SHAPES: readonly Shape[] = [
  { name: "1 thread", processes: 1, threads: 1 },
  { name: "8 processes", processes: 8, threads: 1 },
  { name: "32 processes", processes: 32, threads: 1 },
];

/** Smallest ratios aimed at: to SoftHSM 2 in process, and to it behind p11-kit's own server. */
const TARGETS: Readonly<Record<string, { readonly inProcess: number; readonly served: number }>> = {
  "rsa-2048 1 thread": { inProcess: 1.2, served: 1.2 },
  "rsa-2048 8 processes": { inProcess: 1.1, served: 1.2 },
  "ec-p256 1 thread": { inProcess: 0.35, served: 1.2 },
  "ec-p256 8 processes": { inProcess: 0.7, served: 1.2 },
  "ec-p256 32 processes": { inProcess: 0.9, served: 1.2 },
};

export interface Pkcs11Row {
  readonly operation: string;
  readonly mechanism: string;
  readonly load: string;
  readonly casemate: LoopMeasured;
  readonly inProcess: LoopMeasured;
  readonly served: LoopMeasured;
  /** A server that does nothing but sign. */
  readonly bare?: LoopMeasured;
  readonly ratioInProcess: number;
  readonly ratioServed: number;
  /** Of the bare server to SoftHSM 2 in process. */
  readonly bareInProcess?: number;
  readonly targets?: { readonly inProcess: number; readonly served: number };
  /** CPU of server and boundary for one signature. */
  readonly serverCpuMicros: number;
  readonly boundaryCpuMicros: number;
}

export interface Pkcs11Figures {
  readonly rows: readonly Pkcs11Row[];
  readonly serverMiBAfter: number;
}

/** A module with what it needs. */
interface Peer {
  readonly module: string;
  readonly token: string;
  readonly pinFile: string;
  readonly env: Readonly<Record<string, string>>;
}

/** What is not installed, or undefined. */
export function pkcs11Missing(): string | undefined {
  const lacking = [
    ...PROGRAMS.filter((name) => spawnSync("which", [name], { stdio: "ignore" }).status !== 0),
    ...[CLIENT, SOFTHSM].filter((path) => !existsSync(path)),
  ];
  return lacking.length === 0 ? undefined : lacking.join(", ");
}

/** Resolves when somebody listens. */
async function listening(server: ChildProcess, socket: string, what: string): Promise<void> {
  while (!existsSync(socket)) {
    if (server.exitCode !== null) throw new Error(`${what} did not start`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** SoftHSM 2 with a token in `folder`, and p11-kit's server in front of it. */
async function softhsm(folder: string): Promise<{ readonly inProcess: Peer; readonly served: Peer; stop(): void }> {
  const { pinFile, env } = softhsmToken(folder);
  const socket = join(folder, "p11.sock");
  const args = ["server", "--foreground", "-n", socket, "--provider", SOFTHSM, `pkcs11:token=${TOKEN}`];
  const server = spawn("p11-kit", args, {
    stdio: "ignore",
    env: { ...process.env, ...env, XDG_RUNTIME_DIR: folder },
  });
  await listening(server, socket, "p11-kit's server");
  const peer = { token: TOKEN, pinFile };
  return {
    inProcess: { ...peer, module: SOFTHSM, env },
    served: { ...peer, module: CLIENT, env: { P11_KIT_SERVER_ADDRESS: `unix:path=${socket}` } },
    stop: () => void server.kill("SIGTERM"),
  };
}

/** The bare server in front of Casemate, which answers all but signatures. */
async function bareServer(folder: string, casemate: Peer, behind: string): Promise<Peer & Disposable> {
  const socket = join(folder, "bare.sock");
  const server = spawn(compileBareServer(folder), [socket, behind], { stdio: "ignore" });
  await listening(server, socket, "the bare server");
  const env = { P11_KIT_SERVER_ADDRESS: `unix:path=${socket}` };
  return { ...casemate, env, [Symbol.dispose]: () => void server.kill("SIGTERM") };
}

/** @param seconds of each peer for each row, over all rounds. @param report is called with each row as it is done. */
export async function pkcs11Figures(seconds: number, report: (row: Pkcs11Row) => void): Promise<Pkcs11Figures> {
  const folder = mkdtempSync(join(tmpdir(), "casemate-bench-"));
  try {
    const program = compileLoop(folder);
    const soft = await softhsm(folder);
    try {
      const data = join(folder, "data");
      await using server = await startServer(data);
      const socket = join(data, "pkcs11.sock");
      const casemate: Peer = {
        module: CLIENT,
        token: "casemate",
        pinFile: join(data, "admin.token"),
        env: { P11_KIT_SERVER_ADDRESS: `unix:path=${socket}` },
      };
      using bare = await bareServer(folder, casemate, socket);
      const rows: Pkcs11Row[] = [];
      for (const signing of SIGNINGS) {
        for (const { module, token, pinFile, env } of [casemate, soft.inProcess]) {
          must(program, ["make", module, token, pinFile, signing.name, signing.make], env);
        }
        const warming = { processes: 8, threads: 1, warmUp: 0, seconds: FIRST_WARM_UP_SECONDS / SIGNINGS.length };
        await sign(program, signing, casemate, warming);
        const peers = { casemate, ...soft, ...(signing.make === "ec" ? { bare } : {}) };
        for (const shape of SHAPES) {
          const row = await measure(program, signing, shape, peers, server, seconds);
          rows.push(row);
          report(row);
        }
      }
      return { rows, serverMiBAfter: residentMiB(server.pid) };
    } finally {
      soft.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

interface Peers {
  readonly casemate: Peer;
  readonly inProcess: Peer;
  readonly served: Peer;
  readonly bare?: Peer;
}

function sign(
  program: string,
  signing: Signing,
  { module, token, pinFile, env }: Peer,
  load: Parameters<typeof loop>[2],
): Promise<LoopMeasured> {
  return loop(program, [module, token, pinFile, signing.name, String(signing.mechanismNumber)], load, env);
}

async function measure(
  program: string,
  signing: Signing,
  shape: Shape,
  peers: Peers,
  server: { readonly pid: number; readonly boundary: number },
  seconds: number,
): Promise<Pkcs11Row> {
  const each = seconds / ROUNDS;
  const run = (peer: Peer): Promise<LoopMeasured> =>
    sign(program, signing, peer, { ...shape, warmUp: WARM_UP_SECONDS, seconds: each });
  const runs: Record<keyof Peers, LoopMeasured[]> = {
    casemate: [],
    inProcess: [],
    served: [],
    bare: [],
  };
  const used = { server: 0, boundary: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    runs.inProcess.push(await run(peers.inProcess));
    const before = { server: cpuSeconds(server.pid), boundary: cpuSeconds(server.boundary) };
    runs.casemate.push(await run(peers.casemate));
    used.server += cpuSeconds(server.pid) - before.server;
    used.boundary += cpuSeconds(server.boundary) - before.boundary;
    runs.served.push(await run(peers.served));
    if (peers.bare !== undefined) runs.bare.push(await run(peers.bare));
  }
  const middle = (peer: keyof Peers): LoopMeasured => {
    const of = (field: keyof LoopMeasured): number => Math.round(median(runs[peer].map((one) => one[field])));
    return { perSecond: of("perSecond"), p50Us: of("p50Us"), p99Us: of("p99Us"), cpuUs: of("cpuUs") };
  };
  const ratio = (peer: keyof Peers, of: keyof Peers = "casemate"): number => {
    const rounds = runs[of].map((own, round) => own.perSecond / (runs[peer][round]?.perSecond ?? Number.NaN));
    return Math.round(1000 * median(rounds)) / 1000;
  };
  const [casemate, inProcess, served] = [middle("casemate"), middle("inProcess"), middle("served")];
  const signatures = runs.casemate.reduce((sum, one) => sum + one.perSecond * (each + WARM_UP_SECONDS), 0);
  const targets = TARGETS[`${signing.name} ${shape.name}`];
  return {
    operation: signing.name,
    mechanism: signing.mechanism,
    load: shape.name,
    casemate,
    inProcess,
    served,
    ratioInProcess: ratio("inProcess"),
    ratioServed: ratio("served"),
    ...(peers.bare === undefined ? {} : { bare: middle("bare"), bareInProcess: ratio("inProcess", "bare") }),
    ...(targets === undefined ? {} : { targets }),
    serverCpuMicros: Math.round((1e6 * used.server) / signatures),
    boundaryCpuMicros: Math.round((1e6 * used.boundary) / signatures),
  };
}

export const pkcs11Header = (): string =>
  "operation  load          casemate/s  p50/p99 µs     softhsm/s  p11-kit+softhsm/s  ÷ in process     ÷ p11-kit server   CPU µs application+server+boundary";

export function formatPkcs11Row(row: Pkcs11Row): string {
  const judged = (ratio: number, target: number | undefined): string =>
    `${ratio.toFixed(2)}${target === undefined ? "" : ` (≥ ${target.toFixed(2)} ${ratio >= target ? "✓" : "✗"})`}`;
  return [
    row.operation.padEnd(10),
    row.load.padEnd(13),
    String(row.casemate.perSecond).padStart(10),
    `${row.casemate.p50Us}/${row.casemate.p99Us}`.padStart(12),
    String(row.inProcess.perSecond).padStart(12),
    String(row.served.perSecond).padStart(18),
    judged(row.ratioInProcess, row.targets?.inProcess).padStart(17),
    judged(row.ratioServed, row.targets?.served).padStart(17),
    `${row.casemate.cpuUs}+${row.serverCpuMicros}+${row.boundaryCpuMicros}`.padStart(15),
    ...(row.bareInProcess === undefined ? [] : [`  a bare server: ${row.bareInProcess.toFixed(2)} in process`]),
  ].join(" ");
}
