import type {
  AgreeFacet,
  CipherFacet,
  DataKeysFacet,
  KemFacet,
  KeysFacet,
  MacFacet,
  ObjectsFacet,
  SignFacet,
  UnlockFacet,
  WatchFacet,
  WitnessFacet,
  WrapFacet,
  ZeroizeFacet,
} from "./facets.ts";
import type { CasemateError } from "@casemate/foundation/errors";
import type { CipherScheme, KeyAlgorithm, MacScheme, SignScheme, Usage, WrapScheme } from "./names.ts";

export type DeviceKind = "hsm" | "tpm" | "enclave" | "card";

/** Opaque bytes that only the device understands: a sealed blob or an address inside it. */
export type KeyRef = Uint8Array;

export interface DeviceIdentity {
  readonly id: string;
  readonly kind: DeviceKind;
  readonly maker: string;
  readonly model: string;
  readonly serial: string;
  readonly firmware: string;
  readonly virtual: boolean;
  /** Certifications the maker declares, as text; empty for virtual devices. */
  readonly certifications: readonly string[];
  /** SPKI DER of the device's identity key, where it has one. */
  readonly identityKey?: Uint8Array;
}

export type DeviceState = "operational" | "locked" | "tampered" | "error" | "absent";

/** One hardening step and whether it holds here, found by trying. */
export interface IsolationStep {
  readonly step: string;
  readonly holds: boolean;
  readonly detail: string;
}

export interface DeviceStatus {
  readonly state: DeviceState;
  readonly detail?: string;
  /** The files that `detail` means: apart from it, since an alarm repeats that to everybody. */
  readonly files?: string;
  readonly counters: Readonly<Record<string, number>>;
  /** Virtual devices: what isolates the boundary process on this machine. */
  readonly isolation?: readonly IsolationStep[];
  /** Plain sentences on limits that users must know (secure heap coverage, software-only root, …). */
  readonly notes: readonly string[];
  /** What unlocks sealed state: `key-file`, `passphrase`, … */
  readonly rootOfTrust?: string;
  readonly pid?: number;
}

/** What can be done with a key algorithm here. */
export interface AlgorithmSupport {
  readonly algorithm: KeyAlgorithm;
  readonly usages: readonly Usage[];
  readonly sign: readonly SignScheme[];
  readonly cipher: readonly CipherScheme[];
  readonly mac: readonly MacScheme[];
  readonly wrap: readonly WrapScheme[];
}

export interface KeySpec {
  readonly algorithm: KeyAlgorithm;
  readonly usages: readonly Usage[];
  /** Whether wrapped export is allowed, for ever decided at creation. Plaintext export never is. */
  readonly exportable: boolean;
  /** For devices that hold objects: what to call it there. */
  readonly label?: string;
}

export interface NewKey {
  readonly ref: KeyRef;
  /** SubjectPublicKeyInfo DER, for asymmetric keys. */
  readonly publicKey?: Uint8Array;
}

/** One answer per input, in order: a failed item does not fail its neighbours. */
export type Many<T> = readonly (T | CasemateError)[];

/**
 * A security boundary around keys. `keys` and `random` are there always; an absent facet means
 * NOT_SUPPORTED, known before calling. Every method may reject with DEVICE_LOCKED, DEVICE_TAMPERED,
 * DEVICE_ABSENT, DEVICE_RESTARTED, TIMEOUT or DEVICE_FAILED.
 */
export interface Device {
  readonly identity: DeviceIdentity;
  readonly algorithms: readonly AlgorithmSupport[];
  status(): Promise<DeviceStatus>;
  /** 1 to 65536 bytes of the device's own randomness. */
  random(length: number): Promise<Uint8Array>;
  readonly keys: KeysFacet;
  readonly sign?: SignFacet;
  readonly cipher?: CipherFacet;
  readonly mac?: MacFacet;
  readonly agree?: AgreeFacet;
  readonly kem?: KemFacet;
  readonly wrap?: WrapFacet;
  readonly dataKeys?: DataKeysFacet;
  readonly witness?: WitnessFacet;
  readonly unlock?: UnlockFacet;
  readonly zeroize?: ZeroizeFacet;
  readonly watch?: WatchFacet;
  readonly objects?: ObjectsFacet;
  /** Ends the connection; for a virtual device, its process. */
  close(): Promise<void>;
}
