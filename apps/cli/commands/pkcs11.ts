import { existsSync } from "node:fs";
import { connect } from "node:net";
import type { Command } from "commander";
import { EXIT } from "../failure.ts";
import { printable } from "../printable.ts";
import type { Session } from "../session.ts";

/** One word for a POSIX shell. */
function quoted(text: string): string {
  return /^[\w@%+=:,./|-]+$/.test(text) && !text.includes("|") ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** A path within p11-kit's `unix:path=`, percent-encoded. */
function encodedPath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

interface EnvOptions {
  readonly moduleFile?: boolean;
  readonly direct?: boolean;
  readonly remote?: string;
}

async function showEnv(options: EnvOptions, session: Session): Promise<void> {
  const { installedClient } = await import("../pkcs11/client-version.ts");
  const { bridgeAddress, checkEnvOptions } = await import("../pkcs11/bridge-command.ts");
  checkEnvOptions(options);
  const client = installedClient();
  const address =
    options.direct === true ? `unix:path=${encodedPath(session.paths.pkcs11)}` : bridgeAddress(session, options);
  if (options.moduleFile === true) {
    session.out.answer({ remote: address }, () => {
      session.out.line(
        "# p11-kit module file: put it into /etc/pkcs11/modules or ~/.config/pkcs11/modules as casemate.module",
      );
      session.out.line(`remote: ${address}`);
    });
    return;
  }
  const module = client.module ?? "p11-kit-client.so";
  session.out.answer({ P11_KIT_SERVER_ADDRESS: address, module }, () => {
    session.out.line(`export P11_KIT_SERVER_ADDRESS=${quoted(address)}`);
    session.out.line(`export CASEMATE_PKCS11_MODULE=${quoted(module)}`);
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once("error", () => resolve(false));
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
  });
}

async function doctor(module: string | undefined, session: Session): Promise<void> {
  const { installedClient } = await import("../pkcs11/client-version.ts");
  const { idleProcessors, LATENCY_FILE } = await import("@casemate/foundation/processors");
  const { MECHANISMS } = await import("@casemate/interfaces/pkcs11");
  const client = installedClient(module);
  const { pkcs11: socket } = session.paths;
  const listening = existsSync(socket) && (await answers(socket));
  const { trySessionKeys } = await import("../pkcs11/session-keys.ts");
  const sessionKeys = await trySessionKeys();
  const processors = idleProcessors();
  const processorsHeld = processors.hold();
  processors.release();
  const { row } = client;
  const rows = [...MECHANISMS.values()];
  const hidden =
    row === undefined ? [] : rows.filter((mechanism) => !row.carries(mechanism.type)).map(({ name }) => `CKM_${name}`);
  const finding = {
    socket,
    listening,
    module: client.module,
    version: client.version,
    rpcVersion: row?.rpc,
    carried: row === undefined ? undefined : rows.length - hidden.length,
    hidden,
    sessionKeys,
    processorsHeld,
  };
  session.out.answer(finding, () => {
    session.out.line(`server     ${listening ? "answers" : "does not answer"} at ${socket}`);
    if (!listening) session.out.line("           Start it with `casemate up`.");
    session.out.line(
      `module     ${client.module ?? "p11-kit-client.so was not found; install p11-kit-modules (Debian) or p11-kit-server (Fedora)"}`,
    );
    session.out.line(
      `p11-kit    ${client.version ?? "version not found"}${row === undefined ? "" : `, speaks protocol version ${row.rpc}`}`,
    );
    const { holding, missing, problem } = sessionKeys;
    session.out.line(
      problem === undefined
        ? `session keys in a process of their own: ${holding} steps of its isolation hold${missing.length === 0 ? "" : "; these do not:"}`
        : `session keys cannot be made: ${problem}`,
    );
    for (const step of missing) session.out.line(`           ${step}`);
    session.out.line(
      processorsHeld
        ? "processors are held ready while applications sign in a loop"
        : `processors may stop between two calls: this account cannot write ${LATENCY_FILE} (docs/pkcs11.md, Speed)`,
    );
    if (row === undefined) return;
    session.out.line(`mechanisms ${finding.carried} of ${rows.length} reach applications; this client hides:`);
    for (const name of hidden) session.out.line(`           ${name}`);
    if (hidden.length > 0)
      session.out.line(
        "           They work over REST, the SDK and the command line; newer clients carry more (docs/pkcs11-matrix.md).",
      );
  });
  if (!listening || client.module === undefined || !sessionKeys.starts) process.exitCode = EXIT.refused;
}

interface BridgeOptions {
  readonly remote?: string;
}

async function bridge(options: BridgeOptions, session: Session): Promise<void> {
  const { Bridge } = await import("../pkcs11/bridge.ts");
  const { localFar, remoteFar } = await import("../pkcs11/far.ts");
  const far = options.remote === undefined ? localFar(session.paths.pkcs11) : remoteFar(session, options.remote);
  const complain = (why: string): void => {
    process.stderr.write(`casemate: the PKCS#11 bridge reaches no server: ${printable(why)}\n`);
  };
  await new Bridge({ input: process.stdin, output: process.stdout }, far, complain).run();
  // The client has gone; nothing is left to wait for.
  process.exit(0);
}

export function define(command: Command, session: Session): void {
  command
    .command("env")
    .description('print the environment that makes p11-kit\'s client use this server: eval "$(casemate pkcs11 env)"')
    .option("--direct", "connect to the socket without the bridge: faster, but a server restart kills applications")
    .option("--module-file", "print a p11-kit module file instead")
    .option("--remote <host:port>", "a server elsewhere, by TLS; needs --token-file, and --ca-file for its certificate")
    .action((options: EnvOptions) => showEnv(options, session));
  command
    .command("bridge")
    .description("carry p11-kit's protocol between standard input and output and a server; p11-kit starts it")
    .option("--remote <host:port>", "a server elsewhere, by TLS; needs --token-file, and --ca-file for its certificate")
    .action((options: BridgeOptions) => bridge(options, session));
  command
    .command("doctor")
    .description(
      "whether applications can connect, what holds session keys, and which mechanisms the installed p11-kit hides",
    )
    .option("--module <file>", "p11-kit-client.so to look at (default: the one that is installed)")
    .action((options: { readonly module?: string }) => doctor(options.module, session));
}
