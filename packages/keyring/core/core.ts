/** What every use case stands on; made once by openKeyring. */
import type { Device } from "@casemate/devices/contract";
import type { Clock, Random } from "@casemate/foundation/effects";
import { CasemateError } from "@casemate/foundation/errors";
import type { Alarms } from "./alarms.ts";
import type { KeyCache } from "./catalogue/key-cache.ts";
import type { Changes } from "./changes.ts";
import type { Guard } from "./guard.ts";
import type { Locks } from "./locks.ts";
import type { Metrics } from "./metrics.ts";
import type { AuditLog, PolicyEngine } from "./ports.ts";
import type { Recorder } from "./recorder.ts";
import type { Change, Store } from "./store.ts";
import type { TokenCache } from "./tokens/token-cache.ts";
import type { UseCounters } from "./use/use-counters.ts";

export interface Core {
  readonly store: Store;
  readonly audit: AuditLog;
  readonly policy: PolicyEngine;
  readonly devices: ReadonlyMap<string, Device>;
  readonly clock: Clock;
  readonly random: Random;
  /** See KeyringOptions. */
  readonly reseal: boolean;
  /** See KeyringOptions. */
  readonly acceptOlderLog: boolean;
  readonly keys: KeyCache;
  readonly tokens: TokenCache;
  readonly counters: UseCounters;
  readonly guard: Guard;
  readonly changes: Changes;
  readonly recorder: Recorder;
  readonly alarms: Alarms;
  readonly locks: Locks;
  readonly metrics: Metrics;
  readonly log: (message: string, error?: unknown) => void;
}

/** Commits with the audit log's head, so that a rolled-back log is noticed at the next start. */
export function commit(core: Core, changes: readonly Change[]): Promise<number> {
  return core.store.commit(changes, core.audit.head);
}

/** @throws NOT_FOUND. */
export function deviceOf(core: Core, id: string): Device {
  const device = core.devices.get(id);
  if (device === undefined)
    throw new CasemateError("NOT_FOUND", `no device is called ${JSON.stringify(id.slice(0, 128))}`, {
      hint: `There are: ${[...core.devices.keys()].join(", ")}.`,
    });
  return device;
}

/** The device that holds a key. @throws DEVICE_ABSENT when it is not attached. */
export function holderOf(core: Core, id: string): Device {
  const device = core.devices.get(id);
  if (device === undefined)
    throw new CasemateError("DEVICE_ABSENT", `device ${id} is not attached`, {
      hint: "Start the server with the device that holds the key.",
    });
  return device;
}
