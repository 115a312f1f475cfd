import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import {
  AUDIT_DURABILITIES,
  DEFAULT_AUDIT_DURABILITY,
  DEFAULT_LOG_LEVEL,
  LOG_LEVELS,
  ROOT_KINDS,
} from "@casemate/server/options";
import { ChoiceOption } from "../choices.ts";
import { dataDirectory } from "@casemate/server/data-directory";
import type { Session } from "../session.ts";

interface UpOptions {
  readonly listen?: string;
  readonly pkcs11Listen?: string;
  readonly pkcs11Audit?: string;
  readonly allowOrigin?: readonly string[];
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly log?: string;
  readonly logLevel?: string;
  readonly root?: string;
  readonly reseal?: boolean;
  readonly acceptOlderLog?: boolean;
}

/** The server's own process entry, started in place of this process. */
function serverArguments(session: Session, options: UpOptions): string[] {
  const flags: (readonly [string, string | undefined])[] = [
    ["--data", dataDirectory(session.options.data, session.env)],
    ["--listen", options.listen],
    ["--pkcs11-listen", options.pkcs11Listen],
    ["--pkcs11-audit", options.pkcs11Audit],
    ["--tls-cert", options.tlsCert],
    ["--tls-key", options.tlsKey],
    ["--log", options.log],
    ["--log-level", options.logLevel],
    ["--root", options.root],
  ];
  const set = flags.filter((flag): flag is readonly [string, string] => flag[1] !== undefined);
  const origins = (options.allowOrigin ?? []).flatMap((origin) => ["--allow-origin", origin]);
  return [
    ...set.flat(),
    ...origins,
    ...(options.reseal === true ? ["--reseal"] : []),
    ...(options.acceptOlderLog === true ? ["--accept-older-log"] : []),
    ...(session.out.json ? ["--json"] : []),
  ];
}

export function define(command: Command, session: Session): void {
  command
    .option("--listen <host:port>", "TCP address (default: localhost:8730); other than loopback needs TLS")
    .option("--pkcs11-listen <host:port>", "also serve `casemate pkcs11 bridge --remote` here, by TLS 1.3")
    .addOption(
      new ChoiceOption(
        "--pkcs11-audit <when>",
        "a use of a key through PKCS#11 is answered once its record is on the disk, or once it is written",
        AUDIT_DURABILITIES,
      ).default(undefined, DEFAULT_AUDIT_DURABILITY),
    )
    .option(
      "--allow-origin <origin>",
      "web pages of this origin, such as https://app.example, may call the REST interface; repeatable",
      (origin: string, before: readonly string[] | undefined) => [...(before ?? []), origin],
    )
    .option("--tls-cert <file>", "PEM certificate chain (default: a self-made one beyond loopback)")
    .option("--tls-key <file>", "PEM private key of the certificate")
    .option("--log <file>", "JSON log: a file, or - for standard error (default: server.log in the data directory)")
    .addOption(
      new ChoiceOption("--log-level <level>", "what is worth a line of the log, at least", LOG_LEVELS).default(
        undefined,
        DEFAULT_LOG_LEVEL,
      ),
    )
    .addOption(
      new ChoiceOption("--root <kind>", "first run only: what unlocks hsm-1", ROOT_KINDS).default(
        undefined,
        ROOT_KINDS[0],
      ),
    )
    .option("--reseal", "once, after the device with the storage key was zeroized: accept the records as they are")
    .option(
      "--accept-older-log",
      "once: accept a log that is older than what a device has witnessed, or an alarm of removed checkpoints",
    )
    .action((options: UpOptions) => {
      const entry = fileURLToPath(import.meta.resolve("@casemate/server/process"));
      const flags = [
        "--disable-warning=ExperimentalWarning",
        // Bodies of batches are external memory. By default each 64 MiB of it start a full collection, which under batches of a kilobyte an
        // item are ten a second for a heap of 25 MiB; counted with the heap, they start one where the heap's own limit is reached.
        "--external-memory-accounted-in-global-limit",
      ];
      const environment = { ...process.env };
      // One process, the server's own: signals, memory and the process id are then what they seem.
      process.execve?.(
        process.execPath,
        [process.execPath, ...flags, entry, ...serverArguments(session, options)],
        environment as Record<string, string>,
      );
    });
}
