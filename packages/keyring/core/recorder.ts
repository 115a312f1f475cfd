import { asCasemateError } from "@casemate/foundation/errors";
import type { Metrics } from "./metrics.ts";
import type { AuditEntry, AuditLog, Durability } from "./ports.ts";

/** Names of unrecorded events kept until there is room; more are only counted. */
const MAX_NAMED = 20;

/**
 * Writes audit records, and remembers what could not be written. While such a gap is open nothing is changed any
 * more; the first record that fits again says what is missing.
 */
export class Recorder {
  readonly #audit: AuditLog;
  readonly #metrics: Metrics;
  readonly #named: string[] = [];
  #lost = 0;
  #why = "";

  constructor(audit: AuditLog, metrics: Metrics) {
    this.#audit = audit;
    this.#metrics = metrics;
  }

  /** To be awaited before a use: closes an open gap or throws. undefined when there is none. @throws STORAGE_FULL, STORAGE_FAILED. */
  ready(): Promise<void> | undefined {
    return this.#lost === 0 ? undefined : this.#closeGap();
  }

  /** The same before a change, which is made before it is recorded: its record must have room, whatever fills the disk meanwhile. */
  readyForChange(): Promise<void> | undefined {
    const closing = this.ready();
    return closing === undefined ? this.#audit.room() : closing.then(() => this.#audit.room());
  }

  /** @throws STORAGE_FULL, STORAGE_FAILED; nothing may be acknowledged then. */
  append(entry: AuditEntry, durability?: Durability, following?: number): Promise<void> {
    return this.#audit.append(entry, durability, following).then(this.#recorded, (error: unknown) => {
      this.#remember(entry, asCasemateError(error).code);
      throw error;
    });
  }

  /** For what changes nothing: a full disk does not stop it. @throws STORAGE_FAILED. */
  async appendIfRoom(entry: AuditEntry, durability?: Durability, following?: number): Promise<void> {
    try {
      await this.append(entry, durability, following);
    } catch (error) {
      if (asCasemateError(error).code !== "STORAGE_FULL") throw error;
    }
  }

  /** One function for all records: this is on the path of every request. */
  readonly #recorded = (): Promise<void> | undefined =>
    this.#lost > 0 ? this.#closeGap().catch(() => undefined) : undefined;

  #remember({ action, resource, outcome, count }: AuditEntry, why: string): void {
    this.#lost += 1;
    this.#why = why;
    this.#metrics.add("casemate_audit_unrecorded_total");
    if (this.#named.length < MAX_NAMED) this.#named.push(`${action} ${resource} ${outcome} ${count}`);
  }

  async #closeGap(): Promise<void> {
    const lost = this.#lost;
    await this.#audit.append({
      principal: "casemate",
      source: "keyring",
      action: "audit.gap",
      resource: "",
      outcome: this.#why,
      count: lost,
      details: Object.fromEntries(this.#named.map((name, index) => [`unrecorded${index}`, name.slice(0, 200)])),
    });
    // More may have been lost, or somebody else may have closed the gap, meanwhile.
    this.#lost = Math.max(0, this.#lost - lost);
    if (this.#lost === 0) this.#named.length = 0;
  }
}
