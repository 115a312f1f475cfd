/**
 * The device as a witness of audit logs, after C2SP tlog-witness: it signs a checkpoint (C2SP tlog-checkpoint) only
 * when it continues the last one that it signed with the same key, and remembers it before the signature leaves.
 */
import { sign } from "node:crypto";
import { toBase64, toUtf8 } from "@casemate/foundation/bytes";
import { LIMITS, type ReplyOf, type SignCheckpointRequest } from "@casemate/protocols/hsm";
import { continues } from "./consistency.ts";
import type { LoadedKey } from "./loaded-key.ts";
import type { Persistence } from "./persistence.ts";
import { refuse } from "./refuse.ts";
import { stateId, type WitnessedLog } from "./sealed-state.ts";

/** Sizes beyond are no count of records: programs keep them as exact numbers up to here. */
const MAX_SIZE = BigInt(Number.MAX_SAFE_INTEGER);
const RAW_KEY_BYTES = 32;

interface Options {
  /** By the state id of the key that signs; part of the sealed state. */
  readonly logs: Map<string, WitnessedLog>;
  readonly persistence: Persistence;
  /** @throws NOT_FOUND */
  open(ref: Uint8Array): LoadedKey;
}

export class Witness {
  readonly #options: Options;
  /** One at a time: each continues the one before. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: Options) {
    this.#options = options;
  }

  logs(): ReplyOf<"witnessedLogs"> {
    return [...this.#options.logs.values()];
  }

  /** @throws KEY_USAGE: a signature beside the witness would be one that nobody remembers. */
  requireOther(key: LoadedKey): void {
    const { logs } = this.#options;
    if (logs.size === 0 || !logs.has(stateId(key.id))) return;
    throw refuse("KEY_USAGE", "the key signs the checkpoints of an audit log, and nothing else");
  }

  forget(id: string): void {
    this.#options.logs.delete(id);
  }

  /** @throws TAMPER_DETECTED, NOT_FOUND, NOT_SUPPORTED, KEY_USAGE, BAD_REQUEST, DEVICE_FULL, STORAGE_FULL, STORAGE_FAILED */
  sign(request: SignCheckpointRequest): Promise<Uint8Array> {
    const signed = this.#turn.then(() => this.#sign(request));
    this.#turn = signed.catch(() => undefined);
    return signed;
  }

  async #sign({ ref, origin, size, root, proof }: SignCheckpointRequest): Promise<Uint8Array> {
    const key = this.#options.open(ref);
    requireSigner(key);
    // oxlint-disable-next-line no-control-regex -- they are what is looked for: the origin is one line of the text that is signed
    if (origin === "" || /[\u0000-\u001f\u007f]/.test(origin))
      throw refuse("BAD_REQUEST", "the origin of a log is one line of text");
    if (size > MAX_SIZE) throw refuse("BAD_REQUEST", `a log has at most ${MAX_SIZE} records, not ${size}`);
    const { logs, persistence } = this.#options;
    const id = stateId(key.id);
    const last = logs.get(id);
    requireContinuation(last, { origin, size, root, proof });
    if (last === undefined && logs.size >= LIMITS.logs)
      throw refuse("DEVICE_FULL", `the device remembers ${LIMITS.logs} logs and has no room for more`);
    if (last?.size !== size) {
      const spki = key.public.export({ format: "der", type: "spki" });
      logs.set(id, {
        // RFC 8410: the SubjectPublicKeyInfo of Ed25519 ends with its 32 bytes.
        publicKey: Uint8Array.from(spki.subarray(-RAW_KEY_BYTES)),
        origin,
        size,
        before: last?.size ?? 0n,
        root: root.slice(),
      });
      try {
        await persistence.save();
      } catch (error) {
        if (last === undefined) logs.delete(id);
        else logs.set(id, last);
        throw error;
      }
    }
    return sign(null, toUtf8(`${origin}\n${size}\n${toBase64(root)}\n`), key.private);
  }
}

function requireSigner(key: LoadedKey): void {
  if (key.algorithm !== "ed25519")
    throw refuse("NOT_SUPPORTED", `checkpoints are signed with Ed25519, not with ${key.algorithm}`);
  key.require("sign");
}

function requireContinuation(
  last: WitnessedLog | undefined,
  { origin, size, root, proof }: Omit<SignCheckpointRequest, "ref">,
): void {
  if (last === undefined) {
    if (proof.length > 0) throw refuse("BAD_REQUEST", "the device has witnessed nothing that a proof could begin with");
    return;
  }
  const hint = "Restore database, audit log and device from the same backup.";
  if (origin !== last.origin)
    throw refuse("TAMPER_DETECTED", `the key signs for the log ${last.origin}, not for ${origin}`, hint);
  if (size < last.size)
    throw refuse(
      "TAMPER_DETECTED",
      `the log was rolled back: ${last.size} records were witnessed, it has ${size}`,
      hint,
    );
  if (!continues(last, { size, root }, proof))
    throw refuse(
      "TAMPER_DETECTED",
      `nothing shows that the log of ${size} records continues the ${last.size} that were witnessed`,
      hint,
    );
}
