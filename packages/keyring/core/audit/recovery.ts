import { toHex, fromHex } from "@casemate/foundation/bytes";
import type { AuditHead } from "../ports.ts";
import { Chain, type BadRecord } from "./chain.ts";
import type { AuditFile, AuditFiles } from "./files.ts";
import { HEAD_FILE, HeadFile, isLawfulHead, readHead } from "./head-file.ts";
import { readKeyFile } from "./key-file.ts";
import { AUDIT_LIMITS } from "./limits.ts";
import { EMPTY_ROOT } from "./merkle.ts";
import { EMPTY_HASH } from "./record.ts";
import { readSavedPoint, writeSavedPoint, type SavedPoint } from "./saved-point.ts";
import {
  claimedIndex,
  eachLine,
  headerLine,
  lineBefore,
  readHeader,
  readLines,
  segmentName,
  segmentsIn,
  tampered,
} from "./segment.ts";
import { CHECKPOINT_FILE, goneSidecars, KEYS_FILE, SAVED_FILE, sidecarsIn, TREE_FILE } from "./sidecars.ts";
import { TreeStore } from "./tree-store.ts";

/** The segment that is written to. */
export interface OpenSegment {
  readonly first: number;
  readonly file: AuditFile;
  /** Length in bytes of what is durable. */
  bytes: number;
}

export interface RecoveredLog {
  readonly log: string;
  readonly segment: OpenSegment;
  readonly chain: Chain;
  readonly tree: TreeStore;
  /** Bytes of an incomplete last record that were cut off. */
  readonly cutBytes: number;
  /** Files beside the records that were gone or did not fit, and are made again. */
  readonly remade: readonly string[];
  /** Where start-up began to verify. */
  readonly verifiedFrom: number;
}

/** Makes the first segment of a new log. */
async function beginLog(files: AuditFiles, log: string): Promise<void> {
  await HeadFile.create(files);
  const file = await files.open(segmentName(0), "create");
  await file.write(Buffer.from(headerLine({ log, first: 0, previous: EMPTY_HASH })), 0);
  await file.sync();
  await file.close();
  await files.syncDirectory();
}

/** A crash while a segment is begun leaves a file without a whole header and without records: it is taken away again. */
async function dropUnfinishedSegment(files: AuditFiles, firsts: number[]): Promise<number> {
  const last = firsts.at(-1);
  if (last === undefined) return 0;
  const file = await files.open(segmentName(last), "read");
  try {
    const bytes = await file.size();
    if ((await readHeader(file)) !== undefined) return 0;
    const content = await file.read(0, 256);
    const unfinished = !content.includes(0x0a) && (content.includes(0) || headerPrefix(content));
    if (!unfinished) throw tampered(`segment ${segmentName(last)} has no valid header`, { index: last });
    await files.remove(segmentName(last));
    await files.syncDirectory();
    firsts.pop();
    return bytes;
  } finally {
    await file.close();
  }
}

function headerPrefix(content: Buffer): boolean {
  const mark = Buffer.from("casemate-audit/1 ");
  const length = Math.min(content.length, mark.length);
  return content.subarray(0, length).equals(mark.subarray(0, length));
}

/** Each segment must begin where the one before ends. Two short reads a segment. */
async function requireJoined(files: AuditFiles, firsts: readonly number[]): Promise<string> {
  let end: { readonly size: number; readonly hash: string } = { size: 0, hash: EMPTY_HASH };
  let log: string | undefined;
  for (const [position, first] of firsts.entries()) {
    const file = await files.open(segmentName(first), "read");
    try {
      const found = await readHeader(file);
      if (found === undefined) throw tampered(`segment ${segmentName(first)} has no valid header`, { index: first });
      const { header } = found;
      log ??= header.log;
      if (header.first !== first || first !== end.size) {
        throw tampered(`records ${end.size} to ${first - 1} are missing`, { index: end.size });
      }
      if (header.log !== log || header.previous !== end.hash) {
        throw tampered(`segment ${segmentName(first)} does not continue the one before`, { index: first });
      }
      if (position === firsts.length - 1) break;
      const last = await lineBefore(file, await file.size());
      const index = last === undefined ? undefined : claimedIndex(last.line, 0);
      if (last === undefined || index === undefined) {
        throw tampered(`segment ${segmentName(first)} ends in the middle of a record`, { index: first });
      }
      end = { size: index + 1, hash: last.line.toString("latin1", 0, 64) };
    } finally {
      await file.close();
    }
  }
  return log ?? "";
}

/** The saved point, if the records still have it; else the beginning. */
async function startingPoint(files: AuditFiles, firsts: readonly number[]): Promise<SavedPoint | undefined> {
  const point = await readSavedPoint(files);
  if (point === undefined || !firsts.includes(point.segment)) return undefined;
  const file = await files.open(segmentName(point.segment), "read");
  try {
    if ((await file.size()) < point.bytes) return undefined;
    if (point.size === point.segment) return (await readHeader(file))?.bytes === point.bytes ? point : undefined;
    const last = await lineBefore(file, point.bytes);
    const fits = last !== undefined && claimedIndex(last.line, 0) === point.size - 1;
    return fits && last.line.toString("latin1", 0, 64) === point.hash ? point : undefined;
  } finally {
    await file.close();
  }
}

/** A line that a power cut left half written: holes read as zero bytes, which no record holds. */
function isTorn(buffer: Buffer, start: number, end: number): boolean {
  return buffer.subarray(start, end).includes(0);
}

