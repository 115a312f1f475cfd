import type { AuditRecordView } from "../types.ts";
import { parseLine } from "./record.ts";
import { keepsFinding, type Witnessed } from "./witnessed.ts";

const FOUND = Buffer.from('"found":');

/** Ends every finding that was kept: the owner's word, or files that are there again. */
const ENDINGS: ReadonlySet<string> = new Set(["audit.accept", "audit.settle"]);

/** What servers found and wrote into the log itself. */
export class RecordedFindings {
  readonly #witness: Witnessed | undefined;
  /** Of the comparison with what the device has witnessed. */
  readonly #compared: AuditRecordView[] = [];
  #open: string | undefined;

  constructor(witness: Witnessed | undefined) {
    this.#witness = witness;
  }

  accept(line: Buffer): void {
    if (!line.includes(FOUND)) return;
    const record = parseLine(line);
    const { source, action, details } = record;
    if (source !== "keyring") return;
    if (ENDINGS.has(action)) this.#open = undefined;
    else if (details["until"] !== undefined) this.#open ??= String(details["found"]);
    if (this.#witness !== undefined && details["witnessed"] === this.#witness.size) this.#compared.push(record);
  }

  /** What is kept as an alarm until it is settled, and is not settled. */
  get open(): string | undefined {
    return this.#open;
  }

  /** A server that found the same has it on record, from before it added its refusals to the log. */
  before({ device, size }: Witnessed, since: number): string | undefined {
    const first = this.#compared.find(
      (record) => record.index >= since && keepsFinding(record, { device, witnessed: size }),
    );
    return first === undefined ? undefined : String(first.details["found"]);
  }
}
