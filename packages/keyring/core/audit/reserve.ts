import type { Random } from "@casemate/foundation/effects";
import type { AuditFiles } from "./files.ts";
import { AUDIT_LIMITS } from "./limits.ts";
import { storageError } from "./storage-error.ts";

export const RESERVE_FILE = "reserve";

/**
 * Room on the disk for the records of changes that are made before they are recorded: a file that is given up when such a record finds none.
 * While it is missing no further change is begun.
 */
export class Reserve {
  readonly #files: AuditFiles;
  readonly #random: Random;
  #held = false;
  #making: Promise<void> | undefined;
  #release: Promise<boolean> | undefined;
  #turns: Promise<void> = Promise.resolve();

  constructor(files: AuditFiles, random: Random) {
    this.#files = files;
    this.#random = random;
  }

  /** To be awaited before a change; undefined when the room is there. @throws STORAGE_FULL, STORAGE_FAILED. */
  ready(): Promise<void> | undefined {
    if (this.#held) return undefined;
    this.#making ??= this.#alone(() => this.#make()).finally(() => {
      this.#making = undefined;
    });
    return this.#making;
  }

  /** Gives the room up, once. False when there was none to give. */
  release(): Promise<boolean> {
    this.#held = false;
    this.#release ??= this.#alone(() => this.#giveUp()).finally(() => {
      this.#release = undefined;
    });
    return this.#release;
  }

  /** One after the other: what is just being made or given up is neither there nor gone. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turns.then(work);
    this.#turns = turn.then(
      () => undefined,
      () => undefined,
    );
    return turn;
  }

  async #make(): Promise<void> {
    try {
      if ((await this.#size()) !== AUDIT_LIMITS.reserveBytes) await this.#write();
      this.#held = true;
    } catch (error) {
      throw storageError(error);
    }
  }

  async #size(): Promise<number> {
    return (await this.#files.load(RESERVE_FILE))?.length ?? 0;
  }

  async #write(): Promise<void> {
    const file = await this.#files.open(RESERVE_FILE, "update");
    try {
      // Zeros would take no room on a file system that compresses.
      await file.write(this.#random.bytes(AUDIT_LIMITS.reserveBytes), 0);
      await file.sync();
      await this.#files.syncDirectory();
    } catch (error) {
      // What was written in part would take room from the records.
      await this.#files.remove(RESERVE_FILE);
      throw error;
    } finally {
      await file.close();
    }
  }

  async #giveUp(): Promise<boolean> {
    this.#held = false;
    try {
      if ((await this.#size()) === 0) return false;
      await this.#files.remove(RESERVE_FILE);
      // Some file systems free the room only then.
      await this.#files.syncDirectory();
      return true;
    } catch {
      return false;
    }
  }
}
