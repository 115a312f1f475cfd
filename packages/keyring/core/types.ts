/** The keyring's use cases, as every interface calls them. One method per use case; each is authorized and audited inside. */
import type { Action } from "./actions.ts";
import type { CasemateError } from "@casemate/foundation/errors";
import type {
  DeviceIdentity,
  DeviceStatus,
  AlgorithmSupport,
  KeyAlgorithm,
  MacScheme,
  UnlockChallenge,
  Usage,
  WrapScheme,
} from "@casemate/devices/contract";
import type { KeyringChange } from "./changes.ts";
import type { DeviceObjectView } from "./devices/object-view.ts";
import type { KeyState, Role } from "./names.ts";
import type { AuditRecordView, Checkpoint, InclusionProof } from "./trail/types.ts";
import type { PublicHalfUseCase, SessionKeyUseCase } from "./use/local-work.ts";
import type {
  UseResult,
  MayBeBatch,
  SignRequest,
  VerifyRequest,
  EncryptRequest,
  DecryptRequest,
} from "./use/requests.ts";

export type {
  UseResult,
  MayBeBatch,
  SignRequest,
  VerifyRequest,
  EncryptRequest,
  DecryptRequest,
} from "./use/requests.ts";

export type { DeviceObjectView } from "./devices/object-view.ts";
export type { KeyringChange } from "./changes.ts";
export type { AuditRecordView, Checkpoint } from "./trail/types.ts";

export type { KeyState, Role } from "./names.ts";

/** Who asks, and through what. Made by `Keyring.authenticate`; interfaces never build one. */
export interface Caller {
  readonly principal: string;
  readonly kind: "user" | "service" | "device" | "enclave";
  readonly roles: readonly Role[];
  readonly source: string;
  /** Token id (public part), for the audit log. */
  readonly token?: string;
  /** When the token ends, in milliseconds since the epoch; every use case looks anew. */
  readonly expiresAt?: number;
  /** Interface's correlation id, copied to the audit record. */
  readonly requestId?: string;
}

/** Made in its device for Casemate, brought in wrapped, or found in a device that others had filled. */
export type KeyOrigin = "generated" | "imported" | "adopted";

export interface KeyVersionView {
  readonly version: number;
  readonly origin: KeyOrigin;
  readonly state: KeyState;
  readonly device: string;
  readonly createdAt: string;
  readonly publicKey?: Uint8Array;
  readonly activateAt?: string;
  readonly deactivateAt?: string;
  /** When set, the version is destroyed at this time unless restored. */
  readonly destroyAt?: string;
  readonly destroyedAt?: string;
  /** When it was to be destroyed, its device had another key in its place, which was left. */
  readonly replaced?: true;
}

export interface KeyView {
  readonly name: string;
  readonly id: string;
  readonly algorithm: KeyAlgorithm;
  readonly usages: readonly Usage[];
  readonly exportable: boolean;
  /** When a wrapped export was given up: versions from before may have left. */
  readonly exportableUntil?: string;
  readonly device: string;
  /** Of the primary version. */
  readonly origin: KeyOrigin;
  readonly labels: Readonly<Record<string, string>>;
  /** State of the primary (newest usable) version. */
  readonly state: KeyState;
  readonly primaryVersion: number;
  readonly versions: readonly KeyVersionView[];
  readonly createdAt: string;
  readonly createdBy: string;
  /** Days between rotations, when scheduled. */
  readonly rotateEveryDays?: number;
  readonly nextRotationAt?: string;
  /** Operations allowed per version before KEY_LIMIT; absent means the algorithm's own limit alone. */
  readonly useLimit?: number;
  readonly uses: number;
  /** Facts a user must know: not approved, not exportable, suspended because… */
  readonly warnings: readonly string[];
}

export interface CreateKey {
  /** 1 to 128 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit. */
  readonly name: string;
  readonly algorithm: KeyAlgorithm;
  readonly usages?: readonly Usage[];
  readonly device?: string;
  readonly exportable?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  /** ISO 8601; the key is pre-active until then. */
  readonly activateAt?: string;
  readonly deactivateAt?: string;
  readonly rotateEveryDays?: number;
  readonly useLimit?: number;
}

