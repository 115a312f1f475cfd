import type { AuditRecordView } from "../types.ts";
import { parseLine } from "./record.ts";
import { keepsFinding, type Witnessed } from "./witnessed.ts";

const FOUND = Buffer.from('"found":');
const SERVED = Buffer.from('"sealed":false');

/** Ends every finding that was kept: the owner's word, or files that are there again. */
const ENDINGS: ReadonlySet<string> = new Set(["audit.accept", "audit.settle"]);

/** What servers found and wrote into the log itself. */
export class RecordedFindings {
  readonly #witness: Witnessed | undefined;
  /** Of the comparison with what the device has witnessed. */
  readonly #compared: AuditRecordView[] = [];
  /** Kept until it is settled. */
  #kept: string | undefined;
  /** For which a server refused everything; no later one has served. */
  #refused: string | undefined;

  constructor(witness: Witnessed | undefined) {
    this.#witness = witness;
  }

  accept(line: Buffer): void {
    if (this.#refused !== undefined && line.includes(SERVED)) this.#served(line);
    if (!line.includes(FOUND)) return;
    const record = parseLine(line);
    const { source, action, outcome, details } = record;
    if (source !== "keyring") return;
    if (ENDINGS.has(action)) this.#kept = this.#refused = undefined;
    else if (details["until"] !== undefined) this.#kept ??= String(details["found"]);
    else if (outcome === "TAMPER_DETECTED" && details["witnessed"] !== undefined)
      this.#refused ??= String(details["found"]);
    if (this.#witness !== undefined && details["witnessed"] === this.#witness.size) this.#compared.push(record);
  }

  #served(line: Buffer): void {
    const { source, details } = parseLine(line);
    if (source === "keyring" && details["sealed"] === false) this.#refused = undefined;
  }

  /** What is not settled. */
  get open(): string | undefined {
    return this.#kept ?? this.#refused;
  }

  /** A server that found the same has it on record, from before it added its refusals to the log. */
  before({ device, size }: Witnessed, since: number): string | undefined {
    const first = this.#compared.find(
      (record) => record.index >= since && keepsFinding(record, { device, witnessed: size }),
    );
    return first === undefined ? undefined : String(first.details["found"]);
  }
}
