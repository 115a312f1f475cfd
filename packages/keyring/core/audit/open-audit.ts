import type { WitnessedLog } from "@casemate/devices/contract";
import { toHex } from "@casemate/foundation/bytes";
import { systemRandom, type Clock, type Random } from "@casemate/foundation/effects";
import { CasemateError } from "@casemate/foundation/errors";
import type { AuditEntry, AuditHead, AuditLog, CheckpointSigner, Durability } from "../ports.ts";
import type { AuditRecordView, Checkpoint, Paged } from "../types.ts";
import { Checkpointer, OWN_SOURCE } from "./checkpointer.ts";
import { LOG_BEHIND_HINT } from "./database-comparison.ts";
import { closableFiles, directoryFiles, pacedFiles, type AuditFiles } from "./files.ts";
import { HeadFile } from "./head-file.ts";
import { ASIDE_FILE } from "./kept-checkpoints.ts";
import { AUDIT_LIMITS } from "./limits.ts";
import { consistencyPath, inclusionPath } from "./merkle.ts";
import { AuditReader, type RecordQuery } from "./reader.ts";
import { EMPTY_HASH, recordLeaf } from "./record.ts";
import { recoverLog, type RecoveredLog } from "./recovery.ts";
import { Reserve } from "./reserve.ts";
import { tampered } from "./segment.ts";
import { KEYS_FILE } from "./sidecars.ts";
import { storageError } from "./storage-error.ts";
import { verifyAuditFiles } from "./verify-directory.ts";
import { AuditWriter } from "./writer.ts";

/** Between two blocks of a check beside the work: a gigabyte takes minutes, and nobody waits for it. */
const CHECK_PAUSE_MS = 50;

export interface OpenAuditOptions {
  readonly directory: string;
  readonly clock: Clock;
  /** Source of the log's id, drawn once when the log is made. */
  readonly random?: Random;
  /** A head kept elsewhere (the database): the log must contain it. */
  readonly expected?: AuditHead;
  readonly segmentBytes?: number;
  readonly recordsPerSave?: number;
  readonly recordsPerCheckpoint?: number;
  readonly checkpointIntervalMs?: number;
  /** In place of the directory's files. */
  readonly files?: AuditFiles;
}

/** What start-up found and did. */
export interface AuditRecovery {
  /** Bytes of an incomplete last record that were cut off: written by a process that was killed, never acknowledged. */
  readonly cutBytes: number;
  /** Files beside the records that were gone or did not fit, and are made again. */
  readonly remade: readonly string[];
  /** Under which name the history of checkpoints is kept that was found damaged; a new one is begun. */
  readonly aside?: string;
  /** Index of the first record verified at start-up; all before were verified earlier. */
  readonly verifiedFrom: number;
}

export interface FileAuditLog extends AuditLog {
  readonly recovery: AuditRecovery;
  /** Whether `head` is this log's newest record or an earlier one of it. */
  contains(head: AuditHead): Promise<boolean>;
}

class AuditLogInDirectory implements FileAuditLog {
  readonly recovery: AuditRecovery;
  readonly #writer: AuditWriter;
  readonly #reader: AuditReader;
  readonly #checkpointer: Checkpointer;
  readonly #recovered: RecoveredLog;
  readonly #files: AuditFiles;
  readonly #reserve: Reserve;
  readonly #ending = new AbortController();

  constructor(
    recovered: RecoveredLog,
    files: AuditFiles,
    writer: AuditWriter,
    reader: AuditReader,
    checkpointer: Checkpointer,
    reserve: Reserve,
  ) {
    this.#files = files;
    this.#reserve = reserve;
    const { cutBytes, remade, verifiedFrom } = recovered;
    this.recovery = { cutBytes, remade, verifiedFrom, ...(checkpointer.aside ? { aside: ASIDE_FILE } : {}) };
    this.#recovered = recovered;
    this.#writer = writer;
    this.#reader = reader;
    this.#checkpointer = checkpointer;
  }

