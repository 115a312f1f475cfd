import { fromUtf8 } from "@casemate/foundation/bytes";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { directoryFiles, type AuditFile, type AuditFiles } from "./files.ts";
import { parseCheckpoint } from "./note.ts";
import { CHECKPOINT_FILE } from "./sidecars.ts";
import { AUDIT_LIMITS } from "./limits.ts";
import { eachLine, readLines } from "./segment.ts";
import type { Kept } from "./witnessed.ts";

/** Every checkpoint ever signed: one JSON string a line. */
export const HISTORY_FILE = "checkpoints";
/** What was in its place and is none. */
export const ASIDE_FILE = "checkpoints.damaged";

/** A checkpoint to hold against the records. */
export interface KeptCheckpoint {
  readonly note: string;
  readonly size: number;
  /** Where it comes from, for messages. */
  readonly origin: "history" | "newest" | "given";
}

/** A note that is not one, and where. */
export class BadCheckpoint extends Error {}

function parse(note: string, origin: KeptCheckpoint["origin"]): KeptCheckpoint {
  try {
    return { note, size: parseCheckpoint(note).body.size, origin };
  } catch (cause) {
    const why = `the ${origin} checkpoint is malformed: ${cause instanceof Error ? cause.message : ""}`;
    // What the caller gave says nothing of the log.
    if (origin === "given") {
      throw new CasemateError("BAD_REQUEST", why, {
        hint: "Give a file that `casemate audit checkpoint --out FILE` wrote.",
        cause,
      });
    }
    throw new BadCheckpoint(why);
  }
}

