import type { SignScheme } from "@casemate/sdk";
import type { Command } from "commander";
import { toFile, toldOf, writeOutput } from "../files.ts";
import { given, whole } from "../parse.ts";
import { signSchemeOption } from "../schemes.ts";
import type { Session } from "../session.ts";
import { signingInput } from "../signing-input.ts";

interface SignOptions {
  readonly in?: string;
  readonly digest?: boolean;
  readonly scheme?: SignScheme;
  readonly version?: number;
  readonly out?: string;
}

export function define(command: Command, session: Session): void {
  command
    .argument("<key>", "name of the key")
    .option("--in <file>", "what to sign (default: standard input)")
    .option("--digest", "the input is the digest (raw bytes) of what is to be signed")
    .addOption(signSchemeOption())
    .option("--version <number>", "key version (default: the primary)", whole("--version", 1, 1_000_000))
    .option("--out <file>", "signature, in the algorithm's own encoding: DER for ECDSA (default: standard output)")
    .action(async (key: string, options: SignOptions) => {
      const client = await session.client();
      const prepared = await signingInput(client, key, options);
      const body = given({ version: options.version, ...prepared });
      const answer = await client.sign(key, body);
      const bytes = answer.signature;
      session.out.warnings(answer.warnings);
      if (session.out.json) {
        writeOutput(session, options.out, bytes);
        session.out.answer({ key, ...toldOf(answer, ["signature"], options.out) }, () => {});
        return;
      }
      if (options.out === undefined && process.stdout.isTTY) {
        session.out.line(bytes.toBase64());
        return;
      }
      writeOutput(session, options.out, bytes);
      if (toFile(options.out)) {
        const { version, scheme } = answer;
        session.out.line(`Signed with ${key} version ${version} (${scheme}): ${bytes.length} bytes in ${options.out}.`);
      }
    });
}
