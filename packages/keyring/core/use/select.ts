import type { Device, KeyRef, Usage } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import { primaryOf, type KeyRecord, type VersionRecord } from "../catalogue/key-record.ts";
import { holderOf, type Core } from "../core.ts";
import { ALLOWED, type Operation } from "../lifecycle/states.ts";
import { iso } from "../time.ts";
import type { KeyState } from "../types.ts";

export interface Selected {
  readonly record: KeyRecord;
  readonly version: VersionRecord;
  readonly device: Device;
  readonly ref: Uint8Array;
}

const NEEDS: Readonly<Record<Operation, Usage | undefined>> = {
  sign: "sign",
  verify: "sign",
  encrypt: "encrypt",
  decrypt: "encrypt",
  mac: "mac",
  "mac-verify": "mac",
  agree: "agree",
  encapsulate: "kem",
  decapsulate: "kem",
  wrap: "wrap",
  unwrap: "wrap",
  export: undefined,
  "data-keys": "encrypt",
  public: undefined,
};

/** What an operation is called in a sentence after `cannot` or `to`. */
const IN_WORDS: Readonly<Record<Operation, string>> = {
  sign: "sign",
  verify: "verify signatures",
  encrypt: "encrypt",
  decrypt: "decrypt",
  mac: "make codes (MACs)",
  "mac-verify": "check codes (MACs)",
  agree: "agree on secrets",
  encapsulate: "encapsulate secrets",
  decapsulate: "decapsulate secrets",
  wrap: "wrap keys",
  unwrap: "unwrap keys",
  export: "leave its device",
  "data-keys": "make data keys",
  public: "show its public half",
};

const WAY_OUT: Readonly<Record<KeyState, string>> = {
  "pre-active": "Activate it first, or wait for its date.",
  active: "",
  suspended: "Resume it first.",
  deactivated: "It still verifies and decrypts; rotate the key for new protection.",
  compromised: "It still verifies and decrypts; rotate the key for new protection.",
  destroyed: "Its material is gone for good.",
};
export const BEGUN =
  "Its destruction was begun and cannot be called off; it is tried again until the device has done it.";

const CONDEMNED =
  "It waits for its destruction, and verifies and decrypts until then; restore it first for new protection.";

function wrongUse(record: KeyRecord, operation: Operation, usage: Usage): CasemateError {
  return new CasemateError("KEY_USAGE", `${record.name} was not made to ${IN_WORDS[operation]}`, {
    hint: `It is a key for ${record.usages.join(" and ")}, for good; name one that was created for ${usage}.`,
  });
}

/** For what looks at its input first. @throws KEY_USAGE. */
export function checkUse(record: KeyRecord, operation: Operation): void {
  const usage = NEEDS[operation];
  if (usage !== undefined && !record.usages.includes(usage)) throw wrongUse(record, operation, usage);
}

/** The version to use and its holder, if usage and state allow. @throws KEY_USAGE, KEY_STATE, NOT_FOUND, DEVICE_ABSENT. */
export function select(core: Core, record: KeyRecord, operation: Operation, version?: number): Selected {
  checkUse(record, operation);
  const chosen = version === undefined ? primaryOf(record) : versionOf(record, version);
  if (!ALLOWED[chosen.state].has(operation) || chosen.destroying || chosen.ref === undefined)
    throw new CasemateError("KEY_STATE", refusal(record, chosen, operation), {
      hint: chosen.destroying ? BEGUN : chosen.destroyAt === undefined ? WAY_OUT[chosen.state] : CONDEMNED,
      details: { state: chosen.state, version: chosen.version },
    });
  const device = holderOf(core, chosen.device);
  return { record, version: chosen, device, ref: expectingRef(device, chosen.ref, chosen.publicKey) };
}

/** `ref`, for this key alone where others can put one in its place. */
export function expectingRef(device: Device, ref: KeyRef, publicKey: Uint8Array | undefined): KeyRef {
  return publicKey === undefined ? ref : (device.keys.expecting?.(ref, publicKey) ?? ref);
}

/** @throws NOT_FOUND. */
export function versionOf(record: KeyRecord, version: number): VersionRecord {
  const found = record.versions.find((candidate) => candidate.version === version);
  if (found === undefined)
    throw new CasemateError("NOT_FOUND", `${record.name} has no version ${version}`, {
      hint: `It has versions 1 to ${record.versions.at(-1)?.version ?? 0}.`,
    });
  return found;
}

function refusal(record: KeyRecord, version: VersionRecord, operation: Operation): string {
  const since = version.activateAt === undefined ? "" : ` until ${iso(version.activateAt)}`;
  const state = version.destroying ? "being destroyed" : version.state;
  return `version ${version.version} of ${record.name} is ${state}${state === "pre-active" ? since : ""}: it cannot ${IN_WORDS[operation]}`;
}

/** The facet a device must have for this. @throws NOT_SUPPORTED. */
export function facet<T>(device: Device, facetOfDevice: T | undefined, what: string): T {
  if (facetOfDevice === undefined)
    throw new CasemateError("NOT_SUPPORTED", `device ${device.identity.id} cannot ${what}`, {
      hint: `casemate device show ${device.identity.id} says what it can do.`,
    });
  return facetOfDevice;
}
