import type { Clock } from "@casemate/foundation/effects";
import { CasemateError } from "@casemate/foundation/errors";
import type { AuditEntry, AuditHead, Durability } from "../ports.ts";
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
  /** Acknowledged once written, before it is synced. */
  readonly relaxed: boolean;
  readonly resolve: (index: number) => void;
  readonly reject: (error: CasemateError) => void;
}

/** A written record whose answer waits for the disk. */
interface Unsynced {
  readonly index: number;
  readonly waiting: Waiting;
}

/** How far the disk has the log. Always in the segment written to: a full one is synced before the next begins. */
interface Synced {
  readonly head: AuditHead;
  readonly bytes: number;
  readonly tree: ReturnType<TreeStore["mark"]>;
}

export interface WriterOptions {
  readonly files: AuditFiles;
  readonly clock: Clock;
  readonly head: HeadFile;
  readonly segmentBytes: number;
  readonly recordsPerSave: number;
}

/**
 * The one writer. Durable appends that arrive while a sync is under way go out together with the next. Where the last sync
 * had more than one and more are announced, they wait a moment for each other: a sync costs more than a signature. Relaxed appends are written at the end of the turn that brought them, so that the kernel has them
 * before they are acknowledged, and synced with the next durable one or soon after. Hashes are computed when a batch
 * goes out, so a batch that fails leaves no trace.
 */