export interface ImportKey extends CreateKey {
  /** Name of the wrapping key in the same device. */
  readonly wrappingKey: string;
  readonly scheme: WrapScheme;
  readonly wrapped: Uint8Array;
}

/** A key that is already inside a device; `label`, `id` or both name it there. */
export interface AdoptKey {
  readonly name: string;
  readonly device: string;
  readonly label?: string;
  /** Hexadecimal, as `listDeviceObjects` shows it. */
  readonly id?: string;
  /** Absent means all that the device says the key can do. */
  readonly usages?: readonly Usage[];
  readonly labels?: Readonly<Record<string, string>>;
}

export interface UpdateKey {
  readonly labels?: Readonly<Record<string, string>>;
  readonly rotateEveryDays?: number | null;
  readonly useLimit?: number | null;
  readonly activateAt?: string | null;
  readonly deactivateAt?: string | null;
  /** From now on the key does not leave its device wrapped either; there is no way back. */
  readonly exportable?: false;
}

export interface Page {
  /** 1 to 1000, default 100. */
  readonly limit?: number;
  readonly cursor?: string;
}

export interface Paged<T> {
  readonly items: readonly T[];
  readonly next?: string;
}

export interface KeyFilter extends Page {
  readonly device?: string;
  readonly state?: KeyState;
  readonly algorithm?: KeyAlgorithm;
  readonly prefix?: string;
}

/** Lifecycle moves that a caller may ask for. */
export type Transition = "activate" | "suspend" | "resume" | "deactivate" | "compromise";

export interface TokenView {
  readonly id: string;
  readonly principal: string;
  readonly roles: readonly Role[];
  readonly createdAt: string;
  readonly expiresAt?: string;
  readonly lastUsedAt?: string;
  readonly revokedAt?: string;
  readonly note?: string;
}

export interface Decision {
  readonly allowed: boolean;
  /** Short code for the caller. */
  readonly code: string;
  /** For those who may read policies: which policies decided and why. */
  readonly reasons: readonly string[];
}

export interface PolicyCheck {
  readonly principal: string;
  readonly roles?: readonly Role[];
  readonly action: string;
  readonly key?: string;
  /** Where the request would come from, e.g. `rest/tls/192.0.2.7` or `pkcs11`; `explain` when absent. */
  readonly source?: string;
  /** ISO 8601; now when absent. */
  readonly at?: string;
}

export interface DeviceView {
  readonly identity: DeviceIdentity;
  readonly status: DeviceStatus;
  readonly algorithms: readonly AlgorithmSupport[];
  readonly keys: number;
  readonly witness: WitnessView;
}

/** Whether a device can be a witness of audit logs, and what it has witnessed of this keyring's. */
export interface WitnessView {
  readonly supported: boolean;
  /** Absent where it signs for no log of this keyring, has signed nothing yet, or cannot be asked now. */
  readonly log?: {
    readonly origin: string;
    /** Records of the newest checkpoint that it signed, and of the one before it. */
    readonly records: number;
    readonly before: number;
    /** RFC 6962 root hash over `records`, hexadecimal. */
    readonly rootHash: string;
  };
}

export interface Keyring {
  /** @throws UNAUTHENTICATED, TOKEN_EXPIRED; audited either way. */
  authenticate(token: string, source: string, requestId?: string): Promise<Caller>;
  /** Writes an audit record for a request that was refused before any use case (bad syntax, unknown route). */
  refused(caller: Caller | undefined, source: string, action: string, error: CasemateError): Promise<void>;
  /** Policy and record of a call that was done before and is answered again as it was then; `key` is the one that it made or changed. */
  repeated(caller: Caller, action: Action, key?: string): Promise<void>;

