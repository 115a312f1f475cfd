// What is done here with a public key: under policy and on record, whosever half it is.
import type { Caller } from "@casemate/keyring/core";
import type { Maybe, Ports } from "./context.ts";
import type { Material } from "./object.ts";

type PublicMaterial = Extract<Material, { kind: "public" }>;

const ACTIONS = { verify: "key.verify", encrypt: "key.encrypt" } as const;

/**
 * Runs what needs only a public key. The half of a device key is used as that key is: its policies, its state and its record. One that an
 * application brought or made for itself counts as its other own keys, whose number 0 stands for all of these.
 */
export function usePublicKey<T>(
  { keyring }: Ports,
  caller: Caller | undefined,
  { device }: PublicMaterial,
  operation: keyof typeof ACTIONS,
  details: { readonly mechanism: string; readonly [more: string]: string },
  work: () => Maybe<T>,
): Maybe<T> {
  if (caller === undefined) return work();
  if (device !== undefined) {
    const use = { action: ACTIONS[operation], version: device.version, details };
    return keyring.usePublicHalf(caller, device.name, use, work);
  }
  const about = { number: 0, details: { operation, half: "public", ...details } };
  return keyring.sessionKey(caller, "session-key.use", about, async () => work());
}
