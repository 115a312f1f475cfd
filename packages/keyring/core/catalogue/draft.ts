import { CasemateError } from "@casemate/foundation/errors";
import {
  usageClash,
  type AlgorithmSupport,
  type Device,
  type KeyAlgorithm,
  type Usage,
} from "@casemate/devices/contract";
import { ALGORITHMS, isKeyAlgorithm } from "../algorithms.ts";
import type { Core } from "../core.ts";
import { deviceOf } from "../core.ts";
import { checkWellFormed } from "../text.ts";
import { DAY_MS, parseTime } from "../time.ts";
import type { Caller, CreateKey } from "../types.ts";
import type { KeyRecord } from "./key-record.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const MAX_LABELS = 64;
const MAX_LABEL_TEXT = 256;
const MAX_ROTATION_DAYS = 36_500;

/** @throws BAD_REQUEST. */
export function checkName(name: string): void {
  if (!NAME.test(name))
    throw new CasemateError(
      "BAD_REQUEST",
      "a key name is 1 to 128 of a-z A-Z 0-9 . _ -, starting with a letter or digit",
    );
}

/** @throws BAD_REQUEST for too many, too long, or no Unicode. */
export function checkLabels(labels: Readonly<Record<string, string>>): void {
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) throw new CasemateError("BAD_REQUEST", `at most ${MAX_LABELS} labels`);
  for (const [key, value] of entries) {
    if (key.length === 0 || key.length > MAX_LABEL_TEXT || typeof value !== "string" || value.length > MAX_LABEL_TEXT)
      throw new CasemateError("BAD_REQUEST", `a label and its value are texts of at most ${MAX_LABEL_TEXT} characters`);
    checkWellFormed("a label's name", key);
    checkWellFormed("a label's value", value);
  }
}

/** @throws BAD_REQUEST unless a whole number from 1 to 36500. */
export function checkRotation(days: number): void {
  if (!Number.isInteger(days) || days < 1 || days > MAX_ROTATION_DAYS)
    throw new CasemateError("BAD_REQUEST", `rotateEveryDays must be a whole number from 1 to ${MAX_ROTATION_DAYS}`);
}

/** @throws BAD_REQUEST unless a whole number from 1 up. */
export function checkUseLimit(limit: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1)
    throw new CasemateError("BAD_REQUEST", "useLimit must be a whole number from 1");
}

/** @throws BAD_REQUEST, NOT_SUPPORTED naming what the device can do. */
export function checkUsages(device: Device, algorithm: KeyAlgorithm, usages: readonly Usage[]): void {
  const row = ALGORITHMS[algorithm];
  // A device that was not there since the start cannot be judged: asked to make the key, it says itself why it does not.
  const support = isUnknown(device) ? row : supportOf(device, algorithm);
  if (usages.length === 0) throw new CasemateError("BAD_REQUEST", "a key needs at least one usage");
  for (const usage of usages) {
    if (!row.usages.includes(usage))
      throw new CasemateError("BAD_REQUEST", `${algorithm} keys do not have the use ${usage}`, {
        hint: `Theirs are: ${row.usages.join(", ")}.`,
      });
    if (!support.usages.includes(usage))
      throw new CasemateError(
        "NOT_SUPPORTED",
        `in device ${device.identity.id}, ${algorithm} keys do not have the use ${usage}`,
        {
          hint: `There they have: ${support.usages.join(", ")}.`,
        },
      );
  }
  const clash = usageClash(algorithm, usages);
  if (clash !== undefined) throw new CasemateError("NOT_SUPPORTED", clash.message, { hint: clash.hint });
}

/** @throws BAD_REQUEST. */
function checkExport(algorithm: KeyAlgorithm, usages: readonly Usage[], exportable: boolean): void {
  if (exportable && usages.includes("wrap") && algorithm.startsWith("aes-"))
    throw new CasemateError("BAD_REQUEST", `an ${algorithm} key that wraps others is never exportable`, {
      hint: "A key that wraps others never leaves: whoever gets it opens everything that it wrapped. Wrap the others under a key of the place they go to.",
    });
}

/** Whether nothing is known yet of what the device can do. */
const isUnknown = (device: Device): boolean => device.algorithms.length === 0;

