import { createPublicKey, type KeyObject } from "node:crypto";
import type { PreparedInput } from "@casemate/foundation/ffi";
import { ALGORITHMS, type AlgorithmRow, type KeyAlgorithm, type Usage, type UsageFlags } from "@casemate/protocols/hsm";
import type { DigestSigner, EcSignerFactory, PreparedSignerFactory } from "./digest-signer.ts";
import { CURVES, isSecret, loadPrivate, loadSecret } from "./material.ts";
import { refuse } from "./refuse.ts";

/** A key ready for use. Its material lives in OpenSSL objects; the sealed reference is kept to recognise it. */
export class LoadedKey {
  readonly id: string;
  readonly ref: Uint8Array;
  readonly algorithm: KeyAlgorithm;
  readonly row: AlgorithmRow;
  readonly exportable: boolean;
  readonly #usages: UsageFlags;
  readonly #key: KeyObject;
  readonly #makeEcSigner: EcSignerFactory;
  readonly #makePreparedSigner: PreparedSignerFactory | undefined;
  #public: KeyObject | undefined;
  #signer: DigestSigner | undefined;
  readonly #prepared = new Map<PreparedInput, DigestSigner>();
  #holds = 0;
  #released = false;

  constructor(options: {
    readonly id: string;
    readonly ref: Uint8Array;
    readonly algorithm: KeyAlgorithm;
    readonly usages: UsageFlags;
    readonly exportable: boolean;
    readonly material: Uint8Array;
    readonly makeEcSigner: EcSignerFactory;
    readonly makePreparedSigner: PreparedSignerFactory | undefined;
  }) {
    this.id = options.id;
    this.ref = options.ref;
    this.algorithm = options.algorithm;
    this.row = ALGORITHMS[options.algorithm];
    this.exportable = options.exportable;
    this.#usages = options.usages;
    this.#makeEcSigner = options.makeEcSigner;
    this.#makePreparedSigner = options.makePreparedSigner;
    this.#key = isSecret(this.row) ? loadSecret(options.material) : loadPrivate(options.material);
  }

  /** AES and HMAC keys. */
  get secret(): KeyObject {
    if (this.#key.type !== "secret") throw refuse("NOT_SUPPORTED", `${this.algorithm} is not a secret key`);
    return this.#key;
  }

  get private(): KeyObject {
    if (this.#key.type !== "private") throw refuse("NOT_SUPPORTED", `${this.algorithm} has no private key`);
    return this.#key;
  }

  get public(): KeyObject {
    if (this.#key.type !== "private") {
      throw refuse("NOT_SUPPORTED", `${this.algorithm} is a secret key and has no public half`);
    }
    return (this.#public ??= createPublicKey(this.#key));
  }

  /** Signs and verifies digests; EC keys only. */
  get ecSigner(): DigestSigner {
    const curve = CURVES.get(this.algorithm);
    if (curve === undefined) throw refuse("NOT_SUPPORTED", `${this.algorithm} is not an EC key`);
    return (this.#signer ??= this.#makeEcSigner(this.#key, curve));
  }

  /** Signs and verifies what was prepared so; undefined where the machine cannot. @throws NOT_SUPPORTED for other keys. */
  preparedSigner(input: PreparedInput): DigestSigner | undefined {
    if (this.#makePreparedSigner === undefined) return undefined;
    let signer = this.#prepared.get(input);
    if (signer === undefined) {
      signer = this.#makePreparedSigner(this.#key, this.algorithm, input);
      this.#prepared.set(input, signer);
    }
    return signer;
  }

  allows(usage: Usage): boolean {
    return this.#usages[usage];
  }

  /** @throws KEY_USAGE */
  require(usage: Usage): void {
    if (this.allows(usage)) return;
    throw refuse(
      "KEY_USAGE",
      `the key was not made for ${usage}`,
      `Make a key with the usage ${usage}; usages never change.`,
    );
  }

  /** Runs work that gives way in between: the key stays usable until it is done, even when it leaves the cache. */
  async hold<T>(work: Promise<T>): Promise<T> {
    this.#holds += 1;
    try {
      return await work;
    } finally {
      this.#holds -= 1;
      if (this.#released) this.release();
    }
  }

  /** Frees what the garbage collector does not, as soon as nothing holds the key. */
  release(): void {
    this.#released = true;
    if (this.#holds > 0) return;
    this.#signer?.release();
    this.#signer = undefined;
    for (const signer of this.#prepared.values()) signer.release();
    this.#prepared.clear();
  }
}
