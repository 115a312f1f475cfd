import { fromUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import { directoryFiles, type AuditFile, type AuditFiles } from "./files.ts";
import { parseCheckpoint, parseNoteKey, type NoteKey } from "./note.ts";
import { CHECKPOINT_FILE, KEYS_FILE } from "./sidecars.ts";
import { AUDIT_LIMITS } from "./limits.ts";
import { eachLine, readLines } from "./segment.ts";
import type { Kept } from "./witnessed.ts";

/** Every checkpoint ever signed: one JSON string a line. */
export const HISTORY_FILE = "checkpoints";

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

/** A line whose writing was interrupted: the beginning of a JSON string, or nothing. */
const TORN = /^("(?:[^"\\]|\\.)*[\\"]?)?$/;

/** The history, oldest first, read as it is needed: it may hold hundreds of thousands. */
async function* history(file: AuditFile, bytes: number): AsyncGenerator<KeptCheckpoint> {
  try {
    let size = 0;
    const lines = readLines(file, 0, bytes);
    for (;;) {
      const step = await lines.next();
      if (step.done === true) {
        if (!TORN.test(step.value.rest.toString("utf8"))) throw new BadCheckpoint("the checkpoint history is damaged");
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
export async function keptCheckpoints(
  files: AuditFiles,
  given: string | undefined,
): Promise<AsyncGenerator<KeptCheckpoint>> {
  const newest = await files.load(CHECKPOINT_FILE);
  const past = await keptHistory(files);
  const single = [
    ...(newest === undefined ? [] : [parse(newest.toString("utf8"), "newest")]),
    ...(given === undefined ? [] : [parse(given, "given")]),
  ].toSorted((a, b) => a.size - b.size);
  return merged(past, single);
}

/** The history alone, as long as it is now. */
export async function keptHistory(files: AuditFiles): Promise<AsyncGenerator<KeptCheckpoint>> {
  if (!(await files.list()).includes(HISTORY_FILE)) return nothing();
  const past = await files.open(HISTORY_FILE, "read");
  return history(past, await past.size());
}

async function* nothing(): AsyncGenerator<KeptCheckpoint> {}

/** A process killed while it wrote leaves an incomplete last line, which goes. */
export async function openHistory(files: AuditFiles): Promise<AuditFile> {
  const past = await files.open(HISTORY_FILE, "update");
  const size = await past.size();
  const { from, bytes } = await tail(past);
  const end = from + bytes.lastIndexOf(NEWLINE) + 1;
  if (end < size) await past.truncate(end);
  return past;
}

/** Size of the last checkpoint in a history; 0 where there is none that can be read. */
export async function newestIn(past: AuditFile): Promise<number> {
  const { bytes } = await tail(past);
  const end = bytes.lastIndexOf(NEWLINE);
  if (end < 0) return 0;
  const line = bytes.subarray(bytes.subarray(0, end).lastIndexOf(NEWLINE) + 1, end);
  try {
    return parse(decodeLine(line), "history").size;
  } catch {
    return 0;
  }
}

const NEWLINE = 0x0a;

/** Room for the last whole line and one that is not. */
async function tail(past: AuditFile): Promise<{ readonly from: number; readonly bytes: Buffer }> {
  const size = await past.size();
  const from = Math.max(0, size - 2 * AUDIT_LIMITS.noteBytes);
  return { from, bytes: await past.read(from, size - from) };
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

/** Keys of the file beside the log. @throws BadCheckpoint */
export async function keysBesideLog(files: AuditFiles): Promise<readonly NoteKey[]> {
  const bytes = await files.load(KEYS_FILE);
  if (bytes === undefined) return [];
  try {
    return fromUtf8(bytes)
      .split("\n")
      .filter((line) => line !== "")
      .map(parseNoteKey);
  } catch {
    throw new BadCheckpoint(`the file ${KEYS_FILE} is malformed`);
  }
}

/** One checkpoint ahead of the records. */
export class PendingCheckpoints {
  readonly #source: AsyncGenerator<KeptCheckpoint>;
  next: KeptCheckpoint | undefined;

  constructor(source: AsyncGenerator<KeptCheckpoint>) {
    this.#source = source;
  }

  async advance(): Promise<void> {
    const step = await this.#source.next();
    this.next = step.done === true ? undefined : step.value;
  }
}
