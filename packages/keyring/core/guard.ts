import { asCasemateError, CasemateError } from "@casemate/foundation/errors";
import type { Action } from "./actions.ts";
import { keyEntry, type KeyCache, type KeyEntry } from "./catalogue/key-cache.ts";
import type { KeyRecord } from "./catalogue/key-record.ts";
import type { Metrics } from "./metrics.ts";
import type { AuditEntry, PolicyEngine, PolicyRequest } from "./ports.ts";
import type { Recorder } from "./recorder.ts";
import type { SealedBy } from "./startup/sealed-by.ts";
import type { Caller } from "./types.ts";

/** What a use case adds to its audit record while it runs. */
export interface Note {
  count: number;
  details?: Record<string, string | number | boolean>;
  /** Something was changed that no row tells of, such as a device: its record has room that is kept for changes. */
  changed?: boolean;
  /** When the resource becomes known only on the way: the new token, the new object. */
  resource?: string;
}

/** These go on when the disk is full: they change nothing, so their lost records are counted and reported later. */
const READS: ReadonlySet<Action> = new Set<Action>([
  "key.read",
  "key.list",
  "key.public",
  "key.verify",
  "key.mac-verify",
  "device.list",
  "device.read",
  "device.objects",
  "token.list",
  "policy.list",
  "policy.explain",
  "policy.test",
  "object.read",
  "audit.read",
  "audit.prove",
]);

/** What works before the device that holds the storage key is unlocked. */
const WHILE_SEALED: ReadonlySet<Action> = new Set<Action>([
  "device.list",
  "device.read",
  "device.unlock",
  "audit.read",
]);

export interface GuardParts {
  readonly recorder: Recorder;
  readonly policy: PolicyEngine;
  readonly keys: KeyCache;
  readonly metrics: Metrics;
  readonly deviceKind: (id: string) => string;
  /** Whether the caller's token still holds; undefined when known at once. @throws UNAUTHENTICATED, TOKEN_EXPIRED. */
  readonly stillValid: (caller: Caller) => Promise<void> | undefined;
  /** Sources whose uses of keys are answered once the record is written, before it is synced. */
  readonly relaxedSources: ReadonlySet<string>;
  /** Called every `HEAD_EVERY` records: the database notes how far the log is. */
  readonly keepHead: () => void;
}

/** Uses that change nothing but counters: where the source is relaxed about it, their records are answered before they are synced. */
const USES: ReadonlySet<Action> = new Set<Action>([
  ...READS,
  "key.sign",
  "key.encrypt",
  "key.decrypt",
  "key.mac",
  "key.agree",
  "key.encapsulate",
  "key.decapsulate",
  "key.data-keys",
  "session-key.use",
  "random",
]);

/** The rest that leaves nothing in the database: its record needs no room that is made sure of before. */
const CHANGES_NOTHING: ReadonlySet<Action> = new Set<Action>([
  ...USES,
  "key.wrap",
  "key.export",
  "session-key.create",
  "session-key.read",
  "device.unlock",
  "device.lock",
  "audit.checkpoint",
]);

const seriesOf = (action: Action, outcome: string): string =>
  `casemate_operations_total{action="${action}",outcome="${outcome}"}`;

/** Names of the series of what went well, made once each: this is on the path of every request. */
function successes(): (action: Action) => string {
  const known = new Map<Action, string>();
  return (action) => {
    let series = known.get(action);
    if (series === undefined) known.set(action, (series = seriesOf(action, "ok")));
    return series;
  };
}

/** Bounds what a start after a crash must compare between log and database. */
const HEAD_EVERY = 20_000;

/** The one way into every use case: authorize, act, record, and only then answer. */
export class Guard {
  readonly #parts: GuardParts;
  readonly #succeeded = successes();
  #sealed: SealedBy | undefined;
  #tampered: CasemateError | undefined;
  #sinceHead = 0;
  /** Use cases begun whose record is still to come. */
  #underWay = 0;

  constructor(parts: GuardParts) {
    this.#parts = parts;
  }