function supportOf(device: Device, algorithm: KeyAlgorithm): AlgorithmSupport {
  const support = device.algorithms.find((row) => row.algorithm === algorithm);
  if (support === undefined)
    throw new CasemateError("NOT_SUPPORTED", `device ${device.identity.id} has no ${algorithm}`, {
      hint: `It has: ${device.algorithms.map((row) => row.algorithm).join(", ")}.`,
    });
  return support;
}

/** The named device, or the first one that knows the algorithm. @throws NOT_FOUND, NOT_SUPPORTED. */
export function chooseDevice(core: Core, id: string | undefined, algorithm: KeyAlgorithm): Device {
  if (id !== undefined) return deviceOf(core, id);
  for (const device of core.devices.values()) {
    if (device.algorithms.some((row) => row.algorithm === algorithm)) return device;
  }
  const unknown = [...core.devices].filter(([, device]) => isUnknown(device)).map(([name]) => name);
  throw new CasemateError(
    "NOT_SUPPORTED",
    `no device has ${algorithm}`,
    unknown.length === 0
      ? {}
      : { hint: `What these can do is unknown until they are there: ${unknown.join(", ")}. \`casemate device list\`.` },
  );
}

/** The record of a key to be made, without its version, all fields checked. @throws BAD_REQUEST, NOT_FOUND, NOT_SUPPORTED. */
export function draftKey(core: Core, caller: Caller, request: CreateKey, origin: KeyRecord["origin"]): KeyRecord {
  checkName(request.name);
  if (!isKeyAlgorithm(request.algorithm))
    throw new CasemateError(
      "BAD_REQUEST",
      `no algorithm is called ${JSON.stringify(String(request.algorithm).slice(0, 64))}`,
    );
  const device = chooseDevice(core, request.device, request.algorithm);
  const usages = [...new Set(request.usages ?? ALGORITHMS[request.algorithm].usages.slice(0, 1))];
  checkUsages(device, request.algorithm, usages);
  const exportable = request.exportable ?? false;
  checkExport(request.algorithm, usages, exportable);
  const labels = { ...request.labels };
  checkLabels(labels);
  if (request.rotateEveryDays !== undefined) checkRotation(request.rotateEveryDays);
  if (request.useLimit !== undefined) checkUseLimit(request.useLimit);
  const now = core.clock.now();
  const activateAt = request.activateAt === undefined ? undefined : parseTime("activateAt", request.activateAt);
  const deactivateAt = request.deactivateAt === undefined ? undefined : parseTime("deactivateAt", request.deactivateAt);
  checkDates(now, activateAt, deactivateAt);
  const later = activateAt !== undefined && activateAt > now;
  return {
    id: core.random.bytes(12).toHex(),
    name: request.name,
    revision: 0,
    algorithm: request.algorithm,
    usages,
    exportable,
    device: device.identity.id,
    labels,
    createdAt: now,
    createdBy: caller.principal,
    origin,
    ...(request.rotateEveryDays === undefined
      ? {}
      : {
          rotateEveryDays: request.rotateEveryDays,
          nextRotationAt: (later ? activateAt : now) + request.rotateEveryDays * DAY_MS,
        }),
    ...(request.useLimit === undefined ? {} : { useLimit: request.useLimit }),
    versions: [
      {
        version: 1,
        state: later ? "pre-active" : "active",
        device: device.identity.id,
        createdAt: now,
        ...(later ? { activateAt } : {}),
        ...(deactivateAt === undefined ? {} : { deactivateAt }),
      },
    ],
  };
}

/** @throws BAD_REQUEST. */
export function checkDates(now: number, activateAt: number | undefined, deactivateAt: number | undefined): void {
  if (deactivateAt === undefined) return;
  if (deactivateAt <= now)
    throw new CasemateError("BAD_REQUEST", "deactivateAt is in the past", { hint: "Name a time to come." });
  if (activateAt !== undefined && deactivateAt <= activateAt)
    throw new CasemateError("BAD_REQUEST", "deactivateAt is not after activateAt", {
      hint: "Name a later deactivateAt, or an earlier activateAt.",
    });
}
