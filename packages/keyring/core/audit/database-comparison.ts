import type { AuditHead } from "../ports.ts";
import { parseLine } from "./record.ts";
import type { AuditProblem } from "./verification.ts";

interface ReadHead {
  readonly generation: number;
  readonly audit: AuditHead;
}

/** What the database beside a log says of itself, without its key; undefined where this account may not read it, or not now. */
export type DatabaseHead = ReadHead | "missing" | "damaged" | undefined;

interface Named {
  readonly record: number;
  readonly generation: number;
}

const isRead = (head: DatabaseHead): head is ReadHead => typeof head === "object";

const NOT_ACCEPTED =
  "`casemate up --accept-older-log` does not help as long as the two do not fit each other; it is for both from one backup, beside a device that knows of more.";

/** What helps when the log is older than the database, was replaced, or is gone. */
export const LOG_BEHIND_HINT = `Put the audit directory back that belongs to this database, or database and audit directory together from the same backup. ${NOT_ACCEPTED}`;

/** What helps when the database is older than the log, was replaced, or is gone. */
export const DATABASE_BEHIND_HINT = `Put the database back that belongs to this audit log (casemate.db and the files beside it that begin with that name), or database and audit directory together from the same backup. ${NOT_ACCEPTED}`;

const GENERATION = Buffer.from('"generation":');

/**
 * Holds the records against what the database has seen of them, and the database against the generations of it that records name. Read
 * before the log and after it, since a server may go on writing: the log is then never behind the first, nor ahead of the second.
 */
export class DatabaseComparison {
  readonly #read: () => DatabaseHead;
  readonly #before: DatabaseHead;
  #other = false;
  /** The first record that names a generation which the database had not reached, and the one with the highest. */
  #first: Named | undefined;
  #highest: Named | undefined;

  constructor(read: () => DatabaseHead) {
    this.#read = read;
    this.#before = read();
  }

  /** A good record; `head` ends with it. */
  accept(line: Buffer, { size, hash }: AuditHead): void {
    if (!isRead(this.#before)) return;
    const seen = this.#before.audit;
    if (size === seen.size && hash !== seen.hash) this.#other = true;
    if (size <= seen.size || !line.includes(GENERATION)) return;
    const { index, details } = parseLine(line);
    const { generation } = details;
    if (typeof generation !== "number" || generation <= this.#before.generation) return;
    const named = { record: index, generation };
    this.#first ??= named;
    if (generation > (this.#highest?.generation ?? 0)) this.#highest = named;
  }

  /** Why the two do not belong together; `records` is how many there are. */
  problem(records: number): AuditProblem | undefined {
    const because = (message: string, hint: string): AuditProblem => ({ kind: "database", message, hint });
    if (this.#before === "missing" && records > 0)
      return because("there is no database beside the log", DATABASE_BEHIND_HINT);
    if (this.#before === "damaged" && records > 0)
      return because("the database beside the log is damaged, or is none", DATABASE_BEHIND_HINT);
    if (!isRead(this.#before)) return undefined;
    const { size } = this.#before.audit;
    if (size > records)
      return because(`the log has ${records} records, the database has seen ${size}`, LOG_BEHIND_HINT);
    if (this.#other) return because(`record ${size - 1} is not the one that the database has seen`, LOG_BEHIND_HINT);
    const after = this.#read();
    if (!isRead(after)) return undefined;
    const ahead = [this.#first, this.#highest].find(
      (named) => named !== undefined && named.generation > after.generation,
    );
    if (ahead === undefined) return undefined;
    return because(
      `record ${ahead.record} names generation ${ahead.generation} of the database, which is at ${after.generation}`,
      DATABASE_BEHIND_HINT,
    );
  }
}