  /** All but unlocking is refused with this. What was found wrong stays: no state of a device ends it. */
  seal(by: SealedBy): void {
    if (this.finding === undefined) this.#sealed = by;
  }

  /** What an unlocking found wrong. */
  get finding(): CasemateError | undefined {
    return this.#sealed?.code === "TAMPER_DETECTED" ? refusalOf(this.#sealed) : undefined;
  }

  unseal(): void {
    this.#sealed = undefined;
  }

  get sealed(): boolean {
    return this.#sealed !== undefined;
  }

  /** What is wrong with the storage key's device beyond being locked, in one sentence. */
  get alarm(): string | undefined {
    return this.#sealed === undefined || this.#sealed.code === "DEVICE_LOCKED" ? undefined : this.#sealed.message;
  }

  /** The same with what to do about it. */
  get warning(): string | undefined {
    const { alarm } = this;
    return alarm === undefined || this.#sealed?.hint === undefined ? alarm : `${alarm}. ${this.#sealed.hint}`;
  }

  /** What has to be unlocked before anything is answered, and how. */
  get waiting(): string | undefined {
    if (this.#sealed?.code !== "DEVICE_LOCKED") return undefined;
    const { message, hint } = this.#sealed;
    return hint === undefined ? message : `${message}. ${hint}`;
  }

  /** From now on everything is refused with this. */
  condemn(error: CasemateError): void {
    this.#tampered = error;
  }

  /** A use case on the keyring as a whole. `resource` is for the record, and so are `details` that are known before. */
  async keyring<T>(
    caller: Caller,
    action: Action,
    resource: string,
    work: (note: Note) => Promise<T>,
    details?: Note["details"],
  ): Promise<T> {
    const note: Note = details === undefined ? { count: 1 } : { count: 1, details };
    this.#underWay += 1;
    let result: T;
    try {
      const waiting = this.#ready(caller, action);
      if (waiting !== undefined) await waiting;
      this.#authorize({ caller, action, resource: { type: "keyring" } }, resource);
      result = await work(note);
    } catch (error) {
      return this.#refuse(caller, action, note.resource ?? resource, note, error);
    }
    await this.#record(caller, action, note.resource ?? resource, "ok", note);
    return result;
  }

  /** A use case on one key. @throws NOT_FOUND, FORBIDDEN before `work` runs. */
  async key<T>(
    caller: Caller,
    action: Action,
    name: string,
    work: (entry: KeyEntry, note: Note) => Promise<T>,
  ): Promise<T> {
    const note: Note = { count: 1 };
    this.#underWay += 1;
    let resource: string | undefined;
    let result: T;
    try {
      const waiting = this.#ready(caller, action);
      if (waiting !== undefined) await waiting;
      const entry = this.#parts.keys.peek(name) ?? (await this.#parts.keys.load(name));
      resource = entry.resource;
      this.authorizeKey(caller, action, entry);
      result = await work(entry, note);
    } catch (error) {
      return this.#refuse(caller, action, resource ?? `key/${name.slice(0, 128)}`, note, error);
    }
    await this.#record(caller, action, resource, "ok", note);
    return result;
  }

  /** For a key that does not exist yet: policy sees the attributes it would have. */
  async newKey<T>(
    caller: Caller,
    action: Action,
    name: string,
    draft: () => KeyRecord,
    work: (draft: KeyRecord, note: Note) => Promise<T>,
  ): Promise<T> {
    const note: Note = { count: 1 };
    this.#underWay += 1;
    const resource = `key/${name.slice(0, 128)}`;
    let result: T;
    try {
      const waiting = this.#ready(caller, action);
      if (waiting !== undefined) await waiting;
      const record = draft();
      this.#authorize(this.#keyRequest(caller, action, keyEntry(record), false), resource);
      result = await work(record, note);
    } catch (error) {
      return this.#refuse(caller, action, resource, note, error);
    }
    await this.#record(caller, action, resource, "ok", note);
    return result;
  }

  /** For a second key or a stricter action inside a use case; `why` tells who is refused why it is asked for. @throws FORBIDDEN. */
  authorizeKey(caller: Caller, action: Action, entry: KeyEntry, why?: string): void {
    this.#authorize(this.#keyRequest(caller, action, entry, true), entry.resource, why);
  }

  #keyRequest(caller: Caller, action: Action, entry: KeyEntry, cacheable: boolean): PolicyRequest {
    const { record, primary } = entry;
    return {
      caller,
      action,
      resource: {
        type: "key",
        name: record.name,
        algorithm: record.algorithm,
        device: record.device,
        deviceKind: this.#parts.deviceKind(record.device),
        state: primary.state,
        labels: record.labels,
        createdBy: record.createdBy,
      },
      ...(cacheable ? { revision: record.revision } : {}),
    };
  }

