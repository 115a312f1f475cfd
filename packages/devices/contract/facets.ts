import type { KeyRef, KeySpec, Many, NewKey } from "./device.ts";
import type {
  CipherScheme,
  DataKeyBytes,
  InputKind,
  KeyAlgorithm,
  MacScheme,
  SignScheme,
  Usage,
  WrapScheme,
} from "./names.ts";

export interface KeysFacet {
  /** @throws NOT_SUPPORTED for an algorithm or usage outside `algorithms`. */
  generate(spec: KeySpec): Promise<NewKey>;
  /** SPKI DER. @throws NOT_SUPPORTED for a symmetric key. */
  publicKey(ref: KeyRef): Promise<Uint8Array>;
  /**
   * For devices that others can fill: a reference to the same key, which is refused with TAMPER_DETECTED when the device has
   * a key with another public half (SPKI DER) in its place.
   */
  expecting?(ref: KeyRef, publicKey: Uint8Array): KeyRef;
  /** Afterwards the device refuses the reference with NOT_FOUND, even from a restored copy. */
  destroy(ref: KeyRef): Promise<void>;
}

/** ECDSA signatures are DER (RFC 3279 §2.2.3); everything else is the algorithm's own octet string. */
export interface SignFacet {
  sign(ref: KeyRef, scheme: SignScheme, kind: InputKind, inputs: readonly Uint8Array[]): Promise<Many<Uint8Array>>;
  verify(
    ref: KeyRef,
    scheme: SignScheme,
    kind: InputKind,
    items: readonly { readonly input: Uint8Array; readonly signature: Uint8Array }[],
  ): Promise<Many<boolean>>;
}

/** `aad` and a `label` for OAEP travel as `context`; empty when absent. `iv` is for callers that must choose it (CBC, CTR): the device makes it otherwise. */
export interface CipherFacet {
  encrypt(
    ref: KeyRef,
    scheme: CipherScheme,
    items: readonly { readonly data: Uint8Array; readonly context?: Uint8Array; readonly iv?: Uint8Array }[],
  ): Promise<Many<Uint8Array>>;
  /** A wrong tag, padding or length is DECRYPT_FAILED, never told apart. */
  decrypt(
    ref: KeyRef,
    scheme: CipherScheme,
    items: readonly { readonly data: Uint8Array; readonly context?: Uint8Array }[],
  ): Promise<Many<Uint8Array>>;
}

export interface MacFacet {
  mac(ref: KeyRef, scheme: MacScheme, inputs: readonly Uint8Array[]): Promise<Many<Uint8Array>>;
  /** Compared inside the device in constant time. */
  check(
    ref: KeyRef,
    scheme: MacScheme,
    items: readonly { readonly input: Uint8Array; readonly mac: Uint8Array }[],
  ): Promise<Many<boolean>>;
}

export interface AgreeFacet {
  /** Raw shared secret (x coordinate for EC). `peer` is SPKI DER on the same curve, checked before use. */
  agree(ref: KeyRef, peer: Uint8Array): Promise<Uint8Array>;
}

export interface KemFacet {
  encapsulate(ref: KeyRef): Promise<{ readonly ciphertext: Uint8Array; readonly sharedSecret: Uint8Array }>;
  decapsulate(ref: KeyRef, ciphertext: Uint8Array): Promise<Uint8Array>;
}

export interface WrapFacet {
  /** Wraps `target` under `wrapping`. @throws NOT_EXPORTABLE unless the target was created exportable. PKCS#8 DER or raw bytes inside. */
  export(wrapping: KeyRef, scheme: WrapScheme, target: KeyRef): Promise<Uint8Array>;
  /** Unwraps foreign key material inside the device. @throws DECRYPT_FAILED, NOT_SUPPORTED, BAD_REQUEST (material does not fit `spec`). */
  import(wrapping: KeyRef, scheme: WrapScheme, wrapped: Uint8Array, spec: KeySpec): Promise<NewKey>;
}

export interface DataKeysFacet {
  /** `count` fresh data keys of `bytes` each, wrapped under an AES key with `context` bound in; with plaintext only when asked. */
  generate(
    ref: KeyRef,
    options: {
      readonly count: number;
      readonly bytes: DataKeyBytes;
      readonly plaintext: boolean;
      readonly context?: Uint8Array;
    },
  ): Promise<readonly { readonly wrapped: Uint8Array; readonly plaintext?: Uint8Array }[]>;
}

export interface UnlockChallenge {
  /** The boundary's one-time X25519 public key for `unlock`, 32 bytes raw. */
  readonly publicKey: Uint8Array;
  /** By `signer`; empty when the device has no key that it could sign with while locked. */
  readonly signature: Uint8Array;
  /** SPKI DER of the device's unlock key, the same at every unlock: clients remember it. */
  readonly signer: Uint8Array;
}

/** For devices whose root of trust comes from a person. Secrets travel encrypted to the boundary: the host relays ciphertext. */
export interface UnlockFacet {
  /** What a secret is encrypted to. */
  challenge(): Promise<UnlockChallenge>;
  /** @throws PIN_WRONG, PIN_LOCKED. */
  unlock(sealed: Uint8Array): Promise<void>;
  lock(): Promise<void>;
}

/** A log as a C2SP tlog-checkpoint names it. */
export interface LogCheckpoint {
  /** First line of its checkpoints. */
  readonly origin: string;
  /** Records. */
  readonly size: number;
  /** RFC 6962 root hash, 32 bytes. */
  readonly root: Uint8Array;
}

/** What a device remembers of a log: the newest checkpoint that it signed. */
export interface WitnessedLog extends LogCheckpoint {
  /** Raw Ed25519 key that signs for this log and for nothing else. */
  readonly publicKey: Uint8Array;
  /** Size of the checkpoint signed before it; 0 for none. */
  readonly before: number;
}

/** For devices that remember how far a log had come, where nobody outside can put it back. */
export interface WitnessFacet {
  /** Every log that the device signs for. */
  logs(): Promise<readonly WitnessedLog[]>;
  /**
   * Signs the checkpoint's text with an Ed25519 key, which from then on signs nothing but checkpoints of this log. Remembered
   * before it is answered. `proof` is the RFC 6962 consistency proof from the size witnessed last; empty for the first one.
   * @throws TAMPER_DETECTED unless the log continues what was witnessed; NOT_SUPPORTED for another kind of key.
   */
  sign(ref: KeyRef, checkpoint: LogCheckpoint, proof: readonly Uint8Array[]): Promise<Uint8Array>;
}

export interface ZeroizeFacet {
  /** Destroys the root and all that hangs on it. The device is `locked` and empty afterwards. */
  zeroize(): Promise<void>;
}

export type DeviceEvent =
  | {
      readonly kind: "state";
      readonly state: "operational" | "locked" | "tampered" | "error" | "absent";
      readonly detail: string;
    }
  | { readonly kind: "tamper"; readonly detail: string };

export interface WatchFacet {
  /** Calls `listener` for each event until the returned function is called. */
  watch(listener: (event: DeviceEvent) => void): () => void;
}

export interface DeviceObject {
  readonly ref: KeyRef;
  readonly label: string;
  /** Hexadecimal. */
  readonly id: string;
  readonly algorithm: KeyAlgorithm | undefined;
  readonly usages: readonly Usage[];
  readonly publicKey?: Uint8Array;
}

/** Devices that hold keys made by others: list them so that the keyring can adopt them. */
export interface ObjectsFacet {
  list(): Promise<readonly DeviceObject[]>;
}
