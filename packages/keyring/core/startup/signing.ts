import { asCasemateError } from "@casemate/foundation/errors";
import type { Core } from "../core.ts";
import { useCheckpointKey, type SignerState } from "./checkpoint-key.ts";

const UNSIGNED: Readonly<Record<Exclude<SignerState, "signs">, string>> = {
  none: "no device ready has Ed25519: checkpoints of the audit log are not signed",
  later: "checkpoints of the audit log are signed when the device that holds their key can be asked",
};

/** Who signs checkpoints: settled at the start, or when the device that holds the key comes later than the storage key's. */
export class Signing {
  readonly #core: Core;
  #state: SignerState = "none";
  /** Then what devices have witnessed says nothing against a log without a key. */
  #zeroized = false;
  #late: Promise<void> | undefined;

  constructor(core: Core) {
    this.#core = core;
  }

  /** @throws TAMPER_DETECTED: then nothing may be served. */
  async begin(): Promise<void> {
    this.#state = await useCheckpointKey(this.#core, this.#zeroized);
    if (this.#state !== "signs") this.#core.log(UNSIGNED[this.#state]);
  }

  /** Keys of Casemate's own went with a zeroized device: another one signs from now on, or the first that can. */
  lost(): void {
    this.#state = "none";
    this.#zeroized = true;
  }

  /** What a device says only now about a log and a database that are in use: if they are older ones, nothing more is served. */
  late(): Promise<void> {
    if (this.#state === "signs") return Promise.resolve();
    this.#late ??= this.begin()
      .catch((error: unknown) => {
        const known = asCasemateError(error);
        if (known.code !== "TAMPER_DETECTED") throw error;
        this.#core.guard.condemn(known);
        this.#core.alarms.raise("audit.check", known);
      })
      .finally(() => {
        this.#late = undefined;
      });
    return this.#late;
  }
}
