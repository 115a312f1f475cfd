import { bindAttempts, type AttemptCalls } from "./attempts.ts";
import { bindEcDigest, type EcDigestCalls } from "./ec-digest.ts";
import { capability, openProgram, unavailable, type Capability, type Program } from "./library.ts";
import { bindPeer, type PeerCalls } from "./peer.ts";
import { bindPreparedSigner, type PreparedCalls } from "./prepared-signer.ts";
import { bindProcessCalls, bindSeccomp, type ProcessCalls, type SeccompCalls } from "./process-calls.ts";

/** What native code of the system can do for us here. Look at `available` first; otherwise `reason` says why not. */
export interface NativeCalls {
  readonly processCalls: Capability<ProcessCalls>;
  readonly seccomp: Capability<SeccompCalls>;
  readonly attempts: Capability<AttemptCalls>;
  readonly peer: Capability<PeerCalls>;
  readonly ecDigest: Capability<EcDigestCalls>;
  readonly prepared: Capability<PreparedCalls>;
}

let bound: NativeCalls | undefined;

/**
 * Binds everything at the first call and remembers it. Call it before `process.permission.drop("ffi")`: what is bound goes
 * on working afterwards, except the calls of `processCalls`, `seccomp` and `attempts`, which are for hardening only.
 */
export function nativeCalls(): NativeCalls {
  bound ??= bindAll();
  return bound;
}

function bindAll(): NativeCalls {
  const opened = capability("node:ffi", () => ({ program: openProgram() }));
  const part = <T extends object>(what: string, bind: (program: Program) => T): Capability<T> =>
    opened.available ? capability(what, () => bind(opened.program)) : unavailable(opened.reason);
  return {
    processCalls: part("process calls", bindProcessCalls),
    seccomp: part("seccomp", bindSeccomp),
    attempts: part("attempts", bindAttempts),
    peer: part("peer credentials", bindPeer),
    ecDigest: part("signing of digests", bindEcDigest),
    prepared: part("signing of prepared input", bindPreparedSigner),
  };
}

/** Whether a new native function could be bound now; false after the permission was dropped. */
export function canBindNative(): boolean {
  return capability("node:ffi", () => ({ program: openProgram() })).available;
}
