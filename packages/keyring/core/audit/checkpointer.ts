import { setTimeout as sleep } from "node:timers/promises";
import type { WitnessedLog } from "@casemate/devices/contract";
import { equalBytes, fromUtf8, toBase64, toHex, toUtf8 } from "@casemate/foundation/bytes";
import type { Clock } from "@casemate/foundation/effects";
import { asCasemateError, CasemateError } from "@casemate/foundation/errors";
import type { AuditEntry, AuditLog, CheckpointSigner } from "../ports.ts";
import type { Checkpoint } from "../types.ts";
import type { AuditFile, AuditFiles } from "./files.ts";
import { keptHistory, newestKept, openHistory, type OpenHistory } from "./kept-checkpoints.ts";
import { readKeyFile, writeKeyFile } from "./key-file.ts";
import {
  checkpointText,
  formatNoteKey,
  noteKeyId,
  parseCheckpoint,
  sealNote,
  verifyCheckpoint,
  type NoteKey,
} from "./note.ts";
import { tampered } from "./segment.ts";
import { CHECKPOINT_FILE } from "./sidecars.ts";
import { storageError } from "./storage-error.ts";
import { leftOf, notContinued, notKept, rolledBack, type Kept } from "./witnessed.ts";

/** The action of the records that pin those keys. */
export const KEY_ACTION = "audit.key";
/** The source of records that the log writes about itself; nobody else's have it. */
export const OWN_SOURCE = "audit";

export interface CheckpointerOptions {
  readonly files: AuditFiles;
  readonly origin: string;
  append(entry: AuditEntry): Promise<number>;
  /** Durable records. */
  size(): number;
  rootAt(size: number): Promise<Uint8Array>;
  /** RFC 6962 consistency proof between two sizes. */
  proof(older: number, newer: number): Promise<readonly Uint8Array[]>;
  readonly clock: Clock;
  readonly everyRecords: number;
  readonly everyMs: number;
}

/** A device that does not answer may hold up the end no longer. */
const CLOSING_MS = 5000;

/** Signs the tree from time to time, off the path of requests. */
export class Checkpointer {
  readonly #options: CheckpointerOptions;
  #history: AuditFile;
  /** Whether what there was in place of the history is none, and was set aside when the log was opened. */
  readonly aside: boolean;
  /** What there was when the log was opened. */
  readonly opened: AuditLog["opened"];
  /** Which checkpoints there were then. */
  readonly #kept: Kept;
  /** What was wrong with the history when the log was opened. */
  readonly #historyLacks: string | undefined;
  /** Length of the whole lines in the history. */
  #historyBytes: number;
  /** Size of its last checkpoint: less than that of the newest where an older history was put back. */
  #historyNewest: number;
  #signer: CheckpointSigner | undefined;
  #pinned: Promise<void> = Promise.resolve();
  #last: Checkpoint | undefined;
  #lastAt: number;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<Checkpoint> | undefined;

  private constructor(options: CheckpointerOptions, history: OpenHistory, last: Checkpoint | undefined) {
    this.#options = options;
    this.#history = history.file;
    this.aside = history.aside;
    this.opened = { records: options.size(), checkpoint: last?.size ?? 0 };
    this.#historyBytes = history.bytes;
    this.#historyNewest = history.newest;
    this.#historyLacks = history.lacks;
    this.#kept = { newest: last?.size ?? 0, history: history.newest };
    this.#last = last;
    this.#lastAt = options.clock.monotonic();
  }

  static async open(options: CheckpointerOptions): Promise<Checkpointer> {
    const stored = await options.files.load(CHECKPOINT_FILE);
    const last = stored === undefined ? undefined : readStored(stored);
    return new Checkpointer(options, await openHistory(options.files, last?.size ?? 0), last);
  }

