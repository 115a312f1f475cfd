/** The keys of this process, by names that it draws at random: a key's name means nothing to another process. */
import type { KeyObject } from "node:crypto";
import type { EcDigestSigner } from "@casemate/foundation/ffi";
import type { Random } from "@casemate/foundation/effects";
import type { SecretBytes } from "@casemate/foundation/secrets";
import { LIMITS, type Grants, type SecretType } from "@casemate/protocols/session-keys";
import { refuse } from "./refuse.ts";

export interface HeldSecret {
  readonly kind: "secret";
  readonly type: SecretType;
  readonly value: SecretBytes;
  grants: Grants;
}

export interface HeldPrivate {
  readonly kind: "private";
  readonly key: KeyObject;
  /** Loaded with the first ECDSA signature. */
  signer?: EcDigestSigner;
  grants: Grants;
}

export type HeldKey = HeldSecret | HeldPrivate;

const nameOf = (id: Uint8Array): string => Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("latin1");

export class KeyStore {
  readonly #keys = new Map<string, HeldKey>();
  readonly #random: Random;
  readonly #most: number;
  /** Keys that are being made. */
  #reserved = 0;
  /** Called when a key of OpenSSL was dropped, whose memory is freed only when it is collected. */
  readonly #dropped: () => void;

  constructor(random: Random, most: number, dropped: () => void) {
    this.#random = random;
    this.#most = most;
    this.#dropped = dropped;
  }

  get size(): number {
    return this.#keys.size;
  }

  get most(): number {
    return this.#most;
  }

  /** Runs `make` while a place for its key is kept. @throws DEVICE_FULL. */
  async reserve<T>(make: () => Promise<T>): Promise<T> {
    this.#mustHaveRoom();
    this.#reserved += 1;
    try {
      return await make();
    } finally {
      this.#reserved -= 1;
    }
  }

  #mustHaveRoom(): void {
    if (this.#keys.size + this.#reserved < this.#most) return;
    throw refuse("DEVICE_FULL", `${this.#most} session keys are held; no more fit`, "Destroy some, or close sessions.");
  }

  /** Takes the key over, also when it is refused. @throws DEVICE_FULL. */
  add(key: HeldKey): Uint8Array {
    try {
      this.#mustHaveRoom();
    } catch (error) {
      this.#end(key);
      throw error;
    }
    const id = this.#random.bytes(LIMITS.keyId);
    this.#keys.set(nameOf(id), key);
    return id;
  }

  /** @throws NOT_FOUND. */
  get(id: Uint8Array): HeldKey {
    const key = this.#keys.get(nameOf(id));
    if (key === undefined)
      throw refuse("NOT_FOUND", "there is no such session key; its process may have been restarted");
    return key;
  }

  /** @throws NOT_FOUND, KEY_USAGE. */
  secret(id: Uint8Array, ...types: readonly SecretType[]): HeldSecret {
    const key = this.get(id);
    if (key.kind !== "secret" || (types.length > 0 && !types.includes(key.type)))
      throw refuse("KEY_USAGE", `this needs a secret key of the type ${types.join(" or ")}`);
    return key;
  }

  /** @throws NOT_FOUND, KEY_USAGE. */
  private(id: Uint8Array): HeldPrivate {
    const key = this.get(id);
    if (key.kind !== "private") throw refuse("KEY_USAGE", "this needs a private key");
    return key;
  }

  /** What is not there is forgotten already. */
  forget(id: Uint8Array): void {
    const name = nameOf(id);
    const key = this.#keys.get(name);
    if (key === undefined) return;
    this.#keys.delete(name);
    this.#end(key);
  }

  #end(key: HeldKey): void {
    if (key.kind === "secret") key.value.dispose();
    else {
      key.signer?.dispose();
      this.#dropped();
    }
  }
}
