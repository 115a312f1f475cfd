import type { Command } from "commander";
import { toldOf, writeOutput } from "../../files.ts";
import { given, whole } from "../../parse.ts";
import type { Session } from "../../session.ts";

interface PublicOptions {
  readonly version?: number;
  readonly out?: string;
  readonly der?: boolean;
}

export function defineKeyPublic(command: Command, session: Session): void {
  command
    .command("public")
    .description("the public key, as PEM (SubjectPublicKeyInfo)")
    .argument("<key>", "name of the key")
    .option("--version <number>", "key version (default: the primary)", whole("--version", 1, 1_000_000))
    .option("--der", "DER instead of PEM")
    .option("--out <file>", "file to write (default: standard output)")
    .action(async (name: string, options: PublicOptions) => {
      const client = await session.client();
      const answer = await client.getPublicKey(name, given({ version: options.version }));
      const bytes = options.der === true ? answer.publicKey : new TextEncoder().encode(answer.pem);
      writeOutput(session, options.out, bytes);
      if (session.out.json)
        session.out.answer({ name, ...toldOf(answer, ["publicKey", "pem"], options.out) }, () => {});
    });
}
