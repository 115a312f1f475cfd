import { CasemateError } from "@casemate/foundation/errors";
import type { AuditFile } from "./files.ts";
import { AUDIT_LIMITS } from "./limits.ts";
import { HASH_PREFIX } from "./record.ts";

/** First line of every segment: format and version, log id, first record's index, and the hash before it. */
export interface SegmentHeader {
  readonly log: string;
  readonly first: number;
  readonly previous: string;
}

const NAME = /^records-(\d{16})\.log$/;
const HEADER = /^casemate-audit\/1 log=([0-9a-f]{32}) first=(\d{1,16}) previous=([0-9a-f]{64})\n/;
/** No header is longer. */
const HEADER_BYTES = 256;

export function segmentName(first: number): string {
  return `records-${String(first).padStart(16, "0")}.log`;
}

/** Index of the first record of each segment in a listing, ascending. */
export function segmentsIn(names: readonly string[]): readonly number[] {
  return names
    .flatMap((name) => {
      const match = NAME.exec(name);
      return match?.[1] === undefined ? [] : [Number(match[1])];
    })
    .toSorted((a, b) => a - b);
}

export function headerLine({ log, first, previous }: SegmentHeader): string {
  return `casemate-audit/1 log=${log} first=${first} previous=${previous}\n`;
}

/** The header and its length in bytes; undefined when the file does not begin with a whole one. */
export async function readHeader(file: AuditFile): Promise<{ header: SegmentHeader; bytes: number } | undefined> {
  const text = (await file.read(0, HEADER_BYTES)).toString("latin1");
  const match = HEADER.exec(text);
  if (match === null) return undefined;
  const [line, log = "", first = "", previous = ""] = match;
  return { header: { log, first: Number(first), previous }, bytes: line.length };
}

export function tampered(message: string, details: Readonly<Record<string, string | number>>): CasemateError {
  return new CasemateError("TAMPER_DETECTED", `audit log: ${message}`, {
    hint: "Keep the directory as evidence, run `casemate audit verify`, and restore a backup made before.",
    details,
  });
}

const NEWLINE = 0x0a;

/** Whole lines: `buffer` begins and ends with one, its first byte lies at `position`. */
export interface Lines {
  readonly buffer: Buffer;
  readonly position: number;
}

/**
 * Reads whole lines from `position` to `until` or the end of the file, many at a time; returns where the last one ends and the
 * bytes after it.
 * @throws TAMPER_DETECTED for a line longer than any record.
 */
export async function* readLines(
  file: AuditFile,
  position: number,
  until = Infinity,
): AsyncGenerator<Lines, { readonly end: number; readonly rest: Buffer }> {
  let rest: Buffer = Buffer.alloc(0);
  let at = position;
  for (;;) {
    const from = at + rest.length;
    const chunk = await file.read(from, Math.min(AUDIT_LIMITS.scanBytes, until - from));
    if (chunk.length === 0) return { end: at, rest };
    const buffer = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = buffer.lastIndexOf(NEWLINE) + 1;
    if (whole > 0) yield { buffer: buffer.subarray(0, whole), position: at };
    at += whole;
    rest = buffer.subarray(whole);
    // A hole that a power cut left reads as zero bytes: what follows is no line of ours.
    if (rest.length > AUDIT_LIMITS.lineBytes && rest.includes(0)) return { end: at, rest };
    if (rest.length > AUDIT_LIMITS.lineBytes) {
      throw tampered(`a line at byte ${at} is longer than any record`, { offset: at });
    }
  }
}

/** Calls `visit` with the bounds of each line of the buffer, without its newline. */
export function eachLine(buffer: Buffer, visit: (start: number, end: number) => void): void {
  for (let start = 0; start < buffer.length;) {
    const end = buffer.indexOf(NEWLINE, start);
    visit(start, end);
    start = end + 1;
  }
}

/** How far to look for a line's bounds: most lines are short, none is longer than the last. */
export const LINE_REACHES = [2048, AUDIT_LIMITS.lineBytes + 1] as const;

/** The last whole line before `end`, without its newline. */
export async function lineBefore(file: AuditFile, end: number): Promise<{ line: Buffer; start: number } | undefined> {
  for (const reach of LINE_REACHES) {
    const from = Math.max(0, end - reach);
    const block = await file.read(from, end - from);
    if (block.length < 2 || block.at(-1) !== NEWLINE) return undefined;
    const before = block.lastIndexOf(NEWLINE, -2);
    if (before === -1 && from > 0) continue;
    return { line: block.subarray(before + 1, -1), start: from + before + 1 };
  }
  return undefined;
}

/** Index that a line claims, without parsing it; undefined when it claims none. */
export function claimedIndex(buffer: Buffer, start: number): number | undefined {
  const text = buffer.toString("latin1", start + HASH_PREFIX, start + HASH_PREFIX + 32);
  const match = /^\{"index":(\d{1,16}),/.exec(text);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}
