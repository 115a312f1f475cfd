import type { AuditHead } from "../ports.ts";
import { parseLine } from "./record.ts";
import type { AuditProblem } from "./verification.ts";

/** What the database beside a log says of itself, without its key; `missing` where there is none, undefined where it cannot be read. */
export type DatabaseHead = { readonly generation: number; readonly audit: AuditHead } | "missing" | undefined;

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
  #named: { readonly record: number; readonly generation: number } | undefined;

  constructor(read: () => DatabaseHead) {
    this.#read = read;
    this.#before = read();
  }

  /** A good record; `head` ends with it. */
  accept(line: Buffer, { size, hash }: AuditHead): void {
    if (this.#before === undefined || this.#before === "missing") return;
    const seen = this.#before.audit;
    if (size === seen.size && hash !== seen.hash) this.#other = true;
    if (size <= seen.size || !line.includes(GENERATION)) return;
    const { index, details } = parseLine(line);
    const { generation } = details;
    if (typeof generation !== "number" || generation <= (this.#named?.generation ?? 0)) return;
    this.#named = { record: index, generation };
  }

  /** Why the two do not belong together; `records` is how many there are. */
  problem(records: number): AuditProblem | undefined {
    const because = (message: string, hint: string): AuditProblem => ({ kind: "database", message, hint });
    if (this.#before === "missing" && records > 0)
      return because("there is no database beside the log", DATABASE_BEHIND_HINT);
    if (this.#before === undefined || this.#before === "missing") return undefined;
    const { size } = this.#before.audit;
    if (size > records)
      return because(`the log has ${records} records, the database has seen ${size}`, LOG_BEHIND_HINT);
    if (this.#other) return because(`record ${size - 1} is not the one that the database has seen`, LOG_BEHIND_HINT);
    const after = this.#read();
    if (this.#named === undefined || after === undefined || after === "missing") return undefined;
    const { record, generation } = this.#named;
    if (generation <= after.generation) return undefined;
    return because(
      `record ${record} names generation ${generation} of the database, which is at ${after.generation}`,
      DATABASE_BEHIND_HINT,
    );
  }
}