/** The beginning of a JSON string, or nothing. */
const BEGUN = /^("(?:[^"\\\p{Cc}]|\\.)*[\\"]?)?$/u;

/**
 * Whether a line's writing was interrupted: by the end of the process, or by a power cut, which may leave holes in it. A hole in place of a
 * line that was finished, as the newest checkpoint says, is none of these.
 */
function isTorn(rest: Buffer, complete: boolean): boolean {
  return BEGUN.test(rest.toString("utf8")) || (complete && rest.includes(0) && rest.length <= AUDIT_LIMITS.noteBytes);
}

/** The history, oldest first, read as it is needed: it may hold hundreds of thousands. It is to reach as far as the `newest`. */
async function* history(file: AuditFile, bytes: number, newest: number): AsyncGenerator<KeptCheckpoint> {
  try {
    let size = 0;
    const lines = readLines(file, 0, bytes);
    for (;;) {
      const step = await lines.next();
      if (step.done === true) {
        if (!isTorn(step.value.rest, size >= newest)) throw new BadCheckpoint("the checkpoint history is damaged");
        return;
      }
      const { buffer } = step.value;
      const batch: KeptCheckpoint[] = [];
      eachLine(buffer, (start, end) => batch.push(parse(decodeLine(buffer.subarray(start, end)), "history")));
      for (const kept of batch) {
        if (kept.size < size) throw new BadCheckpoint(`a checkpoint of size ${kept.size} follows one of size ${size}`);
        size = kept.size;
        yield kept;
      }
    }
  } finally {
    await file.close();
  }
}

function decodeLine(line: Buffer): string {
  try {
    const note: unknown = JSON.parse(fromUtf8(line));
    if (typeof note === "string") return note;
  } catch {
    // Named below.
  }
  throw new BadCheckpoint("a line of the checkpoint history is not a note");
}

/**
 * All checkpoints by size: the history, merged with the newest and with one that the caller kept. Those of the moment of
 * the call: a server that goes on signing meanwhile covers records that the caller may not look at.
 * @throws BAD_REQUEST where the caller's is no checkpoint; BadCheckpoint where one of the log's own is none.
 */
async function keptCheckpoints(files: AuditFiles, given: string | undefined): Promise<AsyncGenerator<KeptCheckpoint>> {
  const newest = await files.load(CHECKPOINT_FILE);
  const single = [
    ...(newest === undefined ? [] : [parse(newest.toString("utf8"), "newest")]),
    ...(given === undefined ? [] : [parse(given, "given")]),
  ].toSorted((a, b) => a.size - b.size);
  const reaches = single.find(({ origin }) => origin === "newest")?.size;
  return merged(await keptHistory(files, reaches), single);
}

/** The history alone, as long as it is now. */
export async function keptHistory(files: AuditFiles, newest = 0): Promise<AsyncGenerator<KeptCheckpoint>> {
  if (!(await files.list()).includes(HISTORY_FILE)) return nothing();
  const past = await files.open(HISTORY_FILE, "read");
  return history(past, await past.size(), newest);
}

async function* nothing(): AsyncGenerator<KeptCheckpoint> {}

export interface OpenHistory {
  readonly file: AuditFile;
  /** Length of its whole lines, which is all there is. */
  readonly bytes: number;
  /** Size of its last checkpoint; 0 for none. */
  readonly newest: number;
  /** Why it lacks checkpoints that were signed, in words. */
  readonly lacks?: string;
  /** Whether what there was is no history, and was set aside. */
  readonly aside: boolean;
}

/**
 * Opens the history, which must reach as far as the `newest` checkpoint: it is always written first. A process killed while it wrote, or a
 * power cut, leaves an incomplete last line, which goes. What else is no history is kept under another name, and a new one begins.
 */
export async function openHistory(files: AuditFiles, newest: number): Promise<OpenHistory> {
  const gone = !(await files.list()).includes(HISTORY_FILE);
  const file = await files.open(HISTORY_FILE, "update");
  const size = await file.size();
  const bytes = await tail(file);
  const end = bytes.lastIndexOf(NEWLINE) + 1;
  const reached = sizeOfLast(bytes.subarray(0, end));
  const complete = (reached ?? 0) >= newest;
  const rest = bytes.subarray(end);
  if (reached === undefined || !isTorn(rest, complete)) {
    await file.close();
    await files.rename(HISTORY_FILE, ASIDE_FILE);
    const lacks = `the history audit/${HISTORY_FILE} is damaged, and kept as audit/${ASIDE_FILE}`;
    return { file: await files.open(HISTORY_FILE, "update"), bytes: 0, newest: 0, aside: true, lacks };
  }
  if (rest.length > 0) await file.truncate(size - rest.length);
  const whole = { file, bytes: size - rest.length, newest: reached, aside: false };
  if (complete) return whole;
  const ends = reached === 0 ? "is empty" : `ends with the one of ${reached} records, and the newest is of ${newest}`;
  return { ...whole, lacks: `the history audit/${HISTORY_FILE} ${gone ? "is gone" : ends}` };
}

/** Where the last of whole lines begins. */
function lastLine(lines: Buffer): number {
  return lines.subarray(0, Math.max(0, lines.length - 1)).lastIndexOf(NEWLINE) + 1;
}

/** Size of the last checkpoint; 0 where there are no lines, undefined where it cannot be read. */
function sizeOfLast(lines: Buffer): number | undefined {
  if (lines.length === 0) return 0;
  try {
    return parse(decodeLine(lines.subarray(lastLine(lines), -1)), "history").size;
  } catch {
    return undefined;
  }
}

/** Size of the last checkpoint in a history; 0 where there is none that can be read. */
async function newestIn(past: AuditFile): Promise<number> {
  const bytes = await tail(past);
  return sizeOfLast(bytes.subarray(0, bytes.lastIndexOf(NEWLINE) + 1)) ?? 0;
}

const NEWLINE = 0x0a;

/** Room for the last whole line and one that is not. */
async function tail(past: AuditFile): Promise<Buffer> {
  const size = await past.size();
  const from = Math.max(0, size - 2 * AUDIT_LIMITS.noteBytes);
  return past.read(from, size - from);
}

/** Size of the newest checkpoint kept now; 0 for none, undefined where it cannot be read. */
export async function newestKept(files: Pick<AuditFiles, "load">): Promise<number | undefined> {
  const bytes = await files.load(CHECKPOINT_FILE);
  try {
    return bytes === undefined ? 0 : parseCheckpoint(bytes.toString("utf8")).body.size;
  } catch {
    return undefined;
  }
}

/** What is kept in a log's directory; undefined where the newest cannot be read. */
export async function keptIn(directory: string): Promise<Kept | undefined> {
  const files = await directoryFiles(directory, { create: false });
  const newest = await newestKept(files);
  if (newest === undefined) return undefined;
  if (!(await files.list()).includes(HISTORY_FILE)) return { newest, history: 0 };
  const past = await files.open(HISTORY_FILE, "read");
  try {
    return { newest, history: await newestIn(past) };
  } finally {
    await past.close();
  }
}

async function* merged(past: AsyncIterable<KeptCheckpoint>, single: KeptCheckpoint[]): AsyncGenerator<KeptCheckpoint> {
  for await (const kept of past) {
    while (single[0] !== undefined && single[0].size < kept.size) yield single.shift()!;
    yield kept;
  }
  yield* single;
}

/** A line of the history that is no note, or none at all. @throws every other error. */
function badOr(error: unknown): BadCheckpoint {
  if (error instanceof BadCheckpoint) return error;
  if (isCasemateError(error) && error.code === "TAMPER_DETECTED") return new BadCheckpoint(error.message);
  throw error;
}

/** One checkpoint ahead of the records, up to the first that is none. */
export class PendingCheckpoints {
  readonly #source: AsyncGenerator<KeptCheckpoint> | undefined;
  next: KeptCheckpoint | undefined;
  /** The first that is none: said once the records are read, which may hold all the same. */
  bad: BadCheckpoint | undefined;

  private constructor(source: AsyncGenerator<KeptCheckpoint> | undefined) {
    this.#source = source;
  }

  /** Those of the moment of the call. @throws BAD_REQUEST where the one that the caller gives is none. */
  static async open(files: AuditFiles, given: string | undefined): Promise<PendingCheckpoints> {
    try {
      const pending = new PendingCheckpoints(await keptCheckpoints(files, given));
      await pending.advance();
      return pending;
    } catch (error) {
      const none = new PendingCheckpoints(undefined);
      none.bad = badOr(error);
      return none;
    }
  }

  async advance(): Promise<void> {
    this.next = undefined;
    try {
      const step = await this.#source?.next();
      if (step?.done === false) this.next = step.value;
    } catch (error) {
      this.bad = badOr(error);
    }
  }
}