  createKey(caller: Caller, request: CreateKey): Promise<KeyView>;
  importKey(caller: Caller, request: ImportKey): Promise<KeyView>;
  /** Takes a key that is already in a device into the catalogue. @throws NOT_SUPPORTED, NOT_FOUND, ALREADY_EXISTS, BAD_REQUEST when several match. */
  adoptKey(caller: Caller, request: AdoptKey): Promise<KeyView>;
  getKey(caller: Caller, name: string): Promise<KeyView>;
  listKeys(caller: Caller, filter: KeyFilter): Promise<Paged<KeyView>>;
  updateKey(caller: Caller, name: string, change: UpdateKey): Promise<KeyView>;
  rotateKey(caller: Caller, name: string): Promise<KeyView>;
  transition(
    caller: Caller,
    name: string,
    move: Transition,
    options?: { readonly version?: number; readonly reason?: string },
  ): Promise<KeyView>;
  /** Destroys after the waiting period (default 7 days), or at once with `now`. `version` absent means the whole key. */
  destroyKey(
    caller: Caller,
    name: string,
    options?: { readonly now?: boolean; readonly waitDays?: number; readonly version?: number },
  ): Promise<KeyView>;
  restoreKey(caller: Caller, name: string, options?: { readonly version?: number }): Promise<KeyView>;
  /** SPKI DER. @throws NOT_SUPPORTED for symmetric keys. */
  publicKey(
    caller: Caller,
    name: string,
    version?: number,
  ): Promise<{ readonly version: number; readonly publicKey: Uint8Array; readonly algorithm: KeyAlgorithm }>;

  sign(caller: Caller, name: string, request: SignRequest): Promise<UseResult<Uint8Array>>;
  verify(caller: Caller, name: string, request: VerifyRequest): Promise<UseResult<boolean>>;
  encrypt(caller: Caller, name: string, request: EncryptRequest): Promise<UseResult<Uint8Array>>;
  decrypt(caller: Caller, name: string, request: DecryptRequest): Promise<UseResult<Uint8Array>>;
  mac(
    caller: Caller,
    name: string,
    request: MayBeBatch & {
      readonly scheme?: MacScheme;
      readonly version?: number;
      readonly inputs: readonly Uint8Array[];
    },
  ): Promise<UseResult<Uint8Array>>;
  macVerify(
    caller: Caller,
    name: string,
    request: MayBeBatch & {
      readonly scheme?: MacScheme;
      readonly version?: number;
      readonly items: readonly { readonly input: Uint8Array; readonly mac: Uint8Array }[];
    },
  ): Promise<UseResult<boolean>>;
  agree(
    caller: Caller,
    name: string,
    peer: Uint8Array,
    version?: number,
  ): Promise<{ readonly version: number; readonly secret: Uint8Array }>;
  encapsulate(
    caller: Caller,
    name: string,
    version?: number,
  ): Promise<{ readonly version: number; readonly ciphertext: Uint8Array; readonly sharedSecret: Uint8Array }>;
  decapsulate(
    caller: Caller,
    name: string,
    ciphertext: Uint8Array,
    version?: number,
  ): Promise<{ readonly version: number; readonly sharedSecret: Uint8Array }>;
  /** Wrapped export, only of keys created exportable. @throws NOT_EXPORTABLE with the lawful ways as hint. */
  wrapKey(
    caller: Caller,
    name: string,
    request: { readonly wrappingKey: string; readonly scheme: WrapScheme; readonly version?: number },
  ): Promise<{ readonly version: number; readonly wrapped: Uint8Array; readonly warnings: readonly string[] }>;
  /** The refusal of plaintext export, audited. Always rejects with NOT_EXPORTABLE. */
  exportKey(caller: Caller, name: string): Promise<never>;
  dataKeys(
    caller: Caller,
    name: string,
    request: {
      readonly count: number;
      readonly bytes: 16 | 24 | 32 | 64;
      readonly plaintext: boolean;
      readonly context?: Uint8Array;
    },
  ): Promise<{
    readonly version: number;
    readonly warnings: readonly string[];
    readonly keys: readonly { readonly wrapped: Uint8Array; readonly plaintext?: Uint8Array }[];
  }>;
  random(caller: Caller, length: number, device?: string): Promise<Uint8Array>;
  readonly sessionKey: SessionKeyUseCase;
  readonly usePublicHalf: PublicHalfUseCase;