  /** @throws TAMPER_DETECTED when the log is not a continuation of what the newest checkpoint signed. */
  async requireKept(): Promise<void> {
    if (this.#last === undefined) return;
    const { body } = parseCheckpoint(this.#last.note);
    if (body.origin !== this.#options.origin) throw tampered("the checkpoint belongs to another log", { index: 0 });
    const size = this.#options.size();
    if (body.size > size) {
      throw tampered(`record ${size} and those after it are missing: a checkpoint signed ${body.size}`, {
        index: size,
      });
    }
    if (!equalBytes(await this.#options.rootAt(body.size), body.root)) {
      throw tampered(`the first ${body.size} records are not those that the checkpoint signed`, { size: body.size });
    }
  }

  /** Resolves with what is wrong beside the records. @throws TAMPER_DETECTED when they are not a continuation of what was witnessed. */
  async compare(witnessed: WitnessedLog, device: string): Promise<CasemateError | undefined> {
    const seen = { ...witnessed, device };
    const { origin } = this.#options;
    const log = {
      origin,
      size: this.#options.size(),
      began: this.opened.records,
      rootAt: (size: number) => this.#options.rootAt(size),
    };
    const wrong = await notContinued(log, seen);
    if (wrong !== undefined) {
      const kept = this.#last?.size ?? 0;
      throw rolledBack(wrong, { device, witnessed: seen.size, records: log.began, kept });
    }
    // What is missing by now: those that were made since are there.
    const newest = this.#last?.size ?? 0;
    const kept = newest > this.#kept.newest ? { newest, history: newest } : this.#kept;
    const gone =
      notKept(kept, seen) ??
      (this.#historyLacks === undefined ? undefined : `checkpoints were removed: ${this.#historyLacks}`);
    if (gone !== undefined) {
      // One of them at least is never made again by the next checkpoints: it is there only when somebody puts it back.
      const lost = seen.before > 0 ? [seen.before, seen.size] : [kept.newest].filter((size) => size > 0);
      const whole = this.#historyLacks === undefined && kept.history >= seen.before;
      return tampered(gone, { witnessed: seen.size, ...missingOf(whole ? [] : lost) });
    }
    const ahead = this.#aheadOf(witnessed, device);
    return ahead === undefined ? undefined : tampered(ahead, { witnessed: seen.size });
  }

  /** Whether the history keeps checkpoints of all these sizes, over these records, signed by that key. */
  async holds(sizes: readonly number[], key: NoteKey): Promise<boolean> {
    const wanted = new Set(sizes);
    const { files, origin } = this.#options;
    try {
      for await (const { note, size } of await keptHistory(files)) {
        if (!wanted.has(size) || size > this.#options.size()) continue;
        const { body } = parseCheckpoint(note);
        if (body.origin !== origin || !equalBytes(body.root, await this.#options.rootAt(size))) return false;
        verifyCheckpoint(note, [key]);
        wanted.delete(size);
      }
    } catch {
      // A line that is no checkpoint, or one that another key signed.
      return false;
    }
    return wanted.size === 0;
  }

  /** What is wrong with a device that remembers nothing of this log, though it remembers others. */
  forgotten(publicKey: Uint8Array, device: string): CasemateError | undefined {
    const wrong = this.#aheadOf({ size: 0, publicKey }, device);
    return wrong === undefined ? undefined : tampered(wrong, { witnessed: 0 });
  }

  /** A device remembers before it signs: its signature under more than it remembers says that its memory is an old one. */
  #aheadOf({ size, publicKey }: Pick<WitnessedLog, "size" | "publicKey">, device: string): string | undefined {
    if (this.#last === undefined || this.#last.size <= size) return undefined;
    const id = noteKeyId({ name: device, publicKey });
    if (!parseCheckpoint(this.#last.note).signatures.some(({ keyId }) => equalBytes(keyId, id))) return undefined;
    return `the device ${device} was put back to an older state: it has signed a checkpoint of ${this.#last.size} records and knows of ${size}`;
  }

  use(signer: CheckpointSigner | undefined): void {
    this.#signer = signer;
    if (signer === undefined) return;
    this.#pinned = this.#pin(signer);
    // Reported by the next checkpoint, which waits for it; unhandled, it would end the process.
    this.#pinned.catch(() => undefined);
    if (this.#timer === undefined) {
      const everyMs = Math.min(1000, this.#options.everyMs);
      this.#timer = setInterval(() => this.#perhaps(), everyMs).unref();
    }
  }

  /** Writes the key into the log itself and beside it, unless it is there already. */
  async #pin(signer: CheckpointSigner): Promise<void> {
    const { files } = this.#options;
    const line = formatNoteKey(signer);
    const lines = (await readKeyFile(files))?.lines ?? [];
    if (lines.at(-1) === line) return;
    await this.#options.append({
      principal: "casemate",
      source: OWN_SOURCE,
      action: KEY_ACTION,
      resource: `device/${signer.name}`,
      outcome: "ok",
      count: 1,
      details: { algorithm: "ed25519", name: signer.name, publicKey: toBase64(signer.publicKey) },
    });
    const others = lines.filter((text) => text !== line);
    await writeKeyFile(files, [...others, line]);
  }

  /** Makes the file of keys what it must be by those that records pin, oldest first. Whether it was something else. */
  async nameKeys(pinned: readonly string[]): Promise<boolean> {
    await this.#pinned;
    const { files } = this.#options;
    const signs = this.#signer === undefined ? [] : [formatNoteKey(this.#signer)];
    // The signer may have changed since the records were read. Who signed last is named last, however often the key was pinned.
    const all = pinned.includes(signs[0] ?? "") ? pinned : [...pinned, ...signs];
    const newest = all.filter((key, at) => all.lastIndexOf(key) === at);
    const lines = (await readKeyFile(files))?.lines ?? [];
    if (lines.join() === newest.join()) return false;
    await writeKeyFile(files, newest);
    return true;
  }

  #perhaps(): void {
    const grown = this.#options.size() - (this.#last?.size ?? 0);
    const waited = this.#options.clock.monotonic() - this.#lastAt;
    const due = grown >= this.#options.everyRecords || (grown > 0 && waited >= this.#options.everyMs);
    // A device that cannot sign now (locked, restarting) is asked again at the next turn.
    if (due && this.#running === undefined) this.checkpoint().catch(() => undefined);
  }

  /** Signs the tree as it stands now or a little later; calls at the same time share a signature. */
  async checkpoint(): Promise<Checkpoint> {
    const signer = this.#signer;
    if (signer === undefined) {
      throw new CasemateError("UNAVAILABLE", "no device signs the audit log at present", {
        hint: "Unlock or add a device that can sign with Ed25519; where one was zeroized, restarting the server makes it a new one.",
      });
    }
    try {
      const made = await this.#make(signer);
      signer.went?.();
      return made;
    } catch (error) {
      // What the system says of a file; everything else comes from the signer.
      const known = error instanceof Error && "errno" in error ? storageError(error) : error;
      signer.went?.(asCasemateError(known));
      throw known;
    }
  }

  async #make(signer: CheckpointSigner): Promise<Checkpoint> {
    await this.#pinned.catch(async () => {
      this.#pinned = this.#pin(signer);
      await this.#pinned;
    });
    const wanted = this.#options.size();
    const running = await this.#running?.catch(() => undefined);
    if (running !== undefined && running.size >= wanted) return running;
    this.#running ??= this.#sign(signer).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #sign(signer: CheckpointSigner): Promise<Checkpoint> {
    const size = this.#options.size();
    this.#lastAt = this.#options.clock.monotonic();
    const removed = await this.#removed();
    if (removed !== undefined) await signer.found?.(removed);
    const last = this.#lastOf(signer, size) ?? (await this.#catchUp(signer, size));
    return last ?? this.#signAt(signer, size);
  }

  /** What somebody took away while the server runs. A history that is gone or damaged begins anew: what is written to a removed file is lost. */
  async #removed(): Promise<CasemateError | undefined> {
    const { files } = this.#options;
    if (this.#last === undefined) return undefined;
    const { size } = this.#last;
    const newest = (await newestKept(files)) ?? 0;
    const old = this.#history;
    const history = await openHistory(files, this.#historyNewest);
    this.#history = history.file;
    this.#historyBytes = history.bytes;
    this.#historyNewest = history.newest;
    await old.close();
    const kept = { newest, history: history.newest };
    const gone = newest >= size ? undefined : `the newest was of ${size} records, and ${leftOf(kept, size)}`;
    const which = gone ?? history.lacks;
    if (which === undefined) return undefined;
    const missing = missingOf(kept.history < size ? [size] : []);
    return tampered(`checkpoints were removed while the server ran: ${which}`, { records: size, ...missing });
  }

  #lastOf(signer: CheckpointSigner, size: number): Checkpoint | undefined {
    return this.#last?.size === size && this.#last.signedBy === signer.name ? this.#last : undefined;
  }

  /**
   * A process that ended, or a disk that was full, between the device's memory and the file leaves a checkpoint that is kept nowhere.
   * It is made again before the next one, so that at most the newest is ever missing.
   */
  async #catchUp(signer: CheckpointSigner, size: number): Promise<Checkpoint | undefined> {
    const seen = await signer.witnessed?.();
    if (seen === undefined) return undefined;
    await this.compare(seen, signer.name);
    if (seen.size > (this.#last?.size ?? 0)) await this.#signAt(signer, seen.size);
    return this.#lastOf(signer, size);
  }

  async #signAt(signer: CheckpointSigner, size: number): Promise<Checkpoint> {
    const { files, origin } = this.#options;
    const root = await this.#options.rootAt(size);
    const text = checkpointText({ origin, size, root });
    const since = async (older: number) => (older === 0 ? [] : this.#options.proof(older, size));
    const note = sealNote(text, signer, await signer.sign(toUtf8(text), { origin, size, root, since }));
    const line = toUtf8(`${JSON.stringify(note)}\n`);
    try {
      await this.#history.write(line, this.#historyBytes);
      await this.#history.sync();
      this.#historyBytes += line.length;
      this.#historyNewest = size;
      await files.replace(CHECKPOINT_FILE, toUtf8(note));
    } catch (error) {
      await this.#history.truncate(this.#historyBytes).catch(() => undefined);
      throw storageError(error);
    }
    this.#last = { note, size, rootHash: toHex(root), signedBy: signer.name };
    return this.#last;
  }

  /** Signs a last time where there is something new; a device that is gone does not hold up the end. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#signer !== undefined && this.#options.size() > (this.#last?.size ?? 0)) {
      const last = this.checkpoint().catch(() => undefined);
      await Promise.race([last, sleep(CLOSING_MS, undefined, { ref: false })]);
    }
    await this.#history.close();
  }
}

/** Sizes that a finding names, for `holds`. */
function missingOf(sizes: readonly number[]): { readonly missing?: string } {
  return sizes.length === 0 ? {} : { missing: sizes.join() };
}

function readStored(bytes: Buffer): Checkpoint {
  try {
    const note = fromUtf8(bytes);
    const { body, signatures } = parseCheckpoint(note);
    return { note, size: body.size, rootHash: toHex(body.root), signedBy: signatures[0]?.name ?? "" };
  } catch (cause) {
    throw new CasemateError("TAMPER_DETECTED", "audit log: the newest checkpoint cannot be read", {
      hint: "Run `casemate audit verify`; older checkpoints are kept beside it.",
      cause,
    });
  }
}
