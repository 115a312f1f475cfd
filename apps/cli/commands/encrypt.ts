import { createReadStream } from "node:fs";
import { CasemateError } from "@casemate/foundation/errors";
import type { CipherScheme } from "@casemate/sdk";
import type { Command } from "commander";
import { ENVELOPE_SCHEME, seal, type Source } from "../envelope.ts";
import { usage } from "../failure.ts";
import { collected, readInput, sizeOf, toFile, toldOf, writeOutput, writePieces } from "../files.ts";
import { given, whole } from "../parse.ts";
import { encryptSchemeOption } from "../schemes.ts";
import type { Session } from "../session.ts";

interface EncryptOptions {
  readonly in?: string;
  readonly out?: string;
  readonly context?: string;
  readonly scheme?: CipherScheme;
  readonly version?: number;
  readonly envelope?: boolean;
}

/** Larger files go under a data key of their own. */
const ENVELOPE_FROM_BYTES = 512 * 1024;

function contextOf(options: EncryptOptions): Uint8Array | undefined {
  return options.context === undefined ? undefined : new TextEncoder().encode(options.context);
}

interface Plaintext {
  /** As people read it. */
  readonly name: string;
  readonly source: Source;
}

/** A plaintext of any size: encrypted here under a fresh data key, of which only the wrapped form is kept. */
async function encryptEnvelope(
  session: Session,
  key: string,
  { name, source }: Plaintext,
  options: EncryptOptions,
): Promise<void> {
  if (options.scheme !== undefined || options.version !== undefined) {
    throw usage(
      `${name} is encrypted under a data key, which --scheme and --version say nothing about`,
      "Leave them out.",
    );
  }
  if (options.out === undefined && !session.out.json && process.stdout.isTTY)
    throw usage("name a file for the ciphertext with --out");
  const client = await session.client();
  const request = given({ count: 1, bytes: 32 as const, plaintext: true, context: contextOf(options) });
  const { version, warnings, keys } = await client.createDataKeys(key, request);
  session.out.warnings(warnings);
  const told = { key, version, scheme: ENVELOPE_SCHEME, warnings, envelope: true };
  const [made] = keys;
  if (made?.plaintext === undefined) throw new CasemateError("DEVICE_FAILED", "the device gave no data key");
  const { wrapped, plaintext } = made;
  try {
    session.out.progress(`encrypting ${name} …`);
    const pieces = seal(wrapped, plaintext, source);
    if (session.out.json && !toFile(options.out)) {
      const ciphertext = await collected(pieces);
      session.out.answer({ ...told, ciphertext }, () => {});
      return;
    }
    await writePieces(options.out, pieces, 0o644);
    session.out.progress("");
  } finally {
    plaintext.fill(0);
  }
  if (!toFile(options.out)) return;
  session.out.answer({ ...told, out: options.out }, () =>
    session.out.line(`Encrypted under a data key of ${key} version ${version}: ${options.out}.`),
  );
}

export function define(command: Command, session: Session): void {
  command
    .argument("<key>", "name of the key")
    .option("--in <file>", "plaintext (default: standard input)")
    .option("--out <file>", "ciphertext (default: standard output)")
    .option("--context <text>", "bound in and needed again to decrypt: associated data, or the label of OAEP")
    .addOption(encryptSchemeOption())
    .option("--version <number>", "key version (default: the primary)", whole("--version", 1, 1_000_000))
    .option("--envelope", "under a data key of its own, as more than 512 KiB always is (AES keys only)")
    .action(async (key: string, options: EncryptOptions) => {
      const size = sizeOf(options.in);
      if (options.in !== undefined && size !== undefined && (size > ENVELOPE_FROM_BYTES || options.envelope === true)) {
        await encryptEnvelope(session, key, { name: options.in, source: createReadStream(options.in) }, options);
        return;
      }
      const data = await readInput(options.in);
      if (data.length > ENVELOPE_FROM_BYTES || options.envelope === true) {
        await encryptEnvelope(session, key, { name: "standard input", source: [data] }, options);
        return;
      }
      const client = await session.client();
      const { scheme, version } = options;
      const context = contextOf(options);
      const answer = await client.encrypt(key, given({ data, context, scheme, version }));
      const bytes = answer.ciphertext;
      session.out.warnings(answer.warnings);
      if (session.out.json) {
        writeOutput(session, options.out, bytes);
        session.out.answer({ key, ...toldOf(answer, ["ciphertext"], options.out) }, () => {});
      } else if (options.out === undefined && process.stdout.isTTY) {
        session.out.line(bytes.toBase64());
      } else {
        writeOutput(session, options.out, bytes);
        if (toFile(options.out)) session.out.line(`Encrypted under ${key} version ${answer.version}: ${options.out}.`);
      }
    });
}
