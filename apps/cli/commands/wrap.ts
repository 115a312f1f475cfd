import type { WrapScheme } from "@casemate/sdk";
import type { Command } from "commander";
import { toFile, toldOf, writeOutput } from "../files.ts";
import { given, whole } from "../parse.ts";
import { wrapSchemeOption } from "../schemes.ts";
import type { Session } from "../session.ts";

interface WrapOptions {
  readonly wrappingKey: string;
  readonly scheme: WrapScheme;
  readonly version?: number;
  readonly out?: string;
}

export function define(command: Command, session: Session): void {
  command
    .argument("<key>", "name of a key that was created exportable")
    .requiredOption("--wrapping-key <key>", "key of the same device to wrap it under")
    .addOption(wrapSchemeOption())
    .option("--version <number>", "key version (default: the primary)", whole("--version", 1, 1_000_000))
    .option("--out <file>", "wrapped key (default: standard output)")
    .action(async (key: string, options: WrapOptions) => {
      const client = await session.client();
      const { wrappingKey, scheme, version } = options;
      const answer = await client.wrapKey(key, given({ wrappingKey, scheme, version }));
      const bytes = answer.wrapped;
      session.out.warnings(answer.warnings);
      if (session.out.json) {
        writeOutput(session, options.out, bytes, 0o600);
        session.out.answer({ key, wrappingKey, scheme, ...toldOf(answer, ["wrapped"], options.out) }, () => {});
      } else if (options.out === undefined && process.stdout.isTTY) {
        session.out.line(bytes.toBase64());
      } else {
        writeOutput(session, options.out, bytes, 0o600);
        if (toFile(options.out))
          session.out.line(`Wrapped under ${wrappingKey} (${scheme}): ${key} in ${options.out}.`);
      }
    });
}
