import { asCasemateError, type CasemateError } from "@casemate/foundation/errors";
import type { Core } from "../core.ts";
import { useCheckpointKey, type SignerState } from "./checkpoint-key.ts";

const UNSIGNED: Readonly<Record<Exclude<SignerState, "signs">, string>> = {
  none: "checkpoints of the audit log are not signed: no device that is ready has Ed25519; unlock or add one, or restart the server where one was zeroized",
  later: "checkpoints of the audit log are not signed until the device that holds their key can be asked",
};

/** Who signs checkpoints: settled at the start, or when the device that holds the key comes later than the storage key's. */
export class Signing {
  readonly #core: Core;
  #state: SignerState = "none";
  /** Then what devices have witnessed says nothing against a log without a key. */
  #zeroized = false;
  #late: Promise<void> | undefined;
  #unsigned: string | undefined;
  #restored: number | undefined;
  /** Which signer is the present one: what an earlier one says late is of no interest. */
  #turn = 0;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Why no checkpoint is signed at present; undefined where that is not known, or all is well. */
  get unsigned(): string | undefined {
    return this.#unsigned;
  }

  get signs(): boolean {
    return this.#state === "signs" && this.#unsigned === undefined;
  }

  /** `restored`: see SignerOptions. @throws TAMPER_DETECTED: then nothing may be served. */
  async begin(restored?: number): Promise<void> {
    this.#restored ??= restored;
    const turn = ++this.#turn;
    const went = (failure?: CasemateError): void => {
      if (turn === this.#turn)
        this.#tell(failure && `checkpoints of the audit log are not signed at present: ${failure.message}`);
    };
    this.#state = await useCheckpointKey(this.#core, {
      expectNone: this.#zeroized,
      restored: this.#restored,
      went,
    });
    this.#tell(this.#state === "signs" ? undefined : UNSIGNED[this.#state]);
  }

  /** Keys of Casemate's own went with a zeroized device: another one signs from now on, or the first that can. */
  lost(): void {
    this.#state = "none";
    this.#zeroized = true;
    this.#turn++;
    this.#core.audit.useSigner(undefined);
  }

  /** What a device says only now about a log and a database that are in use: if they are older ones, nothing more is served. */
  late(): Promise<void> {
    if (this.#state === "signs") return Promise.resolve(this.#again());
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

  /** A device came back: perhaps the one that could not sign. How it goes is told by the signer. */
  #again(): void {
    if (this.#unsigned !== undefined) this.#core.audit.checkpoint().catch(() => undefined);
  }

  /** Logs what changes alone: a device that stays locked is no news every minute. */
  #tell(unsigned: string | undefined): void {
    if (unsigned === this.#unsigned) return;
    this.#unsigned = unsigned;
    this.#core.log(unsigned ?? "checkpoints of the audit log are signed again");
  }
}
