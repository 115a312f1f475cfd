import type { Command } from "commander";
import { writeOutput } from "../../files.ts";
import { whole } from "../../parse.ts";
import { pem } from "../../pem.ts";
import type { Session } from "../../session.ts";

interface PublicOptions {
  readonly version?: number;
  readonly out?: string;
  readonly der?: boolean;
}

interface PublicKey {
  readonly version: number;
  readonly publicKey: string;
  readonly algorithm: string;
}

export function defineKeyPublic(command: Command, session: Session): void {
  command
    .command("public <name>")
    .description("the public key, as PEM (SubjectPublicKeyInfo)")
    .option("--version <number>", "key version (default: the primary)", whole("--version", 1, 1_000_000))
    .option("--der", "DER instead of PEM")
    .option("--out <file>", "file to write (default: standard output)")
    .action(async (name: string, options: PublicOptions) => {
      const api = await session.api();
      const query = options.version === undefined ? {} : { version: options.version };
      const answer = await api.get<PublicKey>(`/v1/keys/${encodeURIComponent(name)}/public`, query);
      const der = Uint8Array.fromBase64(answer.publicKey);
      const text = pem("PUBLIC KEY", der);
      if (session.out.json) session.out.answer({ name, ...answer, pem: text }, () => {});
      else writeOutput(session, options.out, options.der === true ? der : new TextEncoder().encode(text));
    });
}
