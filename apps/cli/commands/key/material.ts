import type { Command } from "commander";
import { DATA_KEY_BYTES, type DataKeyBytes } from "@casemate/devices/contract";
import { ChoiceOption } from "../../choices.ts";
import { usage } from "../../failure.ts";
import { contentOf, readInput, toldOf, writeOutput } from "../../files.ts";
import { given, whole } from "../../parse.ts";
import { derOf } from "../../pem.ts";
import type { Session } from "../../session.ts";

interface VersionOption {
  readonly version?: number;
}

interface DecapsulateOptions extends VersionOption {
  readonly in?: string;
  readonly ciphertext?: string;
  readonly out?: string;
}

const version = whole("--version", 1, 1_000_000);

/** A secret goes to a file of mode 0600, or as hexadecimal to standard output when that was asked for by naming no file. */
function hand(
  session: Session,
  key: string,
  answer: { readonly sharedSecret: Uint8Array },
  out: string | undefined,
): void {
  const bytes = answer.sharedSecret;
  if (out !== undefined) writeOutput(session, out, bytes, 0o600);
  session.out.answer({ key, ...toldOf(answer, ["sharedSecret"], out) }, () => {
    if (out === undefined) session.out.line(bytes.toHex());
  });
}

function defineAgree(command: Command, session: Session): void {
  command
    .command("agree")
    .argument("<key>", "name of the key")
    .description("a shared secret with a peer's public key (ECDH, X25519, X448)")
    .requiredOption("--peer <file>", "the peer's public key, PEM or DER")
    .option("--version <number>", "key version (default: the primary)", version)
    .option("--out <file>", "raw secret, written with mode 0600 (default: hexadecimal on standard output)")
    .action(async (name: string, options: VersionOption & { readonly peer: string; readonly out?: string }) => {
      const peer = derOf(contentOf(options.peer));
      const client = await session.client();
      const { secret: sharedSecret, ...answer } = await client.agree(name, given({ peer, version: options.version }));
      hand(session, name, { ...answer, sharedSecret }, options.out);
    });
}

function defineKem(command: Command, session: Session): void {
  command
    .command("encapsulate")
    .argument("<key>", "name of the key")
    .description("a shared secret and its ciphertext (ML-KEM)")
    .requiredOption("--ciphertext <file>", "file for the ciphertext")
    .option("--version <number>", "key version (default: the primary)", version)
    .option("--out <file>", "raw secret, written with mode 0600 (default: hexadecimal on standard output)")
    .action(async (name: string, options: VersionOption & { readonly ciphertext: string; readonly out?: string }) => {
      const client = await session.client();
      const answer = await client.encapsulate(name, given({ version: options.version }));
      writeOutput(session, options.ciphertext, answer.ciphertext);
      hand(session, name, answer, options.out);
    });
  command
    .command("decapsulate")
    .argument("<key>", "name of the key")
    .description("the shared secret in a ciphertext (ML-KEM)")
    .option("--in <file>", "ciphertext (default: standard input)")
    .option("--ciphertext <file>", "the same as --in, as encapsulate calls it")
    .option("--version <number>", "key version (default: the primary)", version)
    .option("--out <file>", "raw secret, written with mode 0600 (default: hexadecimal on standard output)")
    .action(async (name: string, options: DecapsulateOptions) => {
      if (options.in !== undefined && options.ciphertext !== undefined)
        throw usage("--in and --ciphertext name the same: one file, not two", "Give one of them.");
      const ciphertext = await readInput(options.in ?? options.ciphertext);
      const client = await session.client();
      const answer = await client.decapsulate(name, given({ ciphertext, version: options.version }));
      hand(session, name, answer, options.out);
    });
}

interface DataKeysOptions {
  readonly count: number;
  readonly bytes: `${DataKeyBytes}`;
  readonly plaintext?: boolean;
  readonly context?: string;
}

function defineDataKeys(command: Command, session: Session): void {
  command
    .command("data-keys")
    .argument("<key>", "name of the key")
    .description("fresh data keys for envelope encryption, wrapped under an AES key")
    .option("--count <number>", "how many, 1 to 1000", whole("--count", 1, 1000), 1)
    .addOption(new ChoiceOption("--bytes <length>", "length of each", DATA_KEY_BYTES.map(String), { fallback: "32" }))
    .option("--plaintext", "give the plaintext too")
    .option("--context <text>", "bound in, and needed again to decrypt")
    .action(async (name: string, options: DataKeysOptions) => {
      const client = await session.client();
      const { count, plaintext } = options;
      const bytes = Number(options.bytes) as DataKeyBytes;
      const context = options.context === undefined ? undefined : new TextEncoder().encode(options.context);
      const answer = await client.createDataKeys(name, given({ count, bytes, plaintext, context }));
      session.out.warnings(answer.warnings);
      session.out.answer({ key: name, ...answer }, () => {
        for (const key of answer.keys) {
          const parts = [key.wrapped, ...(key.plaintext === undefined ? [] : [key.plaintext])];
          session.out.line(parts.map((part) => part.toBase64()).join(" "));
        }
      });
    });
}

export function defineKeyMaterial(command: Command, session: Session): void {
  defineAgree(command, session);
  defineKem(command, session);
  defineDataKeys(command, session);
}
