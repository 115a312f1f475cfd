/** The device from start to zeroization: finding its state, unlocking, locking. One value says which phase it is in. */
import { createPrivateKey } from "node:crypto";
import { toHex } from "@casemate/foundation/bytes";
import { CasemateError, asCasemateError, isCasemateError, withHint } from "@casemate/foundation/errors";
import type { ReplyOf, RequestOf, RootKind, SaveOutcome, WireState } from "@casemate/protocols/hsm";
import { createKeyFile, eraseKeyFile, noteCounter, readKeyFile } from "./key-file.ts";
import { CounterTable, IdSet } from "./packed-tables.ts";
import { OpenDevice, type DeviceTools } from "./open-device.ts";
import { lockRoot, openRoot } from "./passphrase.ts";
import { createPersistence, type Persistence } from "./persistence.ts";
import { refuse } from "./refuse.ts";
import { ROOT_BYTES, deriveRootKeys, type RootFile } from "./root.ts";
import { openState, readEnvelope, sealState, withTries, type DeviceState, type Envelope } from "./sealed-state.ts";
import { makeUnlockKey, openUnlockKey, type UnlockKey } from "./unlock-key.ts";
import { createChallenges } from "./unlock-message.ts";

/** Wrong passphrases after which only zeroizing is left. */
export const MAX_TRIES = 10;
/** Wrong passphrases without a wait. */
const FREE_TRIES = 3;

/** What ends the zeroized state where nobody can unlock: a key file is made by a process that starts. */
const RESTART = "restart the server, which makes it a new, empty device";

type Phase =
  | { readonly at: "starting" }
  | { readonly at: "locked"; readonly detail: string; readonly envelope: Envelope | undefined }
  | {
      /** Until a new device's state is durable it answers nothing. */
      readonly at: "operational";
      readonly durable: boolean;
      readonly device: OpenDevice;
      readonly stateKey: Uint8Array;
      readonly root: Uint8Array;
      readonly lock: Uint8Array;
    }
  | { readonly at: "tampered" | "error"; readonly detail: string };

export interface LifecycleOptions extends DeviceTools {
  readonly rootFile: RootFile | undefined;
  sendState(sequence: bigint, sealed: Uint8Array): void;
  /** The device changed state by itself or by a request. */
  onState(state: WireState, detail: string): void;
  /** Milliseconds, monotonic. */
  now(): number;
  /** For tests: a cheaper Argon2id. */
  readonly passphraseCost?: { readonly memoryKiB: number; readonly passes: number; readonly lanes: number };
}

export class Lifecycle {
  readonly #options: LifecycleOptions;
  readonly #persistence: Persistence;
  readonly #challenges;
  #phase: Phase = { at: "starting" };
  #kind: RootKind | undefined;
  #unlockKey: UnlockKey | undefined;
  #counter = 0n;
  #tries = 0;
  #waitUntil = 0;
  #busy = false;
  /** The newest state that the host kept. */
  #kept: Uint8Array | undefined;
  readonly notes: string[] = [];

