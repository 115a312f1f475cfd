import { createHash } from "node:crypto";
import {
  closeSync,
  createWriteStream,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { usage } from "./failure.ts";
import type { Session } from "./session.ts";

/** The content of a file. A read that fails, as of a directory, does not name its file by itself. */
export function contentOf(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw error instanceof Error && !("path" in error) ? Object.assign(error, { path: file }) : error;
  }
}

/** The content of a file, or of standard input for `-` and for nothing named. */
export async function readInput(file: string | undefined): Promise<Uint8Array> {
  if (file !== undefined && file !== "-") return contentOf(file);
  if (process.stdin.isTTY) {
    throw usage("nothing to read: no --in FILE, and standard input is a terminal", "Give --in FILE or pipe data in.");
  }
  return buffer(process.stdin);
}

/** Size in bytes of a named ordinary file; undefined for standard input and other streams. */
export function sizeOf(file: string | undefined): number | undefined {
  if (file === undefined || file === "-") return undefined;
  const found = statSync(file);
  return found.isFile() ? found.size : undefined;
}

/** The digest of a source of any size, read piece by piece. */
export async function digestOf(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  hash: string,
): Promise<Uint8Array> {
  // SHAKE256 has no length of its own; 64 bytes is what signatures take.
  const digest = createHash(hash, hash === "shake256" ? { outputLength: 64 } : {});
  for await (const part of source) digest.update(part);
  return digest.digest();
}

/** Whether `--out` names a file, so that standard output is free for words. */
export function toFile(file: string | undefined): file is string {
  return file !== undefined && file !== "-";
}

/** What `--json` says of an answer of which `members` went into a file: that, and not what they are. */
export function toldOf<T extends object, K extends keyof T & string>(
  answer: T,
  members: readonly K[],
  file: string | undefined,
): T | (Omit<T, K> & { readonly out: string }) {
  if (!toFile(file)) return answer;
  const written: readonly string[] = members;
  const rest = Object.fromEntries(Object.entries(answer).filter(([name]) => !written.includes(name)));
  return { ...(rest as Omit<T, K>), out: file };
}

/** Writes to the named file, or to standard output for `-` and for nothing named, unless a JSON answer goes there. Secrets get mode 0600. */
export function writeOutput(session: Session, file: string | undefined, bytes: Uint8Array, mode = 0o644): void {
  if (toFile(file)) writeFileSync(file, bytes, { mode });
  else if (!session.out.json) session.out.bytes(bytes);
}

/** The first bytes of a named ordinary file; undefined for anything else. */
export function startOf(file: string | undefined, length: number): Uint8Array | undefined {
  if (sizeOf(file) === undefined || file === undefined) return undefined;
  const descriptor = openSync(file, "r");
  try {
    const start = new Uint8Array(length);
    return start.subarray(0, readSync(descriptor, start, 0, length, 0));
  } finally {
    closeSync(descriptor);
  }
}

/** The pieces as one, for an answer in JSON. */
export async function collected(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece);
  return Buffer.concat(parts);
}

/**
 * Writes piece by piece: to standard output, or beside the named file, which is replaced only when all went well. A plaintext whose end turns
 * out to be missing is never found under the name that was asked for.
 */
export async function writePieces(
  file: string | undefined,
  pieces: AsyncIterable<Uint8Array>,
  mode: number,
): Promise<void> {
  if (file === undefined || file === "-") {
    await pipeline(pieces, process.stdout, { end: false });
    return;
  }
  const unfinished = `${file}.${process.pid}.unfinished`;
  try {
    await pipeline(pieces, createWriteStream(unfinished, { mode, flags: "wx" }));
    renameSync(unfinished, file);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  }
}
