/** What the cases of the contract suite share: the device, keys made once, and the questions they ask of both. */
import assert from "node:assert/strict";
import { createPublicKey, type KeyObject } from "node:crypto";
import type { AlgorithmSupport, Device, KeyAlgorithm, Many, NewKey, Usage } from "@casemate/devices/contract";
import { isCasemateError, type ErrorCode } from "@casemate/foundation/errors";

export interface Case {
  readonly name: string;
  /** Resolves with a sentence when the device lacks what the case is about. */
  run(bench: Bench): Promise<string | void>;
}

export class Bench {
  #device: Device | undefined;
  other: Device | undefined;
  readonly #keys = new Map<string, Promise<NewKey>>();

  get device(): Device {
    if (this.#device === undefined) throw new TypeError("the device is not open");
    return this.#device;
  }

  set device(device: Device) {
    this.#device = device;
  }

  async close(): Promise<void> {
    await this.#device?.close();
    await this.other?.close();
  }

  support(algorithm: KeyAlgorithm): AlgorithmSupport | undefined {
    return this.device.algorithms.find((row) => row.algorithm === algorithm);
  }

  /** The first algorithm of the device that can be used so. */
  algorithmFor(usage: Usage, wanted: (row: AlgorithmSupport) => boolean = () => true): KeyAlgorithm | undefined {
    return this.device.algorithms.find((row) => row.usages.includes(usage) && wanted(row))?.algorithm;
  }

  /** A key that cases may share: never destroyed. */
  key(algorithm: KeyAlgorithm, usage: Usage): Promise<NewKey> {
    const name = `${algorithm} ${usage}`;
    let made = this.#keys.get(name);
    if (made === undefined) this.#keys.set(name, (made = this.fresh(algorithm, usage)));
    return made;
  }

  fresh(algorithm: KeyAlgorithm, usage: Usage, exportable = false): Promise<NewKey> {
    return this.device.keys.generate({
      algorithm,
      usages: [usage],
      exportable,
      label: `contract-${algorithm}-${usage}`,
    });
  }
}

/** The code of the error that the promise rejects with. */
export async function rejectsWith(code: ErrorCode, promise: Promise<unknown>, what: string): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(isCasemateError(error), `${what}: ${String(error)} is no CasemateError`);
    assert.equal(error.code, code, `${what}: ${error.code} (${error.message})`);
    return true;
  });
}

/** The value of an item, or its error thrown. */
export function value<T>(results: Many<T>, index = 0): T {
  const item = results[index];
  if (isCasemateError(item)) throw item;
  assert.notEqual(item, undefined, `no answer ${index} of ${results.length}`);
  return item as T;
}

/** That an item failed, with this code. */
export function failsWith(code: ErrorCode, results: Many<unknown>, index: number, what: string): void {
  const item = results[index];
  assert.ok(isCasemateError(item), `${what}: expected ${code}, got a value`);
  assert.equal(item.code, code, `${what}: ${item.message}`);
}

export function publicKeyOf(key: NewKey): KeyObject {
  assert.ok(key.publicKey !== undefined, "the device gave no public key");
  return createPublicKey({ key: Buffer.from(key.publicKey), format: "der", type: "spki" });
}

/** The bytes with one bit of one byte changed. */
export function changed(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at] = (copy[at] as number) ^ 1;
  return copy;
}
