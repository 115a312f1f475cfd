import { createReadStream } from "node:fs";
import { CasemateError } from "@casemate/foundation/errors";
import type { CipherScheme } from "@casemate/sdk";
import type { Command } from "commander";
import { isEnvelope, open, type Source } from "../envelope.ts";
import { shown } from "../failure.ts";
import { collected, readInput, startOf, toFile, toldOf, writeOutput, writePieces } from "../files.ts";
import { given, whole } from "../parse.ts";
import { decryptSchemeOption } from "../schemes.ts";
import type { Session } from "../session.ts";

interface DecryptOptions {
  readonly in?: string;
  readonly out?: string;
  readonly context?: string;
  readonly scheme?: CipherScheme;
  readonly version?: number;
  readonly raw?: boolean;
}

const START_BYTES = 64;

function notItsEnvelope(key: string, cause: unknown): CasemateError {
  const message = `the data key of this envelope is not one that ${key} wrapped under that context, or was changed`;
  return new CasemateError("DECRYPT_FAILED", message, {
    hint: "Name the key that encrypted it, and the --context that was given then.",
    cause,
  });
}

/** What `encrypt` made of a large file: the device unwraps its data key, the rest is decrypted here. */
async function decryptEnvelope(session: Session, key: string, source: Source, options: DecryptOptions): Promise<void> {
  const client = await session.client();
  const context = options.context === undefined ? undefined : new TextEncoder().encode(options.context);
  let used = {};
  const unwrap = async (wrapped: Uint8Array): Promise<Uint8Array> => {
    try {
      const { plaintext, ...rest } = await client.decrypt(key, given({ data: wrapped, context }));
      used = rest;
      session.out.warnings(rest.warnings);
      return plaintext;
    } catch (error) {
      throw shown(error).code === "DECRYPT_FAILED" ? notItsEnvelope(key, error) : error;
    }
  };
  const pieces = open(source, unwrap);
  session.out.progress("decrypting …");
  if (session.out.json && !toFile(options.out)) {
    const plaintext = await collected(pieces);
    session.out.answer({ key, ...used, envelope: true, plaintext }, () => {});
    return;
  }
  await writePieces(options.out, pieces, 0o600);
  session.out.progress("");
  if (!toFile(options.out)) return;
  session.out.answer({ key, ...used, envelope: true, out: options.out }, () =>
    session.out.line(`Decrypted by a data key of ${key}: ${options.out}.`),
  );
}

export function define(command: Command, session: Session): void {
  command
    .argument("<key>", "name of the key")
    .option("--in <file>", "ciphertext (default: standard input)")
    .option("--out <file>", "plaintext, written with mode 0600 (default: standard output)")
    .option("--context <text>", "the context given to encrypt")
    .addOption(decryptSchemeOption())
    .option("--version <number>", "key version, for a --raw ciphertext", whole("--version", 1, 1_000_000))
    .option("--raw", "the ciphertext was made elsewhere and carries no key version")
    .action(async (key: string, options: DecryptOptions) => {
      const start = startOf(options.in, START_BYTES);
      if (options.in !== undefined && start !== undefined && isEnvelope(start)) {
        await decryptEnvelope(session, key, createReadStream(options.in), options);
        return;
      }
      const data = await readInput(options.in);
      if (isEnvelope(data)) {
        await decryptEnvelope(session, key, [data], options);
        return;
      }
      const client = await session.client();
      const { scheme, version, raw } = options;
      const context = options.context === undefined ? undefined : new TextEncoder().encode(options.context);
      const answer = await client.decrypt(key, given({ data, context, scheme, version, raw }));
      const bytes = answer.plaintext;
      session.out.warnings(answer.warnings);
      if (session.out.json) {
        writeOutput(session, options.out, bytes, 0o600);
        session.out.answer({ key, ...toldOf(answer, ["plaintext"], options.out) }, () => {});
      } else {
        writeOutput(session, options.out, bytes, 0o600);
        if (toFile(options.out)) session.out.line(`Decrypted by ${key}: ${options.out}.`);
      }
    });
}
