import type { MacScheme } from "@casemate/sdk";
import type { Command } from "commander";
import { EXIT } from "../failure.ts";
import { contentOf, readInput, toldOf, writeOutput } from "../files.ts";
import { given, whole } from "../parse.ts";
import { macSchemeOption } from "../schemes.ts";
import type { Session } from "../session.ts";

interface MacOptions {
  readonly in?: string;
  readonly out?: string;
  readonly check?: string;
  readonly scheme?: MacScheme;
  readonly version?: number;
}

export function define(command: Command, session: Session): void {
  command
    .argument("<key>", "name of the key")
    .option("--in <file>", "message (default: standard input)")
    .option("--out <file>", "the code's raw bytes (default: hexadecimal on standard output)")
    .option("--check <file>", "check the code in this file (raw bytes) instead")
    .addOption(macSchemeOption())
    .option("--version <number>", "key version (default: the primary)", whole("--version", 1, 1_000_000))
    .action(async (key: string, options: MacOptions) => {
      const input = await readInput(options.in);
      const client = await session.client();
      const { scheme, version } = options;
      if (options.check !== undefined) {
        const body = given({ input, mac: contentOf(options.check), scheme, version });
        const answer = await client.macVerify(key, body);
        session.out.warnings(answer.warnings);
        session.out.answer({ key, ...answer }, () =>
          session.out.line(answer.valid ? `Code ok: ${key} (${answer.scheme}).` : `Code NOT valid for ${key}.`),
        );
        if (!answer.valid) process.exitCode = EXIT.refused;
        return;
      }
      const answer = await client.mac(key, given({ input, scheme, version }));
      const bytes = answer.mac;
      session.out.warnings(answer.warnings);
      if (options.out !== undefined) writeOutput(session, options.out, bytes);
      session.out.answer({ key, ...toldOf(answer, ["mac"], options.out) }, () => {
        if (options.out === undefined) session.out.line(bytes.toHex());
      });
    });
}
