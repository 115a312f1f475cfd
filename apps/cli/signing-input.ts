import { createReadStream } from "node:fs";
import type { Client, SignScheme } from "@casemate/sdk";
import { usage } from "./failure.ts";
import { digestOf, readInput, sizeOf } from "./files.ts";

/** Messages above this are hashed here, where the scheme hashes first anyway. */
const DIGEST_FROM_BYTES = 512 * 1024;
/** Of one input in the OpenAPI document. */
const MOST_BYTES = 1024 * 1024;

interface InputOptions {
  readonly in?: string;
  readonly digest?: boolean;
  readonly scheme?: SignScheme;
}

export interface SigningInput {
  readonly kind: "message" | "digest";
  readonly input: Uint8Array;
  readonly scheme?: SignScheme;
}

/** Schemes that a large file is signed with when none is named: the same as the server's own choice. */
const DEFAULT_SCHEMES: readonly (readonly [prefix: string, scheme: SignScheme])[] = [
  ["rsa-", "rsa-pss-sha256"],
  ["ec-p256", "ecdsa-sha256"],
  ["ec-secp256k1", "ecdsa-sha256"],
  ["ec-p384", "ecdsa-sha384"],
  ["ec-p521", "ecdsa-sha512"],
];

function hashOf(scheme: string): string | undefined {
  return /^(?:rsa-pkcs1|rsa-pss|ecdsa|prehash)-(sha\d+|shake256)$/.exec(scheme)?.[1];
}

interface Choice {
  readonly scheme?: SignScheme;
  /** The scheme by which this key signs a hash of a message, where that is another signature than one of the message. */
  readonly prehash: SignScheme;
}

async function choiceFor(client: Client, key: string): Promise<Choice> {
  const { algorithm } = await client.getKey(key);
  const scheme = DEFAULT_SCHEMES.find(([prefix]) => algorithm.startsWith(prefix))?.[1];
  const prehash = algorithm === "ed448" ? "prehash-shake256" : "prehash-sha512";
  return scheme === undefined ? { prehash } : { scheme, prehash };
}

/** The message itself, or its digest where it is too large to send. @throws BAD_REQUEST when a large one cannot be hashed first. */
export async function signingInput(client: Client, key: string, options: InputOptions): Promise<SigningInput> {
  const named = options.scheme === undefined ? {} : { scheme: options.scheme };
  if (options.digest === true) return { kind: "digest", input: await readInput(options.in), ...named };
  const { in: file = "-" } = options;
  const known = sizeOf(file);
  const read = known === undefined || known <= MOST_BYTES ? await readInput(file) : undefined;
  if (read !== undefined && read.length <= DIGEST_FROM_BYTES) return { kind: "message", input: read, ...named };
  const own = await choiceFor(client, key);
  const scheme = options.scheme ?? own.scheme;
  const hash = scheme === undefined ? undefined : hashOf(scheme);
  if (scheme !== undefined && hash !== undefined) {
    const source = read === undefined ? createReadStream(file) : [read];
    return { kind: "digest", input: await digestOf(source, hash), scheme };
  }
  if (read !== undefined && read.length <= MOST_BYTES) return { kind: "message", input: read, ...named };
  throw usage(
    `${file === "-" ? "standard input" : file} has ${read?.length ?? known} bytes, and this key signs messages as a whole, of up to ${MOST_BYTES} bytes`,
    `Name a scheme that signs a hash of it, such as --scheme ${own.prehash}, here and when verifying.`,
  );
}
