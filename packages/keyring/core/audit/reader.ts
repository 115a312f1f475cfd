import { fromBase64Url, fromUtf8, toBase64Url, toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import type { AuditRecordView, Page, Paged } from "../types.ts";
import type { AuditFile, AuditFiles } from "./files.ts";
import { AUDIT_LIMITS } from "./limits.ts";
import { parseLine } from "./record.ts";
import { claimedIndex, LINE_REACHES, readHeader, segmentName, segmentsIn, tampered } from "./segment.ts";

export interface RecordQuery extends Page {
  /** Oldest first from this index on; newest first without. */
  readonly from?: number;
  readonly principal?: string;
  readonly resource?: string;
  readonly outcome?: string;
}

/** Between two records: an offset in the segment whose first record is `segment`. */
interface Place {
  readonly segment: number;
  readonly offset: number;
}

/** Durable end of the log. */
export interface LogEnd {
  readonly segment: number;
  readonly bytes: number;
}

interface Cursor extends Place {
  readonly direction: "older" | "newer";
}

const BLOCK = 256 * 1024;
const NEWLINE = 0x0a;
const CURSOR = /^(older|newer) (\d{1,16}) (\d{1,16})$/;

function encodeCursor({ direction, segment, offset }: Cursor): string {
  return toBase64Url(toUtf8(`${direction} ${segment} ${offset}`));
}

function decodeCursor(text: string): Cursor {
  try {
    const match = CURSOR.exec(fromUtf8(fromBase64Url(text)));
    if (match !== null) {
      return {
        direction: match[1] === "older" ? "older" : "newer",
        segment: Number(match[2]),
        offset: Number(match[3]),
      };
    }
  } catch {
    // Refused below, like any other text that is not a cursor.
  }
  throw badCursor();
}

function badCursor(): CasemateError {
  return new CasemateError("BAD_REQUEST", "the cursor is not one that this log gave out", {
    hint: "Start again without a cursor.",
  });
}

/** Collects matching records until the page is full or enough was looked through. */
class PageBuilder {
  readonly items: AuditRecordView[] = [];
  readonly #limit: number;
  readonly #filters: readonly (readonly ["principal" | "resource" | "outcome", string, Buffer])[];

  constructor(query: RecordQuery) {
    const limit = query.limit ?? 100;
    if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
      throw new CasemateError("BAD_REQUEST", "limit must be a whole number from 1 to 1000", {
        hint: "Page on with `next`.",
      });
    }
    this.#limit = limit;
    this.#filters = (["principal", "resource", "outcome"] as const).flatMap((name) => {
      const value = query[name];
      return value === undefined ? [] : [[name, value, Buffer.from(`"${name}":${JSON.stringify(value)}`)] as const];
    });
  }

  get full(): boolean {
    return this.items.length >= this.#limit;
  }

  /** The bytes are compared before they are parsed: most lines do not match. */
  offer(line: Buffer): void {
    if (!this.#filters.every(([, , bytes]) => line.includes(bytes))) return;
    const record = parseLine(line);
    if (this.#filters.every(([name, value]) => record[name] === value)) this.items.push(record);
  }
}

/** Reads pages of records from the segments, by position, never more than a block at a time. */
export class AuditReader {
  readonly #files: AuditFiles;
  readonly #end: () => LogEnd;

  constructor(files: AuditFiles, end: () => LogEnd) {
    this.#files = files;
    this.#end = end;
  }

  /**
   * A page may hold fewer records than asked for, or none, while `next` is set: filters look through a bounded part.
   * @throws BAD_REQUEST for a limit or cursor that is not one, TAMPER_DETECTED for an unreadable record.
   */
  async page(query: RecordQuery): Promise<Paged<AuditRecordView>> {
    const end = this.#end();
    const page = new PageBuilder(query);
    const cursor = query.cursor === undefined ? await this.#start(query.from, end) : decodeCursor(query.cursor);
    if (cursor === undefined) return { items: [] };
    const firsts = segmentsIn(await this.#files.list()).filter((first) => first <= end.segment);
    const next =
      cursor.direction === "older" ? this.#older(firsts, cursor, end, page) : this.#newer(firsts, cursor, end, page);
    const place = await next;
    return {
      items: page.items,
      ...(place === undefined ? {} : { next: encodeCursor({ ...place, direction: cursor.direction }) }),
    };
  }

  async #start(from: number | undefined, end: LogEnd): Promise<Cursor | undefined> {
    if (from === undefined) return { direction: "older", segment: end.segment, offset: end.bytes };
    if (!Number.isSafeInteger(from) || from < 0) {
      throw new CasemateError("BAD_REQUEST", "from must be the index of a record", { hint: "Indexes begin with 0." });
    }
    const firsts = segmentsIn(await this.#files.list());
    const segment = firsts.findLast((first) => first <= from);
    if (segment === undefined) return undefined;
    return this.#within(segment, end, async (file, start, stop) => {
      const offset = await findRecord(file, from, start, stop);
      return { direction: "newer", segment, offset };
    });
  }

  /** Opens a segment and tells where its records lie; closes it afterwards. */
  async #within<T>(
    segment: number,
    end: LogEnd,
    work: (file: AuditFile, start: number, stop: number) => Promise<T>,
  ): Promise<T> {
    const file = await this.#files.open(segmentName(segment), "read");
    try {
      const header = await readHeader(file);
      if (header === undefined)
        throw tampered(`segment ${segmentName(segment)} has no valid header`, { index: segment });
      return await work(file, header.bytes, segment === end.segment ? end.bytes : await file.size());
    } finally {
      await file.close();
    }
  }

  async #older(firsts: readonly number[], cursor: Place, end: LogEnd, page: PageBuilder): Promise<Place | undefined> {
    let looked = 0;
    let place: Place = cursor;
    for (let at = firsts.indexOf(cursor.segment); at >= 0; at--) {
      const segment = firsts[at]!;
      const offset = await this.#within(segment, end, async (file, start, stop) => {
        let position = segment === cursor.segment ? place.offset : stop;
        requirePlace(position, start, stop);
        while (position > start && !page.full && looked < AUDIT_LIMITS.pageScanBytes) {
          const before = position;
          position = await readBackwards(file, start, position, page);
          looked += before - position;
        }
        return position > start ? position : undefined;
      });
      if (offset !== undefined) return { segment, offset };
      const older = firsts[at - 1];
      if (older === undefined) return undefined;
      place = { segment: older, offset: 0 };
      if (page.full || looked >= AUDIT_LIMITS.pageScanBytes) {
        return this.#within(older, end, (_file, _start, stop) => Promise.resolve({ segment: older, offset: stop }));
      }
    }
    throw badCursor();
  }

  async #newer(firsts: readonly number[], cursor: Place, end: LogEnd, page: PageBuilder): Promise<Place | undefined> {
    let looked = 0;
    for (let at = firsts.indexOf(cursor.segment); at >= 0 && at < firsts.length; at++) {
      const segment = firsts[at]!;
      const offset = await this.#within(segment, end, async (file, start, stop) => {
        let position = segment === cursor.segment ? cursor.offset : start;
        requirePlace(position, start, stop);
        while (position < stop && !page.full && looked < AUDIT_LIMITS.pageScanBytes) {
          const before = position;
          position = await readForwards(file, position, stop, page);
          looked += position - before;
        }
        return position < stop ? position : undefined;
      });
      if (offset !== undefined) return { segment, offset };
      if (segment === end.segment) return undefined;
    }
    throw badCursor();
  }
}