  get head(): AuditHead {
    return this.#writer.head;
  }

  get opened(): AuditLog["opened"] {
    return this.#checkpointer.opened;
  }

  append(entry: AuditEntry, durability?: Durability, following?: number): Promise<number> {
    if (entry.source === OWN_SOURCE) {
      return Promise.reject(new CasemateError("BAD_REQUEST", `the source ${OWN_SOURCE} is the log's own`));
    }
    const written = this.#writer.append(entry, durability, following);
    return durability === "reserved" ? written.catch((error: unknown) => this.#intoReserve(entry, error)) : written;
  }

  async #intoReserve(entry: AuditEntry, error: unknown): Promise<number> {
    if (storageError(error).code !== "STORAGE_FULL" || !(await this.#reserve.release())) throw error;
    return this.#writer.append(entry);
  }

  room(): Promise<void> | undefined {
    return this.#reserve.ready();
  }

  // Whoever reads sees everything acknowledged before, so that is synced first.
  async records(query: RecordQuery): Promise<Paged<AuditRecordView>> {
    await this.#writer.settled();
    return this.#reader.page(query);
  }

  useSigner(signer: CheckpointSigner | undefined): void {
    this.#checkpointer.use(signer);
  }

  compare(witnessed: WitnessedLog, device: string): Promise<CasemateError | undefined> {
    return this.#checkpointer.compare(witnessed, device);
  }

  forgotten(publicKey: Uint8Array, device: string): CasemateError | undefined {
    return this.#checkpointer.forgotten(publicKey, device);
  }

  holds(sizes: readonly number[], signer: Pick<CheckpointSigner, "name" | "publicKey">): Promise<boolean> {
    return this.#checkpointer.holds(sizes, signer);
  }

  async checkpoint(): Promise<Checkpoint> {
    await this.#writer.settled();
    return this.#checkpointer.checkpoint();
  }

  async contains(head: AuditHead): Promise<boolean> {
    if (head.size === 0) return head.hash === EMPTY_HASH;
    if (head.size > this.head.size) return false;
    const leaf = await this.#recovered.tree.node(0, head.size - 1);
    return recordLeaf(head.hash).equals(leaf);
  }

  async inclusion(index: number, wanted?: number) {
    await this.#writer.settled();
    const size = wanted ?? this.head.size;
    this.#requireSize(size);
    if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
      throw new CasemateError("NOT_FOUND", `there is no record ${index} among the first ${size}`, {
        hint: "Indexes begin with 0.",
      });
    }
    const { tree } = this.#recovered;
    const read = (level: number, at: number): Promise<Uint8Array> => tree.node(level, at);
    const path = await inclusionPath(read, index, size);
    const [leaf, root] = [await tree.node(0, index), await tree.rootAt(size)];
    return { index, size, leafHash: toHex(leaf), path: path.map(toHex), rootHash: toHex(root) };
  }

  async consistency(first: number, wanted?: number) {
    await this.#writer.settled();
    const second = wanted ?? this.head.size;
    this.#requireSize(second);
    if (!Number.isSafeInteger(first) || first < 1 || first > second) {
      throw new CasemateError("BAD_REQUEST", `the older size must be 1 to ${second}`, {
        hint: "Take both sizes from checkpoints.",
      });
    }
    const { tree } = this.#recovered;
    const path = await consistencyPath((level, at) => tree.node(level, at), first, second);
    return { first, second, path: path.map(toHex) };
  }

  #requireSize(size: number): void {
    if (!Number.isSafeInteger(size) || size < 1 || size > this.head.size) {
      throw new CasemateError("BAD_REQUEST", `the log has ${this.head.size} records; it never had ${size}`, {
        hint: "Take the size from a checkpoint of this log.",
      });
    }
  }

