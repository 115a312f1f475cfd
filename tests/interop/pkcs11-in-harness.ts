/** A running server and the environment in which Debian's unmodified programs find it through p11-kit's client. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { environment, run, startServer, temporary, type Ran, type RunningServer } from "../e2e/harness.ts";

export const MODULE = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so";
export const ENGINE = "/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so";
export const PIN = "1234567";

/** The name of the first thing that is not installed, as the reason to skip; undefined when all are there. */
export function missing(...needed: readonly string[]): string | undefined {
  for (const name of [MODULE, ...needed]) {
    const there = name.startsWith("/")
      ? existsSync(name)
      : spawnSync("which", [name], { stdio: "ignore" }).status === 0;
    if (!there) return `${name} is not installed`;
  }
  return undefined;
}

export interface Desk extends AsyncDisposable {
  readonly server: RunningServer;
  readonly data: string;
  /** For files of the test. */
  readonly work: string;
  readonly token: string;
  readonly env: Readonly<Record<string, string>>;
  run(
    command: string,
    args: readonly string[],
    options?: { readonly input?: string; readonly env?: Record<string, string> },
  ): Promise<Ran>;
  /** Runs pkcs11-tool with the module, logged in by the PIN. */
  tool(...args: readonly string[]): Promise<Ran>;
  file(name: string): string;
  write(name: string, content: string | Uint8Array): string;
}

/** Starts a server whose whole-keyring token has the PIN. */
export async function desk(): Promise<Desk> {
  const directory = temporary();
  const data = join(directory.path, "data");
  const work = join(directory.path, "work");
  mkdirSync(work, { recursive: true });
  const server = await startServer(data);
  const token = readFileSync(join(data, "admin.token"), "utf8").trim();
  const env = {
    P11_KIT_SERVER_ADDRESS: `unix:path=${join(data, "pkcs11.sock")}`,
    HOME: work,
    OPENSSL_CONF: join(work, "openssl.cnf"),
  };
  writeFileSync(
    env.OPENSSL_CONF,
    `openssl_conf = init
[init]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
engine_id = pkcs11
dynamic_path = ${ENGINE}
MODULE_PATH = ${MODULE}
init = 0
[req]
distinguished_name = name
[name]
`,
  );
  const here: Desk = {
    server,
    data,
    work,
    token,
    env,
    run: (command, args, options = {}) =>
      run(command, args, {
        cwd: work,
        env: { ...env, ...options.env },
        ...(options.input === undefined ? {} : { input: options.input }),
      }),
    tool: (...args) => here.run("pkcs11-tool", ["--module", MODULE, "--login", "--pin", PIN, ...args]),
    file: (name) => join(work, name),
    write(name, content) {
      writeFileSync(join(work, name), content);
      return join(work, name);
    },
    async [Symbol.asyncDispose]() {
      await server.stop();
      directory[Symbol.dispose]();
    },
  };
  const set = await here.run("pkcs11-tool", [
    "--module",
    MODULE,
    "--login",
    "--login-type",
    "so",
    "--so-pin",
    token,
    "--init-pin",
    "--new-pin",
    PIN,
  ]);
  if (set.status !== 0) throw new Error(`the PIN could not be set: ${set.stderr}`);
  return here;
}

/** A PKCS#11 URI of a key on the whole-keyring token, with its PIN. */
export function keyUri(label: string): string {
  return `pkcs11:token=casemate;object=${label};type=private;pin-value=${PIN}`;
}

export { environment };
