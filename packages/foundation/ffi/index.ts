export { canBindNative, nativeCalls, type NativeCalls } from "./native.ts";
export type { Capability } from "./library.ts";
export type { EcDigestCalls, EcDigestSigner, EcDigestVerifier } from "./ec-digest.ts";
export type { PreparedCalls, PreparedInput, PreparedSigner } from "./prepared-signer.ts";
export type { PeerCalls, PeerCredentials } from "./peer.ts";
export type { ProcessCalls, SeccompCalls } from "./process-calls.ts";
export { ATTEMPTS, type Attempt, type AttemptCalls } from "./attempts.ts";
export { startPrelude, type Prelude } from "./prelude.ts";
