/** SoftHSM 2 with a token of its own, and the C loop that signs with it. */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so";
export const TOKEN = "bench";
export const PIN = "123456";

export function must(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", env: { ...process.env, ...env } });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** Runs the loop in a process of its own; resolves with its one line. */
function output(command: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    let text = "";
    let errors = "";
    child.stdout.on("data", (part: Buffer) => (text += part.toString("utf8")));
    child.stderr.on("data", (part: Buffer) => (errors += part.toString("utf8")));
    child.once("close", (status) => (status === 0 ? resolve(text) : reject(new Error(`${command}: ${errors}`))));
  });
}

export interface Token {
  readonly pinFile: string;
  readonly env: Readonly<Record<string, string>>;
}

export function softhsmToken(folder: string): Token {
  const tokens = join(folder, "tokens");
  mkdirSync(tokens);
  const conf = join(folder, "softhsm2.conf");
  writeFileSync(conf, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  const pinFile = join(folder, "softhsm.pin");
  writeFileSync(pinFile, `${PIN}\n`);
  const env = { SOFTHSM2_CONF: conf };
  must("softhsm2-util", ["--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", PIN], env);
  return { pinFile, env };
}

/** Compiles the loop into `folder`; its path. */
export function compileLoop(folder: string): string {
  const program = join(folder, "pkcs11");
  must("cc", ["-O2", "-o", program, join(import.meta.dirname, "raw/pkcs11.c"), "-ldl", "-lpthread"]);
  return program;
}

/** Compiles the least server behind p11-kit's client into `folder`; its path. */
export function compileBareServer(folder: string): string {
  const program = join(folder, "p11-server");
  must("cc", ["-O2", "-o", program, join(import.meta.dirname, "raw/p11-server.c"), "-l:libcrypto.so.3"]);
  return program;
}

export interface Measured {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

export interface LoopMeasured extends Measured {
  /** CPU that the application itself spends on one signature, its module included. */
  readonly cpuUs: number;
}

/** Signs with the loop: `words` are its arguments up to the mechanism. */
export async function loop(
  program: string,
  words: readonly string[],
  shape: { readonly processes: number; readonly threads: number; readonly warmUp: number; readonly seconds: number },
  env: Readonly<Record<string, string>>,
): Promise<LoopMeasured> {
  const numbers = [shape.processes, shape.threads, shape.warmUp, shape.seconds].map(String);
  const text = await output(program, ["sign", ...words, ...numbers], env);
  const { operations, p50Us, p99Us, cpuUs } = JSON.parse(text) as Record<
    "operations" | "p50Us" | "p99Us" | "cpuUs",
    number
  >;
  return { perSecond: operations / shape.seconds, p50Us, p99Us, cpuUs };
}
