import type { SignScheme } from "@casemate/sdk";
import type { Command } from "commander";
import { EXIT } from "../failure.ts";
import { contentOf } from "../files.ts";
import { given, whole } from "../parse.ts";
import { verifySchemeOption } from "../schemes.ts";
import type { Session } from "../session.ts";
import { signingInput } from "../signing-input.ts";

interface VerifyOptions {
  readonly in?: string;
  readonly signature: string;
  readonly digest?: boolean;
  readonly scheme?: SignScheme;
  readonly version?: number;
}

export function define(command: Command, session: Session): void {
  command
    .argument("<key>", "name of the key")
    .option("--in <file>", "what was signed (default: standard input)")
    .requiredOption("--signature <file>", "the signature, in the algorithm's own encoding")
    .option("--digest", "the input is the digest (raw bytes) of what was signed")
    .addOption(verifySchemeOption())
    .option("--version <number>", "key version (default: the primary)", whole("--version", 1, 1_000_000))
    .action(async (key: string, options: VerifyOptions) => {
      const signature = contentOf(options.signature);
      const client = await session.client();
      const prepared = await signingInput(client, key, options);
      const body = given({ version: options.version, ...prepared, signature });
      const answer = await client.verify(key, body);
      session.out.warnings(answer.warnings);
      session.out.answer({ key, ...answer }, () =>
        session.out.line(
          answer.valid
            ? { style: "green", text: `Signature ok: ${key} version ${answer.version} (${answer.scheme}).` }
            : { style: "red", text: `Signature NOT valid for ${key} (${answer.scheme}).` },
        ),
      );
      if (!answer.valid) process.exitCode = EXIT.refused;
    });
}
