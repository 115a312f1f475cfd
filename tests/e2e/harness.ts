/** Starts real servers and runs the real program, each in directories and on ports of its own. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const REPOSITORY: string = join(import.meta.dirname, "../..");
const PROGRAM = join(REPOSITORY, "apps/cli/bin/casemate.mjs");
/** Of the repository and not of the account: tests leave nothing in a home directory. */
const COMPILED = join(REPOSITORY, "node_modules/.cache/compile");
const READY_MS = 30_000;
const STOP_MS = 15_000;

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly bytes: Buffer;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** The environment without anything of the caller's own Casemate. */
export function environment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("CASEMATE_") && name !== "NODE_OPTIONS");
  return {
    ...(Object.fromEntries(kept) as Record<string, string>),
    NO_COLOR: "1",
    NODE_COMPILE_CACHE: COMPILED,
    ...more,
  };
}

function collect(child: ChildProcess, input: string | Uint8Array | undefined): Promise<Ran> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on("data", (part: Buffer) => out.push(part));
  child.stderr?.on("data", (part: Buffer) => err.push(part));
  child.stdin?.on("error", () => {});
  child.stdin?.end(input);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => {
      const bytes = Buffer.concat(out);
      resolve({ status, stdout: bytes.toString("utf8"), stderr: Buffer.concat(err).toString("utf8"), bytes });
    });
  });
}

export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = spawn(command, args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: environment(options.env),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  return collect(child, options.input);
}

/** One run of the program under this process's Node. */
export function casemate(data: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return run(process.execPath, [PROGRAM, ...args], {
    ...options,
    env: { CASEMATE_DATA: data, XDG_CONFIG_HOME: `${data}.config`, ...options.env },
  });
}

export interface Announced {
  readonly url: string;
  readonly socket?: string;
  readonly dataDirectory: string;
  readonly readyMs: number;
  readonly firstRun: boolean;
  readonly remarks: readonly string[];
  readonly alarm?: string;
  readonly devices: readonly { readonly id: string; readonly kind: string; readonly state: string }[];
}

export interface RunningServer {
  readonly announced: Announced;
  readonly pid: number;
  readonly firstOutputMs: number;
  readonly readyMs: number;
  readonly stderr: () => string;
  /** Ends the server by a signal and resolves with its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** The program as a command line; with a limit of descriptors it is the shell that sets it, for itself and what it becomes. */
function commandLine(args: readonly string[], descriptors: number | undefined): readonly [string, string[]] {
  const words = [PROGRAM, ...args];
  if (descriptors === undefined) return [process.execPath, words];
  return ["sh", ["-c", `ulimit -n ${descriptors}; exec "$@"`, "sh", process.execPath, ...words]];
}

/**
 * Starts `casemate up --json` on a free port, with so many descriptors at most. Rejects with what it printed when it does not get ready.
 */
export async function startServer(
  data: string,
  args: readonly string[] = [],
  descriptors?: number,
): Promise<RunningServer> {
  const begun = performance.now();
  const [command, words] = commandLine(["up", "--json", "--listen", "127.0.0.1:0", ...args], descriptors);
  const child = spawn(command, words, {
    stdio: ["ignore", "pipe", "pipe"],
    env: environment({ CASEMATE_DATA: data }),
  });
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  let stdout = "";
  let stderr = "";
  let firstOutputMs = 0;
  const seen = (): void => {
    firstOutputMs ||= performance.now() - begun;
  };
  child.stderr.on("data", (part: Buffer) => {
    seen();
    stderr += part.toString("utf8");
  });
  const announced = await new Promise<Announced>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`the server was not ready within ${READY_MS} ms:\n${stdout}${stderr}`));
    }, READY_MS);
    child.stdout.on("data", (part: Buffer) => {
      seen();
      stdout += part.toString("utf8");
      const line = stdout.split("\n").find((text) => text.startsWith('{"url"'));
      if (line === undefined || !stdout.endsWith("\n")) return;
      clearTimeout(timer);
      resolve(JSON.parse(line) as Announced);
    });
    void exited.then((code) => {
      clearTimeout(timer);
      reject(new Error(`the server ended with ${code}:\n${stdout}${stderr}`));
    });
  });
  return {
    announced,
    pid: child.pid ?? 0,
    firstOutputMs,
    readyMs: performance.now() - begun,
    stderr: () => stderr,
    stop(signal = "SIGTERM") {
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      child.kill(signal);
      return exited.finally(() => clearTimeout(timer));
    },
  };
}

/** A new empty directory, taken away by `using`. */
export function temporary(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "casemate-e2e-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