function requirePlace(position: number, start: number, stop: number): void {
  if (position < start || position > stop) throw badCursor();
}

/** Offers the records that end at `position`, newest first; returns where the oldest one offered begins. */
async function readBackwards(file: AuditFile, start: number, position: number, page: PageBuilder): Promise<number> {
  const from = Math.max(start, position - BLOCK);
  const block = await file.read(from, position - from);
  if (block.at(-1) !== NEWLINE) throw badCursor();
  let end = block.length;
  while (end > 0 && !page.full) {
    const before = end < 2 ? -1 : block.lastIndexOf(NEWLINE, end - 2);
    if (before === -1 && from > start) break;
    page.offer(block.subarray(before + 1, end - 1));
    end = before + 1;
  }
  if (end === block.length) throw tampered(`a line at byte ${from} is longer than any record`, { offset: from });
  return from + end;
}

/** Offers the records from `position` on; returns where the last one offered ends. */
async function readForwards(file: AuditFile, position: number, stop: number, page: PageBuilder): Promise<number> {
  const block = await file.read(position, Math.min(BLOCK, stop - position));
  let start = 0;
  while (!page.full) {
    const end = block.indexOf(NEWLINE, start);
    if (end === -1) break;
    page.offer(block.subarray(start, end));
    start = end + 1;
  }
  if (start === 0) throw tampered(`a line at byte ${position} is longer than any record`, { offset: position });
  return position + start;
}

/** Offset of record `index` between `start` and `stop` (the end when it is later), by halving. */
async function findRecord(file: AuditFile, index: number, start: number, stop: number): Promise<number> {
  let low = start;
  let high = stop;
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    const line = await lineAt(file, low, middle, high);
    const claimed = claimedIndex(line.head, 0);
    if (claimed === undefined) throw tampered(`a record at byte ${line.start} cannot be read`, { offset: line.start });
    if (claimed === index) return line.start;
    if (claimed < index) low = line.end;
    else high = line.start;
  }
  return low;
}

/** The line that holds byte `middle`, between `low` (a line's start) and `high` (a line's end). */
async function lineAt(
  file: AuditFile,
  low: number,
  middle: number,
  high: number,
): Promise<{ start: number; end: number; head: Buffer }> {
  for (const reach of LINE_REACHES) {
    const from = Math.max(low, middle - reach);
    const block = await file.read(from, Math.min(high, middle + reach) - from);
    const inside = middle - from;
    const before = inside === 0 ? -1 : block.lastIndexOf(NEWLINE, inside - 1);
    const after = block.indexOf(NEWLINE, inside);
    if ((before === -1 && from > low) || after === -1) continue;
    return { start: from + before + 1, end: from + after + 1, head: block.subarray(before + 1, after) };
  }
  throw tampered(`a line at byte ${middle} is longer than any record`, { offset: middle });
}
