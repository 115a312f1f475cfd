import { createPublicKey, sign, type KeyObject } from "node:crypto";
import type { KeyRef, LogCheckpoint, WitnessedLog, WitnessFacet } from "@casemate/devices/contract";
import { fromUtf8, toBase64, toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import { verifyConsistency } from "@casemate/keyring/core";

/** What a software device remembers of logs, by the reference of the key that signs. */
export class SoftwareWitness {
  readonly #logs = new Map<string, WitnessedLog>();

  facet(call: <T>(name: string, act: () => T) => Promise<T>, keyOf: (ref: KeyRef) => KeyObject): WitnessFacet {
    return {
      logs: () => call("witness.logs", () => [...this.#logs.values()]),
      sign: (ref, checkpoint, proof) => call("witness.sign", () => this.#sign(ref, keyOf(ref), checkpoint, proof)),
    };
  }

  /** @throws KEY_USAGE for a key that signs checkpoints. */
  requireOther(ref: KeyRef): void {
    if (this.#logs.has(fromUtf8(ref))) throw new CasemateError("KEY_USAGE", "the key signs checkpoints alone");
  }

  forget(ref: KeyRef): void {
    this.#logs.delete(fromUtf8(ref));
  }

  clear(): void {
    this.#logs.clear();
  }

  #sign(ref: KeyRef, key: KeyObject, checkpoint: LogCheckpoint, proof: readonly Uint8Array[]): Uint8Array {
    const { origin, size, root } = checkpoint;
    if (key.asymmetricKeyType !== "ed25519") throw new CasemateError("NOT_SUPPORTED", "no Ed25519 key");
    const last = this.#logs.get(fromUtf8(ref));
    if (last === undefined && proof.length > 0) throw new CasemateError("BAD_REQUEST", "nothing to begin a proof with");
    if (last !== undefined && (last.origin !== origin || !verifyConsistency(last.size, size, proof, last.root, root)))
      throw new CasemateError("TAMPER_DETECTED", `the log does not continue the ${last.size} records witnessed`);
    if (last?.size !== size) {
      const publicKey = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
      this.#logs.set(fromUtf8(ref), { origin, size, root, publicKey, before: last?.size ?? 0 });
    }
    return new Uint8Array(sign(null, toUtf8(`${origin}\n${size}\n${toBase64(root)}\n`), key));
  }
}
