import type { Clock } from "@casemate/foundation/effects";
import { CasemateError } from "@casemate/foundation/errors";
import type { AuditEntry, AuditHead } from "../ports.ts";
import type { AuditFiles } from "./files.ts";
import type { HeadFile } from "./head-file.ts";
import { AUDIT_LIMITS } from "./limits.ts";
import { canonicalJson, canonicalTail, recordHash, recordLeaf } from "./record.ts";
import { savePoint, type OpenSegment, type RecoveredLog } from "./recovery.ts";
import { headerLine, segmentName } from "./segment.ts";
import { storageError } from "./storage-error.ts";
import type { TreeStore } from "./tree-store.ts";

interface Waiting {
  readonly tail: string;
  readonly resolve: (index: number) => void;
  readonly reject: (error: CasemateError) => void;
}

export interface WriterOptions {
  readonly files: AuditFiles;
  readonly clock: Clock;
  readonly head: HeadFile;
  readonly segmentBytes: number;
  readonly recordsPerSave: number;
}

/**
 * The one writer. Appends that arrive while a write and its fdatasync are under way go out together with the next:
 * group commit without a timer. Hashes are computed when a batch goes out, so a batch that fails leaves no trace.
 */
export class AuditWriter {
  readonly #options: WriterOptions;
  readonly #tree: TreeStore;
  readonly #log: string;
  #segment: OpenSegment;
  #head: AuditHead;
  #waiting: Waiting[] = [];
  #flushing: Promise<void> | undefined;
  #saving: Promise<void> | undefined;
  #savedSize: number;
  #broken: CasemateError | undefined;
  #closed = false;
  /** The last ISO time made, for the many records of one millisecond. */
  #time = { ms: Number.NaN, text: "" };

  constructor(recovered: RecoveredLog, options: WriterOptions) {
    this.#options = options;
    this.#tree = recovered.tree;
    this.#log = recovered.log;
    this.#segment = recovered.segment;
    this.#head = { size: recovered.chain.size, hash: recovered.chain.hash };
    this.#savedSize = recovered.verifiedFrom;
  }

  get head(): AuditHead {
    return this.#head;
  }

  /** The segment written to and its durable length, for readers. */
  get end(): { readonly segment: number; readonly bytes: number } {
    return { segment: this.#segment.first, bytes: this.#segment.bytes };
  }

  append(entry: AuditEntry): Promise<number> {
    if (this.#closed) return Promise.reject(new CasemateError("UNAVAILABLE", "the audit log is closed"));
    if (this.#broken?.code === "STORAGE_FAILED") return Promise.reject(this.#broken);
    if (this.#waiting.length >= AUDIT_LIMITS.waiting) {
      const error = new CasemateError(
        "UNAVAILABLE",
        "the audit log cannot keep up: too many records wait for the disk",
        {
          hint: "try again shortly, or use a faster disk for the data directory",
        },
      );
      return Promise.reject(error);
    }
    const tail = canonicalTail(entry, this.#now());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ tail, resolve, reject });
      this.#flushing ??= this.#flushSoon();
    });
  }

  #now(): string {
    const ms = this.#options.clock.now();
    if (ms !== this.#time.ms) this.#time = { ms, text: new Date(ms).toISOString() };
    return this.#time.text;
  }

  async #flushSoon(): Promise<void> {
    // What arrives in the same turn of the event loop shares the write.
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) await this.#flush();
    this.#flushing = undefined;
  }

  async #flush(): Promise<void> {
    const batch = this.#waiting.splice(0, AUDIT_LIMITS.batchRecords);
    const mark = this.#tree.mark();
    try {
      if (this.#broken !== undefined) await this.#repair();
      if (this.#segment.bytes >= this.#options.segmentBytes) await this.#rotate();
      const { size } = this.#head;
      let { hash } = this.#head;
      let text = "";
      for (let i = 0; i < batch.length; i++) {
        const json = canonicalJson(size + i, batch[i]!.tail);
        hash = recordHash(hash, json);
        text += `${hash} ${json}\n`;
        this.#tree.append(recordLeaf(hash));
      }
      const bytes = Buffer.from(text);
      await this.#segment.file.write(bytes, this.#segment.bytes);
      await this.#segment.file.sync();
      this.#segment.bytes += bytes.length;
      this.#head = { size: size + batch.length, hash };
    } catch (cause) {
      this.#tree.rollback(mark);
      this.#broken = storageError(cause);
      for (const { reject } of batch) reject(this.#broken);
      if (this.#broken.code === "STORAGE_FULL") await this.#repair().catch(() => undefined);
      return;
    }
    this.#options.head.follow(this.#head);
    const first = this.#head.size - batch.length;
    for (let i = 0; i < batch.length; i++) batch[i]!.resolve(first + i);
    if (this.#head.size - this.#savedSize >= this.#options.recordsPerSave) this.#saving ??= this.#saveSoon();
  }

  /** Takes back what a failed write left after the last durable record. */
  async #repair(): Promise<void> {
    if (this.#broken?.code === "STORAGE_FAILED") throw this.#broken;
    await this.#segment.file.truncate(this.#segment.bytes);
    await this.#segment.file.sync();
    this.#broken = undefined;
  }

  async #rotate(): Promise<void> {
    const { files } = this.#options;
    const first = this.#head.size;
    const name = segmentName(first);
    const line = Buffer.from(headerLine({ log: this.#log, first, previous: this.#head.hash }));
    const file = await files.open(name, "create");
    try {
      await file.write(line, 0);
      await file.sync();
      await files.syncDirectory();
    } catch (error) {
      await file.close();
      await files.remove(name);
      throw error;
    }
    const full = this.#segment;
    this.#segment = { first, file, bytes: line.length };
    await full.file.close();
  }

  async #saveSoon(): Promise<void> {
    try {
      await this.save();
    } catch {
      // The point only shortens the next start; it is tried again with the next records.
    } finally {
      this.#saving = undefined;
    }
  }

  /** Writes tree and saved point as of now. */
  async save(): Promise<void> {
    const { size, hash } = this.#head;
    const { first: segment, bytes } = this.#segment;
    await savePoint(this.#options.files, this.#tree, { size, hash, segment, bytes });
    await this.#options.head.sync();
    this.#savedSize = size;
  }

  /** Waits until everything appended so far is durable or refused. */
  async flushed(): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.flushed();
    await this.#saving;
    if (this.#broken === undefined) await this.save().catch(() => undefined);
    await this.#segment.file.close();
    await this.#tree.close();
    await this.#options.head.close();
  }
}
