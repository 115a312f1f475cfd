import type { Command } from "commander";
import type { Session } from "../session.ts";

/** A verb's module fills in its arguments, options and action. */
export interface VerbModule {
  define(command: Command, session: Session): void;
}

export interface Verb {
  readonly name: string;
  readonly summary: string;
  /** Loaded only when the verb is used: start-up stays short. */
  load(): Promise<VerbModule>;
}

export const VERBS: readonly Verb[] = [
  { name: "up", summary: "start the server with its virtual HSM", load: () => import("./up.ts") },
  { name: "status", summary: "whether a server answers, and what it has", load: () => import("./status.ts") },
  {
    name: "device",
    summary: "devices: list, show, add, remove, unlock, lock, zeroize",
    load: () => import("./device.ts"),
  },
  { name: "key", summary: "keys and their lifecycle", load: () => import("./key.ts") },
  { name: "sign", summary: "sign a file or a digest", load: () => import("./sign.ts") },
  { name: "verify", summary: "check a signature", load: () => import("./verify.ts") },
  { name: "encrypt", summary: "encrypt a file", load: () => import("./encrypt.ts") },
  { name: "decrypt", summary: "decrypt a file", load: () => import("./decrypt.ts") },
  { name: "mac", summary: "compute or check a message authentication code", load: () => import("./mac.ts") },
  { name: "random", summary: "random bytes made by a device", load: () => import("./random.ts") },
  { name: "wrap", summary: "take an exportable key out, encrypted under another key", load: () => import("./wrap.ts") },
  { name: "unwrap", summary: "bring a wrapped key into a device", load: () => import("./unwrap.ts") },
  { name: "audit", summary: "the audit log: list, verify, checkpoint, prove", load: () => import("./audit.ts") },
  { name: "token", summary: "API tokens: create, list, revoke", load: () => import("./token.ts") },
  { name: "policy", summary: "policies: list, set, test, explain", load: () => import("./policy.ts") },
  {
    name: "pkcs11",
    summary: "PKCS#11 applications: env, bridge, doctor",
    load: () => import("./pkcs11.ts"),
  },
  { name: "bench", summary: "measure operations against this server", load: () => import("./bench.ts") },
  { name: "doctor", summary: "what holds on this machine", load: () => import("./doctor.ts") },
  { name: "completion", summary: "completion script for bash, zsh or fish", load: () => import("./completion.ts") },
];
