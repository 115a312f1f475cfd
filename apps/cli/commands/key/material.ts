import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { readInput, writeOutput } from "../../files.ts";
import { given, whole } from "../../parse.ts";
import { derOf } from "../../pem.ts";
import type { Session } from "../../session.ts";

interface VersionOption {
  readonly version?: number;
}

const version = whole("--version", 1, 1_000_000);

function path(name: string, verb: string): string {
  return `/v1/keys/${encodeURIComponent(name)}/${verb}`;
}

/** A secret goes to a file of mode 0600, or as hexadecimal to standard output when that was asked for by naming no file. */
function hand(session: Session, answer: object, secret: string, out: string | undefined): void {
  const bytes = Uint8Array.fromBase64(secret);
  if (out !== undefined) writeOutput(session, out, bytes, 0o600);
  session.out.answer(answer, () => {
    if (out === undefined) session.out.line(bytes.toHex());
  });
}

function defineAgree(command: Command, session: Session): void {
  command
    .command("agree <name>")
    .description("a shared secret with a peer's public key (ECDH, X25519, X448)")
    .requiredOption("--peer <file>", "the peer's public key, PEM or DER")
    .option("--version <number>", "key version (default: the primary)", version)
    .option("--out <file>", "raw secret, written with mode 0600 (default: hexadecimal on standard output)")
    .action(async (name: string, options: VersionOption & { readonly peer: string; readonly out?: string }) => {
      const peer = derOf(readFileSync(options.peer));
      const api = await session.api();
      const answer = await api.post<{ readonly secret: string }>(
        path(name, "agree"),
        given({ peer, version: options.version }),
      );
      hand(session, { name, ...answer }, answer.secret, options.out);
    });
}

function defineKem(command: Command, session: Session): void {
  command
    .command("encapsulate <name>")
    .description("a shared secret and its ciphertext (ML-KEM)")
    .requiredOption("--ciphertext <file>", "file for the ciphertext")
    .option("--version <number>", "key version (default: the primary)", version)
    .option("--out <file>", "raw secret, written with mode 0600 (default: hexadecimal on standard output)")
    .action(async (name: string, options: VersionOption & { readonly ciphertext: string; readonly out?: string }) => {
      const api = await session.api();
      const answer = await api.post<{ readonly ciphertext: string; readonly sharedSecret: string }>(
        path(name, "encapsulate"),
        given({ version: options.version }),
      );
      writeOutput(session, options.ciphertext, Uint8Array.fromBase64(answer.ciphertext));
      hand(session, { name, ...answer }, answer.sharedSecret, options.out);
    });
  command
    .command("decapsulate <name>")
    .description("the shared secret in a ciphertext (ML-KEM)")
    .option("--in <file>", "ciphertext (default: standard input)")
    .option("--version <number>", "key version (default: the primary)", version)
    .option("--out <file>", "raw secret, written with mode 0600 (default: hexadecimal on standard output)")
    .action(async (name: string, options: VersionOption & { readonly in?: string; readonly out?: string }) => {
      const ciphertext = await readInput(options.in);
      const api = await session.api();
      const answer = await api.post<{ readonly sharedSecret: string }>(
        path(name, "decapsulate"),
        given({ ciphertext, version: options.version }),
      );
      hand(session, { name, ...answer }, answer.sharedSecret, options.out);
    });
}

interface DataKeysOptions {
  readonly count: number;
  readonly bytes: number;
  readonly plaintext?: boolean;
  readonly context?: string;
}

interface DataKeys {
  readonly version: number;
  readonly keys: readonly { readonly wrapped: string; readonly plaintext?: string }[];
}

function defineDataKeys(command: Command, session: Session): void {
  command
    .command("data-keys <name>")
    .description("fresh data keys for envelope encryption, wrapped under an AES key")
    .option("--count <number>", "how many", whole("--count", 1, 1000), 1)
    .option("--bytes <length>", "16, 24, 32 or 64", whole("--bytes", 16, 64), 32)
    .option("--plaintext", "give the plaintext too")
    .option("--context <text>", "bound in, and needed again to decrypt")
    .action(async (name: string, options: DataKeysOptions) => {
      const api = await session.api();
      const { count, bytes, plaintext } = options;
      const context = options.context === undefined ? undefined : new TextEncoder().encode(options.context);
      const answer = await api.post<DataKeys>(path(name, "data-keys"), given({ count, bytes, plaintext, context }));
      session.out.answer(answer, () => {
        for (const key of answer.keys) {
          session.out.line(key.plaintext === undefined ? key.wrapped : `${key.wrapped} ${key.plaintext}`);
        }
      });
    });
}

export function defineKeyMaterial(command: Command, session: Session): void {
  defineAgree(command, session);
  defineKem(command, session);
  defineDataKeys(command, session);
}