  /** Whether policy lets the caller see this key; records nothing. */
  sees(caller: Caller, entry: KeyEntry): boolean {
    return this.#parts.policy.decide(this.#keyRequest(caller, "key.read", entry, true)).allowed;
  }

  #ready(caller: Caller, action: Action): Promise<void> | undefined {
    if (this.#tampered !== undefined) throw this.#tampered;
    if (this.#sealed !== undefined) {
      // Once something was found wrong, unlocking ends nothing.
      const answered = WHILE_SEALED.has(action) && !(action === "device.unlock" && this.finding !== undefined);
      if (!answered) throw refusalOf(this.#sealed);
    }
    const { recorder } = this.#parts;
    const room = (): Promise<void> | undefined => {
      if (READS.has(action)) return undefined;
      return CHANGES_NOTHING.has(action) ? recorder.ready() : recorder.readyForChange();
    };
    const token = this.#parts.stillValid(caller);
    return token === undefined ? room() : token.then(room);
  }

  #authorize(request: PolicyRequest, resource: string, why = ""): void {
    const decision = this.#parts.policy.decide(request);
    if (decision.allowed) return;
    throw new CasemateError(
      "FORBIDDEN",
      `${request.caller.principal} may not do ${request.action}${resource === "" ? "" : ` on ${resource}`}`,
      {
        hint: `${why === "" ? "" : `${why} `}Ask an administrator; casemate policy explain shows which policy decides.`,
        details: { reason: decision.code },
      },
    );
  }

  async #refuse(caller: Caller, action: Action, resource: string, note: Note, cause: unknown): Promise<never> {
    const error = asCasemateError(cause);
    await this.#record(caller, action, resource, error.code, note);
    throw error;
  }

  #record(caller: Caller, action: Action, resource: string, outcome: string, note: Note): Promise<void> {
    this.#underWay -= 1;
    this.#parts.metrics.add(outcome === "ok" ? this.#succeeded(action) : seriesOf(action, outcome), note.count);
    const entry: AuditEntry = {
      principal: caller.principal,
      source: caller.source,
      token: caller.token,
      requestId: caller.requestId,
      action,
      resource,
      outcome,
      count: note.count,
      details: note.details,
    };
    if (++this.#sinceHead >= HEAD_EVERY) {
      this.#sinceHead = 0;
      this.#parts.keepHead();
    }
    const { recorder, relaxedSources } = this.#parts;
    // A refusal is evidence: it is always on the disk before it is told.
    const relaxed = outcome === "ok" && USES.has(action) && relaxedSources.has(caller.source);
    // What failed half-way may have been committed, too.
    const changed =
      !CHANGES_NOTHING.has(action) &&
      (outcome === "ok" || note.changed === true || note.details?.["generation"] !== undefined);
    const durability = relaxed ? "relaxed" : changed ? "reserved" : "durable";
    return READS.has(action)
      ? recorder.appendIfRoom(entry, durability, this.#underWay)
      : recorder.append(entry, durability, this.#underWay);
  }
}

function refusalOf({ code, message, hint }: SealedBy): CasemateError {
  return new CasemateError(code, message, hint === undefined ? {} : { hint });
}