class TornLine extends Error {}

interface Scan {
  readonly chain: Chain;
  readonly tree: TreeStore;
  /** The head as last noted: records before it were acknowledged. */
  readonly head: AuditHead;
}

/** Verifies one segment from `position`; returns where its last good record ends. */
async function scanSegment(file: AuditFile, position: number, scan: Scan, last: boolean): Promise<number> {
  const { chain, tree, head } = scan;
  let good = position;
  try {
    const lines = readLines(file, position);
    for (let step = await lines.next(); ; step = await lines.next()) {
      if (step.done === true) {
        if (step.value.rest.length > 0 && !last) {
          throw tampered(`record ${chain.size} is cut off`, { index: chain.size });
        }
        return step.value.end;
      }
      const { buffer, position: at } = step.value;
      eachLine(buffer, (start, end) => {
        if (last && chain.size >= head.size && isTorn(buffer, start, end)) throw new TornLine();
        const bad = chain.accept(buffer, start, end);
        if (bad !== undefined) throw badRecord(bad);
        tree.append(chain.leaf());
        if (chain.size === head.size && chain.hash !== head.hash) throw otherHead(head);
        good = at + end + 1;
      });
      if (tree.unsaved > 2 * AUDIT_LIMITS.recordsPerSave) await tree.save(chain.size);
    }
  } catch (error) {
    if (error instanceof TornLine) return good;
    throw error;
  }
}

function badRecord(bad: BadRecord): Error {
  return tampered(bad.message, { index: bad.index, kind: bad.kind });
}

function otherHead(head: AuditHead): Error {
  return tampered(`record ${head.size - 1} is not the one that was acknowledged`, { index: head.size - 1 });
}

async function openTree(files: AuditFiles, start: SavedPoint | undefined): Promise<TreeStore | undefined> {
  return start === undefined ? undefined : TreeStore.open(files, start.size, fromHex(start.root));
}

/**
 * Brings the log to its last good record: verifies everything since the saved point, cuts an incomplete last record
 * (never acknowledged) and stops at anything else that is wrong.
 * @throws TAMPER_DETECTED naming the first bad record.
 */
export async function recoverLog(files: AuditFiles, newLogId: () => string): Promise<RecoveredLog> {
  const beside = await sidecarsIn(files);
  const firsts = [...segmentsIn([...beside.names])];
  const stored = await readHead(files);
  let cutBytes = await dropUnfinishedSegment(files, firsts);
  const head = stored?.head ?? { size: 0, hash: EMPTY_HASH };
  if (firsts.length === 0) {
    if (head.size > 0) throw tampered(`all ${head.size} records are missing`, { index: 0 });
    await beginLog(files, newLogId());
    firsts.push(0);
  } else if (stored?.head === undefined) {
    throw tampered(`the head file is ${stored === undefined ? "missing" : "damaged"}`, { file: "head" });
  }
  const log = await requireJoined(files, firsts);
  let start = await startingPoint(files, firsts);
  const saved = start?.size;
  let tree = await openTree(files, start);
  const unfit = [
    ...(start === undefined && beside.names.has(SAVED_FILE) ? [SAVED_FILE] : []),
    ...(start !== undefined && tree === undefined && beside.names.has(TREE_FILE) ? [TREE_FILE] : []),
  ];
  if (tree === undefined) {
    start = undefined;
    tree = await TreeStore.empty(files);
  }
  const chain = new Chain(start?.size, start?.hash);
  if (start !== undefined && start.size === head.size && start.hash !== head.hash) throw otherHead(head);
  let segment: OpenSegment | undefined;
  for (const first of firsts.filter((index) => index >= (start?.segment ?? 0))) {
    const last = first === firsts.at(-1);
    const file = await files.open(segmentName(first), last ? "update" : "read");
    const from = first === start?.segment ? start.bytes : ((await readHeader(file))?.bytes ?? 0);
    // What a killed process wrote may still be on its way to the disk; from here on it counts.
    if (last) await file.sync();
    const end = await scanSegment(file, from, { chain, tree, head }, last);
    if (!last) {
      await file.close();
      continue;
    }
    const excess = (await file.size()) - end;
    if (excess > 0 && chain.size >= head.size) {
      cutBytes += excess;
      await file.truncate(end);
      await file.sync();
    }
    segment = { first, file, bytes: end };
  }
  if (segment === undefined || chain.size < head.size) {
    throw tampered(`record ${chain.size} and those after it are missing: ${head.size} were written`, {
      index: chain.size,
    });
  }
  const signed = beside.names.has(CHECKPOINT_FILE);
  if (stored !== undefined && !isLawfulHead(stored, saved, chain.size)) unfit.push(HEAD_FILE);
  if ((await readKeyFile(files))?.readable === false) unfit.push(KEYS_FILE);
  const remade = [...goneSidecars(beside, { records: chain.size, signed }), ...unfit];
  return { log, segment, chain, tree, cutBytes, remade, verifiedFrom: start?.size ?? 0 };
}

/** Makes the present state the point where the next start begins. */
export async function savePoint(files: AuditFiles, tree: TreeStore, point: Omit<SavedPoint, "root">): Promise<void> {
  const root = point.size === 0 ? EMPTY_ROOT : await tree.rootAt(point.size);
  await tree.save(point.size);
  await writeSavedPoint(files, { ...point, root: toHex(root) });
}
