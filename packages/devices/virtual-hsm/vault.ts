/** Key references sealed and opened, and the loaded keys. Implements: virtual HSM key reference v1. */
import { createCipheriv, createDecipheriv, hkdfSync, timingSafeEqual } from "node:crypto";
import { concat, toUtf8 } from "@casemate/foundation/bytes";
import { decode, encode } from "@casemate/foundation/codec";
import type { Random } from "@casemate/foundation/effects";
import {
  ALGORITHMS,
  KEY_ID_BYTES,
  KEY_REF_HEADER_BYTES,
  KEY_REF_NONCE_BYTES,
  KEY_REF_TAG_BYTES,
  KEY_REF_VERSION,
  keyRefCodec,
  keyRefHeaderCodec,
  type KeyAlgorithm,
  type KeyRefFields,
  type UsageFlags,
} from "@casemate/protocols/hsm";
import type { EcSignerFactory, PreparedSignerFactory } from "./digest-signer.ts";
import { LoadedKey } from "./loaded-key.ts";
import { secureBytes } from "./material.ts";
import { refuse } from "./refuse.ts";
import { idText } from "./sealed-state.ts";
import type { SecureHeap } from "./secure-heap.ts";

/** Loaded keys of any kind: secret and post-quantum ones live outside the secure heap and need a bound of their own. */
const MAX_LOADED = 4096;
const ID_OFFSET = KEY_REF_HEADER_BYTES - KEY_ID_BYTES;

export interface NewKeySpec {
  readonly algorithm: KeyAlgorithm;
  readonly usages: UsageFlags;
  readonly exportable: boolean;
}

export interface VaultOptions {
  /** The key all references are sealed under, by way of one key each. */
  readonly key: Uint8Array;
  readonly random: Random;
  readonly heap: SecureHeap;
  readonly makeEcSigner: EcSignerFactory;
  readonly makePreparedSigner: PreparedSignerFactory | undefined;
  isDestroyed(id: string): boolean;
}

const unknownRef = (): Error =>
  refuse(
    "NOT_FOUND",
    "the key reference does not belong to this device, was changed, or its key was destroyed",
    "Check which device made the key.",
  );

export class Vault {
  readonly #options: VaultOptions;
  readonly #loaded = new Map<string, LoadedKey>();
  loads = 0;

  constructor(options: VaultOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#loaded.size;
  }

  /** Seals material under a key of its own; does not load it. */
  seal(spec: NewKeySpec, material: Uint8Array): Uint8Array {
    const { random } = this.#options;
    const keyId = random.bytes(KEY_ID_BYTES);
    const nonce = random.bytes(KEY_REF_NONCE_BYTES);
    const header = {
      version: KEY_REF_VERSION,
      algorithm: spec.algorithm,
      usages: spec.usages,
      exportable: spec.exportable,
      keyId,
    };
    const key = this.#blobKey(keyId);
    const cipher = createCipheriv("aes-256-gcm", key, nonce);
    cipher.setAAD(encode(keyRefHeaderCodec, header));
    const sealed = concat(cipher.update(material), cipher.final(), cipher.getAuthTag());
    key.fill(0);
    return encode(keyRefCodec, { ...header, nonce, sealed });
  }

  /** The key behind a reference, loaded when it is not. @throws NOT_FOUND */
  open(ref: Uint8Array): LoadedKey {
    if (ref.length <= KEY_REF_HEADER_BYTES + KEY_REF_NONCE_BYTES + KEY_REF_TAG_BYTES) throw unknownRef();
    const id = idText(ref.subarray(ID_OFFSET, KEY_REF_HEADER_BYTES));
    const found = this.#loaded.get(id);
    if (found !== undefined) {
      if (found.ref.length !== ref.length || !timingSafeEqual(found.ref, ref)) throw unknownRef();
      this.#loaded.delete(id);
      this.#loaded.set(id, found);
      return found;
    }
    return this.#load(id, ref);
  }

  /** The key id of a reference that this device made, destroyed or not. @throws NOT_FOUND */
  identify(ref: Uint8Array): string {
    this.material(ref).fill(0);
    return idText(ref.subarray(ID_OFFSET, KEY_REF_HEADER_BYTES));
  }

  /** Plaintext material, for wrapped export inside the device only. The caller wipes it. */
  material(ref: Uint8Array): Uint8Array {
    return this.#unseal(this.#parse(ref), ref);
  }

  forget(id: string): void {
    this.#loaded.get(id)?.release();
    this.#loaded.delete(id);
  }

  clear(): void {
    for (const key of this.#loaded.values()) key.release();
    this.#loaded.clear();
  }

  #load(id: string, ref: Uint8Array): LoadedKey {
    const fields = this.#parse(ref);
    if (this.#options.isDestroyed(id)) throw unknownRef();
    const material = this.#unseal(fields, ref);
    try {
      this.#makeRoom(secureBytes(ALGORITHMS[fields.algorithm]));
      const key = new LoadedKey({
        id,
        ref: ref.slice(),
        algorithm: fields.algorithm,
        usages: fields.usages,
        exportable: fields.exportable,
        material,
        makeEcSigner: this.#options.makeEcSigner,
        makePreparedSigner: this.#options.makePreparedSigner,
      });
      this.#loaded.set(id, key);
      this.loads += 1;
      return key;
    } finally {
      material.fill(0);
    }
  }

  #parse(ref: Uint8Array): KeyRefFields {
    try {
      const fields = decode(keyRefCodec, ref);
      if (fields.version === KEY_REF_VERSION && fields.sealed.length >= KEY_REF_TAG_BYTES) return fields;
    } catch {
      throw unknownRef();
    }
    throw unknownRef();
  }

  #unseal(fields: KeyRefFields, ref: Uint8Array): Uint8Array {
    const key = this.#blobKey(fields.keyId);
    try {
      const decipher = createDecipheriv("aes-256-gcm", key, fields.nonce, { authTagLength: KEY_REF_TAG_BYTES });
      decipher.setAAD(ref.subarray(0, KEY_REF_HEADER_BYTES));
      const body = fields.sealed.length - KEY_REF_TAG_BYTES;
      decipher.setAuthTag(fields.sealed.subarray(body));
      const material = decipher.update(fields.sealed.subarray(0, body));
      decipher.final();
      return material;
    } catch {
      throw unknownRef();
    } finally {
      key.fill(0);
    }
  }

  #blobKey(keyId: Uint8Array): Uint8Array {
    return new Uint8Array(hkdfSync("sha256", this.#options.key, keyId, toUtf8("key reference"), 32));
  }

  /** Drops the least recently used keys until the next one fits. */
  #makeRoom(bytes: number): void {
    if (this.#loaded.size >= MAX_LOADED) this.#evict(MAX_LOADED / 8);
    this.#options.heap.makeRoom(bytes, () => this.#evict(Math.max(1, Math.ceil(this.#loaded.size / 4))));
  }

  /** Returns how many went. */
  #evict(count: number): number {
    let gone = 0;
    for (const id of this.#loaded.keys()) {
      if (gone === count) break;
      this.forget(id);
      gone += 1;
    }
    return gone;
  }
}
