/** SoftHSM behind a module that misbehaves on demand, and what its tests share. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Device, NewKey } from "@casemate/devices/contract";
import type { Pkcs11Options } from "@casemate/devices/driver-pkcs11";
import { isCasemateError, type ErrorCode } from "@casemate/foundation/errors";
import { inFront, type SoftHsm } from "./pkcs11-out-harness.ts";

const DIGEST = new Uint8Array(32).fill(7);

export const failsWith =
  (code: ErrorCode, message: RegExp = /./) =>
  (error: unknown): boolean => {
    assert.ok(isCasemateError(error), String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };

export interface Bad {
  readonly hsm: SoftHsm;
  /** What the module does at its next calls; `-` is well. */
  act(action: string): void;
  /** Whether what is to be done once is still to be done. */
  readonly waiting: () => boolean;
  readonly logins: () => number;
  readonly initializations: () => number;
  /** How often the token was asked to look through its objects. */
  readonly searches: () => number;
  open(more?: Partial<Pkcs11Options>): Promise<Device>;
}

/** SoftHSM behind a module that misbehaves on demand. */
export function bad(t: TestContext): Bad {
  const front = inFront(t, "pkcs11-out-shim.c", "SHIM");
  const { hsm, control, counted } = front;
  writeFileSync(control, "-");
  return {
    hsm,
    act: (action) => writeFileSync(control, action),
    waiting: () => readFileSync(control, "utf8") !== "-",
    logins: () => counted("login"),
    initializations: () => counted("initialize"),
    searches: () => counted("search"),
    open: (more) => front.open(more),
  };
}

export const generate = (device: Device): Promise<NewKey> =>
  device.keys.generate({ algorithm: "ec-p256", usages: ["sign"], exportable: false });

export async function sign(device: Device, key: NewKey): Promise<void> {
  const [signature] = (await device.sign?.sign(key.ref, "ecdsa-sha256", "digest", [DIGEST])) ?? [];
  if (signature instanceof Error) throw signature;
  assert.ok(signature !== undefined && signature.length > 60);
}

/** Generous, for machines that are busy: a failure is rare and may take its time to show. */
export async function until(condition: () => boolean | Promise<boolean>, what: string, ms = 60_000): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; await sleep(20)) if (await condition()) return;
  assert.fail(`${what} did not happen within ${ms} ms`);
}

export const stateOf = async (device: Device): Promise<string> => (await device.status()).state;