  constructor(options: LifecycleOptions) {
    this.#options = options;
    this.#challenges = createChallenges(options.random);
    this.#persistence = createPersistence({
      seal: () => this.#seal(),
      send: (sequence, sealed) => options.sendState(sequence, sealed),
    });
  }

  get state(): WireState {
    return this.#phase.at === "operational" && !this.#phase.durable ? "starting" : this.#phase.at;
  }

  get detail(): string {
    return "detail" in this.#phase ? this.#phase.detail : "";
  }

  get kind(): RootKind | undefined {
    return this.#kind;
  }

  /** What to do about a locked device. A key file leaves one locked only when it was zeroized. */
  get unlocking(): string {
    return this.#kind === "passphrase" ? "Unlock it." : "Use another device, or restart the server.";
  }

  get counters(): { readonly saves: bigint; readonly wrongTries: number } {
    return { saves: this.#counter, wrongTries: this.#tries };
  }

  get device(): OpenDevice | undefined {
    return this.#phase.at === "operational" ? this.#phase.device : undefined;
  }

  settled(sequence: bigint, outcome: SaveOutcome): void {
    this.#persistence.settled(sequence, outcome);
  }

  /** Finds the device in what the host kept. Bad content never rejects: the phase says what is wrong. */
  async restore({ root, generations }: RequestOf<"restore">): Promise<void> {
    this.#kind = root;
    // An empty newest generation is what zeroizing leaves.
    const saved = generations[0]?.length === 0 ? [] : generations.map((bytes) => bytes.slice());
    try {
      const envelopes = this.#readable(saved);
      if (root === "passphrase") this.#waitForPassphrase(this.#unlockFile(), envelopes[0]);
      else await this.#startFromKeyFile(envelopes);
    } catch (error) {
      if (!isCasemateError(error)) throw error; // a bug, or a system that fails: the supervisor's matter
      const at = error.code === "TAMPER_DETECTED" ? "tampered" : "error";
      this.#enter({ at, detail: withHint(error) });
    }
  }

  /** What signs challenges; undefined where a key file unlocks. */
  get unlockKey(): UnlockKey | undefined {
    return this.#unlockKey;
  }

  challenge(): ReplyOf<"challenge"> {
    if (this.#unlockKey === undefined)
      throw refuse("NOT_SUPPORTED", "this device is unlocked by its key file, not by a passphrase");
    const publicKey = this.#challenges.issue();
    return { publicKey, signature: this.#unlockKey.sign(publicKey), signer: this.#unlockKey.publicKey };
  }

  /** @throws PIN_WRONG, PIN_LOCKED, BAD_REQUEST, CONFLICT while another attempt runs */
  async unlock(sealed: Uint8Array): Promise<void> {
    if (this.#phase.at !== "locked") throw refuse("CONFLICT", "the device is not locked");
    const { envelope } = this.#phase;
    if (this.#kind !== "passphrase") throw refuse("NOT_SUPPORTED", `the device was zeroized; ${RESTART}`);
    if (this.#busy) throw refuse("CONFLICT", "another passphrase is being tried", "Wait for its result.");
    this.#busy = true;
    try {
      using passphrase = this.#challenges.open(sealed);
      if (envelope === undefined) await this.#firstPassphrase(passphrase.reveal());
      else await this.#tryPassphrase(envelope, passphrase.reveal());
    } finally {
      this.#busy = false;
    }
  }

  async lock(): Promise<void> {
    if (this.#kind !== "passphrase")
      throw refuse(
        "NOT_SUPPORTED",
        "a device with a key file as its root cannot be locked: the file would unlock it at once",
        "Use a device with a passphrase.",
      );
    if (this.#phase.at !== "operational") return;
    await this.#persistence.save();
    const kept = this.#kept as Uint8Array;
    this.#close();
    this.#enter({ at: "locked", detail: "locked on request", envelope: readEnvelope(kept) });
  }

  async zeroize(): Promise<void> {
    this.#close();
    this.#challenges.clear();
    this.#tries = 0;
    this.#waitUntil = 0;
    const { rootFile, random } = this.#options;
    if (this.#kind === "key-file" && rootFile !== undefined) eraseKeyFile(rootFile);
    // A new device, which nobody has reason to trust for what the old one was.
    if (this.#kind === "passphrase" && rootFile !== undefined) this.#unlockKey = makeUnlockKey(rootFile, random);
    const next = this.#kind === "passphrase" ? "the next passphrase becomes that of a new device" : RESTART;
    this.#enter({ at: "locked", detail: `zeroized: every key is gone; ${next}`, envelope: undefined });
    await this.#persistence.save();
  }

  #readable(saved: readonly Uint8Array[]): Envelope[] {
    const envelopes: Envelope[] = [];
    const failures: CasemateError[] = [];
    for (const bytes of saved) {
      try {
        envelopes.push(readEnvelope(bytes));
      } catch (error) {
        failures.push(asCasemateError(error));
      }
    }
    const first = failures[0];
    if (first !== undefined && (envelopes.length === 0 || first.code === "STORAGE_NEWER")) throw first;
    if (first !== undefined) this.notes.push("the newest saved state was damaged; the one before it is in use");
    return envelopes;
  }

  #unlockFile(): RootFile {
    if (this.#options.rootFile === undefined)
      throw refuse("CONFIG_INVALID", "the device got no descriptor of its unlock key file");
    return this.#options.rootFile;
  }

  #waitForPassphrase(file: RootFile, envelope: Envelope | undefined): void {
    this.#unlockKey = openUnlockKey(file, this.#options.random);
    if (envelope !== undefined && envelope.root !== "passphrase") throw otherRoot(envelope.root);
    this.#tries = envelope?.tries ?? 0;
    this.#counter = envelope?.counter ?? 0n;
    this.#delay();
    const detail =
      envelope === undefined ? "new: the first passphrase becomes the device's own" : "waits for its passphrase";
    this.#enter({ at: "locked", detail, envelope });
  }

  async #startFromKeyFile(envelopes: readonly Envelope[]): Promise<void> {
    const file = this.#options.rootFile;
    if (file === undefined) throw refuse("CONFIG_INVALID", "the device got no descriptor of its key file");
    const newest = envelopes[0];
    if (newest !== undefined && newest.root !== "key-file") throw otherRoot(newest.root);
    const content = readKeyFile(file);
    if (newest === undefined) {
      if (content !== undefined && content.counter > 0n)
        throw refuse(
          "TAMPER_DETECTED",
          "the key file belongs to a device whose sealed state is missing",
          "Restore the state; to start without it on purpose, cut the key file to its first 32 bytes.",
        );
      const { root } = content ?? createKeyFile(file, this.#options.random);
      await this.#begin(root, new Uint8Array());
      return;
    }
    if (content === undefined)
      throw refuse(
        "CONFIG_INVALID",
        "the key file is empty or was overwritten with zeros, and nothing else opens the sealed state",
        "Restore the key file from its backup.",
      );
    const { envelope, state } = openNewest(envelopes, deriveRootKeys(content.root).state);
    if (envelope.counter < content.counter)
      throw refuse(
        "TAMPER_DETECTED",
        `the sealed state is an older one: save ${envelope.counter}, while the key file has seen save ${content.counter}`,
        "Restore the newest state, or state and key file from the same backup; to go on with the older state on purpose, cut the key file to its first 32 bytes.",
      );
    if (envelope !== newest) this.notes.push("the newest saved state did not open; the one before it is in use");
    this.#counter = envelope.counter;
    this.#open(content.root, new Uint8Array(), state);
  }

  async #firstPassphrase(passphrase: Uint8Array): Promise<void> {
    const root = this.#options.random.bytes(ROOT_BYTES);
    const lock = await lockRoot(root, passphrase, this.#options.random, this.#options.passphraseCost);
    await this.#begin(root, lock);
  }

  async #tryPassphrase(envelope: Envelope, passphrase: Uint8Array): Promise<void> {
    if (this.#tries >= MAX_TRIES)
      throw refuse("PIN_LOCKED", `${MAX_TRIES} wrong passphrases: the device stays locked`, "Zeroize it.");
    const wait = Math.ceil((this.#waitUntil - this.#options.now()) / 1000);
    if (wait > 0)
      throw refuse("PIN_LOCKED", `too many wrong passphrases in a row`, `Try again in ${wait} s, not earlier.`);
    // Counted before it is tried, so that ending the process buys no free try.
    this.#tries += 1;
    await this.#persistence.save();
    const root = await openRoot(envelope.lock, passphrase);
    if (root === undefined) {
      this.#delay();
      throw new CasemateError("PIN_WRONG", "the passphrase is wrong", {
        hint: `${MAX_TRIES - this.#tries} tries are left.`,
        details: { triesLeft: MAX_TRIES - this.#tries },
      });
    }
    const state = openState(envelope, deriveRootKeys(root).state);
    this.#tries = 0;
    this.#open(root, envelope.lock, state);
    // A count that stays too high on a full disk costs a wait later, no security.
    await this.#persistence.save().catch(() => undefined);
  }

  /** Longer with each wrong try: 1, 2, 4, … s. */
  #delay(): void {
    const over = this.#tries - FREE_TRIES;
    this.#waitUntil = over < 0 ? 0 : this.#options.now() + 1000 * 2 ** over;
  }

  /** A device that never was before: durable before its first answer. */
  async #begin(root: Uint8Array, lock: Uint8Array): Promise<void> {
    const { random } = this.#options;
    const seed = random.bytes(32);
    const identity = createPrivateKey({ key: seed, format: "raw-private", asymmetricKeyType: "ed25519" });
    seed.fill(0);
    const state: DeviceState = {
      serial: random.bytes(8),
      identity: identity.export({ format: "der", type: "pkcs8" }),
      destroyed: new IdSet(),
      counters: new CounterTable(),
      witnessed: new Map(),
    };
    const keys = deriveRootKeys(root);
    const device = new OpenDevice(state, keys, this.#persistence, this.#options);
    const before = this.#phase;
    const opened = { at: "operational", device, stateKey: keys.state, root, lock } as const;
    this.#phase = { ...opened, durable: false };
    try {
      await this.#persistence.save();
    } catch (error) {
      device.close();
      this.#phase = before;
      throw error;
    }
    this.#enter({ ...opened, durable: true });
  }

  #open(root: Uint8Array, lock: Uint8Array, state: DeviceState): void {
    const keys = deriveRootKeys(root);
    const device = new OpenDevice(state, keys, this.#persistence, this.#options);
    this.#enter({ at: "operational", durable: true, device, stateKey: keys.state, root, lock });
  }

  #close(): void {
    if (this.#phase.at !== "operational") return;
    this.#phase.device.close();
    this.#phase.root.fill(0);
  }

  #enter(phase: Phase): void {
    this.#phase = phase;
    this.#options.onState(phase.at, this.detail);
  }

  #seal(): { readonly bytes: Uint8Array; readonly onKept: () => void } {
    const phase = this.#phase;
    if (phase.at === "locked") {
      const bytes = phase.envelope === undefined ? new Uint8Array() : withTries(phase.envelope, this.#tries);
      return { bytes, onKept: () => this.#keep(bytes) };
    }
    if (phase.at !== "operational") throw refuse("INTERNAL", "a device without state has nothing to save");
    this.#counter += 1n;
    const counter = this.#counter;
    const { random, rootFile } = this.#options;
    const bytes = sealState(
      phase.device.state,
      { key: phase.stateKey, root: this.#kind ?? "key-file", counter, lock: phase.lock, tries: this.#tries },
      random,
    );
    return {
      bytes,
      onKept: () => {
        this.#keep(bytes);
        if (this.#phase.at === "operational" && this.#kind === "key-file" && rootFile !== undefined)
          noteCounter(rootFile, phase.root, counter);
      },
    };
  }

  #keep(bytes: Uint8Array): void {
    this.#kept = bytes;
  }

  get serial(): string {
    const device = this.device;
    return device === undefined ? "" : toHex(device.state.serial);
  }
}

const otherRoot = (kind: RootKind): CasemateError =>
  refuse(
    "CONFIG_INVALID",
    `the sealed state belongs to a device with a ${kind} root`,
    `Configure the device with a ${kind}.`,
  );

/** The newest generation that the key opens. @throws TAMPER_DETECTED */
function openNewest(envelopes: readonly Envelope[], key: Uint8Array): { envelope: Envelope; state: DeviceState } {
  let first: unknown;
  for (const envelope of envelopes) {
    try {
      return { envelope, state: openState(envelope, key) };
    } catch (error) {
      first ??= error;
    }
  }
  throw Object.assign(
    refuse(
      "TAMPER_DETECTED",
      "the key file does not belong to the sealed state: it is another one or was overwritten, or the state was changed",
      "Restore the key file of this state from its backup, or state and key file from the same one.",
    ),
    { cause: first },
  );
}
