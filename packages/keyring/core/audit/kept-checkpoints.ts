import { fromUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import { HISTORY_FILE, newestKept } from "./checkpointer.ts";
import { directoryFiles, type AuditFile, type AuditFiles } from "./files.ts";
import { parseCheckpoint, parseNoteKey, type NoteKey } from "./note.ts";
import { CHECKPOINT_FILE, KEYS_FILE } from "./sidecars.ts";
import { eachLine, readLines } from "./segment.ts";

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
  const past = (await files.list()).includes(HISTORY_FILE) ? await files.open(HISTORY_FILE, "read") : undefined;
  const bytes = (await past?.size()) ?? 0;
  const single = [
    ...(newest === undefined ? [] : [parse(newest.toString("utf8"), "newest")]),
    ...(given === undefined ? [] : [parse(given, "given")]),
  ].toSorted((a, b) => a.size - b.size);
  return merged(past === undefined ? [] : history(past, bytes), single);
}

/** The same of a log's directory. */
export async function newestKeptIn(directory: string): Promise<number | undefined> {
  return newestKept(await directoryFiles(directory, { create: false }));
}

async function* merged(
  past: AsyncIterable<KeptCheckpoint> | readonly KeptCheckpoint[],
  single: KeptCheckpoint[],
): AsyncGenerator<KeptCheckpoint> {
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