  listDevices(caller: Caller): Promise<readonly DeviceView[]>;
  getDevice(caller: Caller, id: string): Promise<DeviceView>;
  /** Keys inside a device that lists them. @throws NOT_SUPPORTED. */
  listDeviceObjects(caller: Caller, id: string): Promise<readonly DeviceObjectView[]>;
  /** The boundary's one-time X25519 public key (32 bytes) for `unlockDevice`, with its signature. @throws NOT_SUPPORTED. */
  deviceChallenge(caller: Caller, id: string): Promise<UnlockChallenge>;
  /** `sealed` is the secret encrypted to the challenge; the keyring cannot read it. @throws PIN_WRONG, PIN_LOCKED. */
  unlockDevice(caller: Caller, id: string, sealed: Uint8Array): Promise<DeviceView>;
  lockDevice(caller: Caller, id: string): Promise<DeviceView>;
  /** Destroys the device's root and every key in it; the catalogue marks them destroyed. */
  zeroizeDevice(caller: Caller, id: string): Promise<DeviceView>;

  createToken(
    caller: Caller,
    request: {
      readonly principal: string;
      readonly roles: readonly Role[];
      readonly expiresInSeconds?: number;
      readonly note?: string;
    },
  ): Promise<{ readonly token: string; readonly view: TokenView }>;
  listTokens(caller: Caller, page: Page): Promise<Paged<TokenView>>;
  revokeToken(caller: Caller, id: string): Promise<TokenView>;

  listPolicies(
    caller: Caller,
  ): Promise<readonly { readonly id: string; readonly text: string; readonly builtIn: boolean }[]>;
  /** Validated against the schema before it is kept; an empty text removes the policy. @throws CONFIG_INVALID naming the line. */
  setPolicy(caller: Caller, id: string, text: string): Promise<void>;
  /** Validates without keeping. */
  testPolicy(caller: Caller, text: string, checks: readonly PolicyCheck[]): Promise<readonly Decision[]>;
  explain(caller: Caller, check: PolicyCheck): Promise<Decision>;

  auditRecords(
    caller: Caller,
    page: Page & {
      readonly from?: number;
      readonly principal?: string;
      readonly resource?: string;
      readonly outcome?: string;
    },
  ): Promise<Paged<AuditRecordView>>;
  auditCheckpoint(caller: Caller): Promise<Checkpoint>;
  /** RFC 6962 inclusion path of a record in the tree of `size`, as hex. */
  auditInclusion(caller: Caller, index: number, size?: number): Promise<InclusionProof>;
  auditConsistency(
    caller: Caller,
    first: number,
    second?: number,
  ): Promise<{ readonly first: number; readonly second: number; readonly path: readonly string[] }>;

  /**
   * Calls `listener` with every change of what the catalogue shows, once it is durable and before it is answered. It tells
   * names alone: what a caller may see of them is asked by the use cases. Returns what ends the subscription.
   */
  subscribe(listener: (change: KeyringChange) => void): () => void;
  /** What was found wrong while working, in one sentence, such as a changed record of the audit log or a tampered device with the storage key; undefined when nothing was. */
  readonly alarm: string | undefined;
  /** What does not work at present and needs somebody, without anything being found wrong: why checkpoints are not signed. */
  readonly warning: string | undefined;
  /** Counters and gauges for /metrics; no names of keys or people. */
  metrics(): Readonly<Record<string, number>>;
  /** Adds to a counter of an interface that has no /metrics of its own. `series` names no keys and no people. */
  count(series: string, amount?: number): void;
  /** Scheduled work due now: activations, deactivations, rotations, destructions. Called by the server's timer. */
  runSchedule(): Promise<void>;
  close(): Promise<void>;
}