  async check(): Promise<readonly string[]> {
    const running = { running: true };
    const first = await verifyAuditFiles(pacedFiles(this.#files, CHECK_PAUSE_MS, this.#ending.signal), running);
    // The log is written on meanwhile: only what is found twice is told.
    const { problem, keys } = first.problem === undefined ? first : await verifyAuditFiles(this.#files, running);
    if (problem === undefined || problem.remakes === KEYS_FILE) {
      const changed = await this.#checkpointer.nameKeys(keys);
      if (!changed || this.recovery.remade.includes(KEYS_FILE)) return [];
      await this.#writer.append(recovered({ remade: KEYS_FILE }));
      return [KEYS_FILE];
    }
    throw tampered(problem.message, problem.index === undefined ? {} : { record: problem.index });
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#checkpointer.close();
    await this.#writer.close();
  }
}

/**
 * Opens or creates the audit log of a directory. One process at a time: the data directory's lock sees to that.
 * Verifies what was written since the last saved point; `verifyAuditDirectory` verifies everything.
 * @throws TAMPER_DETECTED naming the first bad record, STORAGE_FAILED, STORAGE_FULL.
 */
export async function openAudit(options: OpenAuditOptions): Promise<FileAuditLog> {
  try {
    const files = closableFiles(options.files ?? (await directoryFiles(options.directory, { create: true })));
    try {
      return await openLog(files, options);
    } catch (error) {
      await files.closeAll();
      throw error;
    }
  } catch (error) {
    throw storageError(error);
  }
}

/** The record of what was made again. */
function recovered(details: Readonly<Record<string, string | number>>): AuditEntry {
  return {
    principal: "casemate",
    source: OWN_SOURCE,
    action: "audit.recovered",
    resource: "",
    outcome: "ok",
    count: 1,
    details,
  };
}

async function openLog(files: AuditFiles, options: OpenAuditOptions): Promise<FileAuditLog> {
  const random = options.random ?? systemRandom;
  const found = await recoverLog(files, () => toHex(random.bytes(16)));
  const { chain, tree } = found;
  const writer = new AuditWriter(found, {
    files,
    clock: options.clock,
    head: await HeadFile.open(files, { size: chain.size, hash: chain.hash }),
    segmentBytes: options.segmentBytes ?? AUDIT_LIMITS.segmentBytes,
    recordsPerSave: options.recordsPerSave ?? AUDIT_LIMITS.recordsPerSave,
  });
  const checkpointer = await Checkpointer.open({
    files,
    origin: `casemate-audit/${found.log}`,
    append: (entry) => writer.append(entry),
    size: () => writer.head.size,
    rootAt: (size) => tree.rootAt(size),
    proof: (older, newer) => consistencyPath((level, at) => tree.node(level, at), older, newer),
    clock: options.clock,
    everyRecords: options.recordsPerCheckpoint ?? AUDIT_LIMITS.recordsPerCheckpoint,
    everyMs: options.checkpointIntervalMs ?? AUDIT_LIMITS.checkpointIntervalMs,
  });
  const reader = new AuditReader(files, () => writer.end);
  const log = new AuditLogInDirectory(found, files, writer, reader, checkpointer, new Reserve(files, random));
  await checkpointer.requireKept();
  if (options.expected !== undefined && !(await log.contains(options.expected))) {
    const { size } = options.expected;
    throw new CasemateError(
      "TAMPER_DETECTED",
      `audit log: the log does not contain record ${size - 1} that the database knows: it was rolled back or replaced`,
      { hint: LOG_BEHIND_HINT, details: { index: Math.min(size - 1, log.head.size) } },
    );
  }
  const { cutBytes, remade, aside } = log.recovery;
  if (cutBytes > 0 || remade.length > 0 || aside !== undefined) {
    const made = remade.length === 0 ? {} : { remade: remade.join() };
    await writer.append(recovered({ cutBytes, ...made, ...(aside === undefined ? {} : { aside }) }));
  }
  return log;
}
