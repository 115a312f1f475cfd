import type { CipherScheme } from "@casemate/sdk";
import type { Command } from "commander";
import { readInput, writeOutput } from "../files.ts";
import { given, whole } from "../parse.ts";
import type { Session } from "../session.ts";

interface EncryptOptions {
  readonly in?: string;
  readonly out?: string;
  readonly context?: string;
  readonly scheme?: CipherScheme;
  readonly version?: number;
}

export function define(command: Command, session: Session): void {
  command
    .argument("<key>", "name of the key")
    .option("--in <file>", "plaintext (default: standard input)")
    .option("--out <file>", "ciphertext (default: standard output)")
    .option("--context <text>", "bound in and needed again to decrypt: associated data, or the label of OAEP")
    .option("--scheme <name>", "aes-gcm, rsa-oaep-sha256, … (default: the key's own)")
    .option("--version <number>", "key version (default: the primary)", whole("--version", 1, 1_000_000))
    .action(async (key: string, options: EncryptOptions) => {
      const data = await readInput(options.in);
      const client = await session.client();
      const { scheme, version } = options;
      const context = options.context === undefined ? undefined : new TextEncoder().encode(options.context);
      const answer = await client.encrypt(key, given({ data, context, scheme, version }));
      const bytes = answer.ciphertext;
      for (const warning of answer.warnings) session.out.note(`Note: ${warning}`);
      if (session.out.json) {
        if (options.out !== undefined) writeOutput(session, options.out, bytes);
        session.out.answer({ key, ...answer }, () => {});
      } else if (options.out === undefined && process.stdout.isTTY) {
        session.out.line(bytes.toBase64());
      } else {
        writeOutput(session, options.out, bytes);
      }
    });
}
