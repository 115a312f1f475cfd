import { asCasemateError } from "@casemate/foundation/errors";
import { fromRow, rotationDue, type KeyRecord } from "../catalogue/key-record.ts";
import { recordSchedule, saveKey } from "../catalogue/save.ts";
import type { Core } from "../core.ts";
import type { Note } from "../guard.ts";
import { flushTokens } from "../tokens/flush-tokens.ts";
import { datedRecord, datesDone } from "./dated.ts";
import { destroyVersions } from "./destroy-key.ts";
import { rotate } from "./rotate-key.ts";

const SLICE = 100;
/** A token's last use is written when it is this much newer than the row. */
const TOKEN_USE_MS = 60_000;

/** Runs what is due; what fails stays due and does not hold up the rest. */
export class Schedule {
  readonly #core: Core;
  /** Last failure recorded per key, so that a device that stays away fills no log. */
  readonly #failures = new Map<string, string>();
  #running: Promise<void> | undefined;

  constructor(core: Core) {
    this.#core = core;
  }

  /** @throws STORAGE_FULL, STORAGE_FAILED: then nothing was done that could not be recorded. */
  run(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Finishes interrupted destructions alone. */
  async resume(): Promise<void> {
    await this.#due(0);
  }

  async #run(): Promise<void> {
    if (this.#core.guard.sealed) return;
    await this.#core.recorder.readyForChange();
    await this.#due(this.#core.clock.now(), () => this.#core.recorder.readyForChange());
    await this.#core.counters.flush();
    await flushTokens(this.#core, TOKEN_USE_MS);
  }

  /** @param ready makes sure of room for each record. */
  async #due(now: number, ready?: () => Promise<void> | undefined): Promise<void> {
    let after: string | undefined;
    for (;;) {
      const rows = await this.#core.store.find("key", {
        atMost: { column: "due", value: now },
        order: "id",
        ...(after === undefined ? {} : { after }),
        limit: SLICE,
      });
      for (const row of rows) {
        await ready?.();
        await this.#handle(fromRow(row).name, now);
      }
      if (rows.length < SLICE) return;
      after = rows.at(-1)?.id;
    }
  }

  async #handle(name: string, now: number): Promise<void> {
    await this.#core.locks.run(`key/${name}`, async () => {
      const note: Note = { count: 1 };
      const done: string[] = [];
      let outcome = "ok";
      try {
        const record = await this.#core.keys.stored(name);
        await advance(this.#core, record, now, note, done);
        this.#failures.delete(name);
      } catch (error) {
        outcome = asCasemateError(error).code;
        this.#core.log(`schedule of key ${name} failed`, error);
        if (this.#failures.get(name) === outcome) return;
        this.#failures.set(name, outcome);
      }
      if (done.length === 0 && outcome === "ok") return;
      await recordSchedule(this.#core, name, outcome, note, done);
    });
  }
}

/** Destructions first, then dates, then rotation, each committed on its own. */
async function advance(core: Core, record: KeyRecord, now: number, note: Note, done: string[]): Promise<void> {
  let current = record;
  const doomed = current.versions.filter((version) => version.destroying || (version.destroyAt ?? Infinity) <= now);
  if (doomed.length > 0) {
    current = await destroyVersions(core, current, doomed, note);
    done.push("destroy");
  }
  const dated = datedRecord(current, now);
  if (dated !== current) {
    done.push(...datesDone(current, dated));
    current = await saveKey(core, dated, note);
  }
  if (rotationDue(current) > now) return;
  await rotate(core, current, note);
  done.push("rotate");
}