export class AuditWriter {
  readonly #options: WriterOptions;
  readonly #tree: TreeStore;
  readonly #log: string;
  /** `bytes` is what is written of it. */
  #segment: OpenSegment;
  /** Newest written record. */
  #head: AuditHead;
  #synced: Synced;
  /** Size of the log up to the newest relaxed record that was acknowledged. */
  #promised = 0;
  #waiting: Waiting[] = [];
  #unsynced: Unsynced[] = [];
  #wantSync = false;
  #drainScheduled = false;
  /** The segment is being repaired or changed: nothing may be written beside that. */
  #preparing = false;
  #flushing: Promise<void> | undefined;
  #soon: NodeJS.Timeout | undefined;
  /** Records of the last sync that waited for it. */
  #company = 0;
  /** Appends that the last caller said will come. */
  #following = 0;
  /** Ends the wait for them. */
  #gathered: (() => void) | undefined;
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
    this.#synced = this.#now();
    this.#savedSize = recovered.verifiedFrom;
  }

  /** Newest durable record. */
  get head(): AuditHead {
    return this.#synced.head;
  }

  /** The segment written to and its durable length, for readers. */
  get end(): { readonly segment: number; readonly bytes: number } {
    return { segment: this.#segment.first, bytes: this.#synced.bytes };
  }

  append(entry: AuditEntry, durability: Durability = "durable", following = 0): Promise<number> {
    if (this.#closed) return Promise.reject(new CasemateError("UNAVAILABLE", "the audit log is closed"));
    if (this.#broken?.code === "STORAGE_FAILED") return Promise.reject(this.#broken);
    if (this.#waiting.length >= AUDIT_LIMITS.waiting) {
      const error = new CasemateError(
        "UNAVAILABLE",
        "the audit log cannot keep up: too many records wait for the disk",
        {
          hint: "Try again shortly, or use a faster disk for the data directory.",
        },
      );
      return Promise.reject(error);
    }
    const tail = canonicalTail(entry, this.#isoTime());
    const relaxed = durability === "relaxed";
    return new Promise((resolve, reject) => {
      this.#waiting.push({ tail, relaxed, resolve, reject });
      this.#following = following;
      if (!relaxed) {
        this.#flushing ??= this.#flushSoon();
        if (this.#gathered !== undefined && this.#enough()) this.#gathered();
      } else if (!this.#drainScheduled) {
        this.#drainScheduled = true;
        // After every promise callback of this turn: what is acknowledged together is written together.
        process.nextTick(() => this.#drain());
      }
    });
  }

  #isoTime(): string {
    const ms = this.#options.clock.now();
    if (ms !== this.#time.ms) this.#time = { ms, text: new Date(ms).toISOString() };
    return this.#time.text;
  }

  #now(): Synced {
    return { head: this.#head, bytes: this.#segment.bytes, tree: this.#tree.mark() };
  }

  /** Writes what waits without waiting for the disk. */
  #drain(): void {
    this.#drainScheduled = false;
    // The flush that prepares writes what waits when it is ready.
    if (this.#preparing) return;
    if (this.#broken === undefined && this.#segment.bytes < this.#options.segmentBytes) this.#write();
    if (this.#waiting.length > 0 || this.#wantSync || this.#broken !== undefined) this.#flushing ??= this.#flushSoon();
    else this.#syncSoon();
  }

  #syncSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#wantSync = true;
      this.#flushing ??= this.#flushSoon();
    }, AUDIT_LIMITS.relaxedMs);
  }

  async #flushSoon(): Promise<void> {
    // What arrives in the same turn of the event loop shares the write.
    await new Promise(setImmediate);
    while (this.#waiting.length > 0 || this.#wantSync) {
      if (this.#company > 1 && !this.#enough()) await this.#gather();
      await this.#flush();
    }
    this.#flushing = undefined;
  }

  #enough(): boolean {
    return this.#closed || this.#waiting.length >= Math.min(this.#following, AUDIT_LIMITS.gatherRecords);
  }

  #gather(): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#gathered = undefined;
        resolve();
      };
      const timer = setTimeout(end, AUDIT_LIMITS.gatherMs);
      this.#gathered = end;
    });
  }

  async #flush(): Promise<void> {
    this.#preparing = true;
    try {
      if (this.#broken !== undefined) await this.#repair();
      if (this.#segment.bytes >= this.#options.segmentBytes) await this.#rotate();
    } catch (cause) {
      this.#broken ??= storageError(cause);
      this.#wantSync = false;
      this.#refuse(this.#take());
      return;
    } finally {
      this.#preparing = false;
    }
    this.#write();
    if (this.#broken?.code === "STORAGE_FULL") {
      this.#preparing = true;
      await this.#repair().catch(() => undefined);
      this.#preparing = false;
    }
    if (this.#head.size > this.#synced.head.size) await this.#sync();
    else this.#wantSync = false;
  }

  #take(): Waiting[] {
    if (this.#waiting.length > AUDIT_LIMITS.batchRecords) return this.#waiting.splice(0, AUDIT_LIMITS.batchRecords);
    const all = this.#waiting;
    this.#waiting = [];
    return all;
  }

  #refuse(batch: readonly Waiting[]): void {
    const error = this.#broken ?? new CasemateError("STORAGE_FAILED", "the audit log was not written");
    for (const { reject } of batch) reject(error);
  }

  /** Hands one batch to the kernel; what is relaxed is acknowledged by that. */
  #write(): void {
    const batch = this.#take();
    if (batch.length === 0) return;
    const mark = this.#tree.mark();
    const { size } = this.#head;
    let { hash } = this.#head;
    try {
      let text = "";
      for (let i = 0; i < batch.length; i++) {
        const json = canonicalJson(size + i, batch[i]!.tail);
        hash = recordHash(hash, json);
        text += `${hash} ${json}\n`;
        this.#tree.append(recordLeaf(hash));
      }
      const bytes = Buffer.from(text);
      this.#segment.file.writeNow(bytes, this.#segment.bytes);
      this.#segment.bytes += bytes.length;
    } catch (cause) {
      this.#tree.rollback(mark);
      this.#broken = storageError(cause);
      this.#refuse(batch);
      return;
    }
    this.#head = { size: size + batch.length, hash };
    for (let i = 0; i < batch.length; i++) {
      const waiting = batch[i]!;
      if (waiting.relaxed) {
        this.#promised = size + i + 1;
        waiting.resolve(size + i);
      } else {
        this.#unsynced.push({ index: size + i, waiting });
        this.#wantSync = true;
      }
    }
  }

  async #sync(): Promise<void> {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    const written = this.#now();
    const answers = this.#unsynced;
    this.#unsynced = [];
    this.#company = answers.length;
    this.#wantSync = false;
    try {
      await this.#segment.file.sync();
    } catch (cause) {
      await this.#syncFailed(cause, answers);
      return;
    }
    this.#synced = written;
    this.#options.head.follow(written.head);
    for (const { index, waiting } of answers) waiting.resolve(index);
    if (this.#head.size > written.head.size && !this.#wantSync) this.#syncSoon();
    if (written.head.size - this.#savedSize >= this.#options.recordsPerSave) this.#saving ??= this.#saveSoon();
  }

  /** What was not acknowledged is taken back. Where a relaxed record was, nothing can be: the log stops. */
  async #syncFailed(cause: unknown, answers: readonly Unsynced[]): Promise<void> {
    const refused = [...answers, ...this.#unsynced].map(({ waiting }) => waiting);
    this.#unsynced = [];
    this.#wantSync = false;
    this.#broken = storageError(cause);
    if (this.#promised > this.#synced.head.size) {
      this.#broken = new CasemateError("STORAGE_FAILED", "acknowledged audit records could not be synced to the disk", {
        hint: "See to the disk and restart the server: it verifies what is there.",
        cause,
      });
    } else {
      this.#tree.rollback(this.#synced.tree);
      this.#head = this.#synced.head;
      this.#segment.bytes = this.#synced.bytes;
      this.#synced = this.#now();
    }
    this.#refuse(refused);
    if (this.#broken.code !== "STORAGE_FULL") return;
    this.#preparing = true;
    await this.#repair().catch(() => undefined);
    this.#preparing = false;
  }

  /** Takes back what a failed write left after the last whole record. */
  async #repair(): Promise<void> {
    if (this.#broken?.code === "STORAGE_FAILED") throw this.#broken;
    await this.#segment.file.truncate(this.#segment.bytes);
    await this.#segment.file.sync();
    this.#broken = undefined;
  }

  async #rotate(): Promise<void> {
    if (this.#head.size > this.#synced.head.size) await this.#sync();
    if (this.#broken !== undefined) throw this.#broken;
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
    this.#synced = this.#now();
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

  /** Writes tree and saved point as far as the disk has the log. */
  async save(): Promise<void> {
    const { head, bytes } = this.#synced;
    const { size, hash } = head;
    const point = { size, hash, segment: this.#segment.first, bytes };
    // First the head: a saved point up to the last record then says that both slots are on the disk.
    await this.#options.head.settle();
    await savePoint(this.#options.files, this.#tree, point);
    this.#savedSize = size;
  }

  /** Waits until every record acknowledged so far is on the disk, or the log is broken. */
  async settled(): Promise<void> {
    const { size } = this.#head;
    while (this.#synced.head.size < size && this.#broken === undefined) {
      this.#wantSync = true;
      await (this.#flushing ??= this.#flushSoon());
    }
  }

  /** Waits until everything appended so far is durable or refused. */
  async flushed(): Promise<void> {
    while (this.#drainScheduled) await new Promise(setImmediate);
    await this.settled();
    while (this.#flushing !== undefined) await this.#flushing;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.flushed();
    clearTimeout(this.#soon);
    await this.#saving;
    if (this.#broken === undefined) await this.save().catch(() => undefined);
    await this.#segment.file.close();
    await this.#tree.close();
    await this.#options.head.close();
  }
}
