import type { Device, KeySpec } from "@casemate/devices/contract";
import { fromBase64, toBase64, toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { hkdfSync } from "node:crypto";
import { DATABASE_BEHIND_HINT } from "../audit/database-comparison.ts";
import type { AuditLog } from "../ports.ts";
import type { Change, Store } from "../store.ts";

/** Casemate's own keys live beside the catalogue: no caller can use, rotate or destroy them. */
export interface InternalKey {
  readonly device: string;
  readonly ref: Uint8Array;
  readonly publicKey?: Uint8Array;
  readonly recipe?: string;
}

const STORAGE = "casemate-storage";
export const CHECKPOINT = "casemate-checkpoint";
/** What the storage key is asked to authenticate; the answer is the secret that row MACs are derived from. */
const STORAGE_QUESTION = toUtf8("casemate storage v1");

/** Ways to get the same secret out of a device twice, best first. */
const RECIPES: ReadonlyMap<string, { spec: KeySpec; answer: (device: Device, ref: Uint8Array) => Promise<unknown> }> =
  new Map([
    [
      "hmac",
      {
        spec: { algorithm: "hmac-sha256", usages: ["mac"], exportable: false, label: STORAGE },
        answer: async (device, ref) => (await device.mac?.mac(ref, "hmac-sha256", [STORAGE_QUESTION]))?.[0],
      },
    ],
    [
      "cmac",
      {
        spec: { algorithm: "aes-256", usages: ["mac"], exportable: false, label: STORAGE },
        answer: async (device, ref) => (await device.mac?.mac(ref, "aes-cmac", [STORAGE_QUESTION]))?.[0],
      },
    ],
    [
      "rsa",
      {
        spec: { algorithm: "rsa-2048", usages: ["sign"], exportable: false, label: STORAGE },
        answer: async (device, ref) =>
          (await device.sign?.sign(ref, "rsa-pkcs1-sha256", "message", [STORAGE_QUESTION]))?.[0],
      },
    ],
  ]);

/**
 * The 32-byte key of row MACs, made in a device on the first start. undefined while its device is not attached. A first start waits for the
 * device that comes first; where an earlier key went with its device (`replaced`), the first that is ready gets the new one.
 * @throws TAMPER_DETECTED where sealed rows do not say which it is, DEVICE_LOCKED, NOT_SUPPORTED when none of the devices could ever make one.
 */
export async function storageKey(
  store: Store,
  audit: AuditLog,
  devices: ReadonlyMap<string, Device>,
  replaced = false,
): Promise<Uint8Array | undefined> {
  const known = await readInternal(store, STORAGE);
  if (known !== undefined) {
    const device = devices.get(known.device);
    const recipe = RECIPES.get(known.recipe ?? "hmac");
    if (recipe === undefined) throw changedRow(STORAGE, "names no way to ask for the key");
    if (device === undefined) return undefined;
    return derive(await recipe.answer(device, known.ref).catch(lost(device)), known.device);
  }
  // Rows are sealed under a key that was here: a new one would not open them.
  if (store.state === "sealed")
    throw changedRow(STORAGE, "is missing, and rows are sealed under the key that it names");
  let absent = false;
  for (const [name, recipe] of RECIPES) {
    for (const device of devices.values()) {
      const { algorithm, usages } = recipe.spec;
      const support = device.algorithms.find((row) => row.algorithm === algorithm);
      if (support === undefined || !usages.every((usage) => support.usages.includes(usage))) continue;
      const made = await device.keys.generate(recipe.spec).catch(notReady(replaced ? NOT_READY : ABSENT));
      if (made === undefined) {
        absent = true;
        continue;
      }
      const secret = derive(await recipe.answer(device, made.ref), device.identity.id);
      await writeInternal(store, audit, STORAGE, { device: device.identity.id, ref: made.ref, recipe: name });
      return secret;
    }
  }
  if (absent) return undefined;
  throw new CasemateError("NOT_SUPPORTED", "no attached device can hold the storage key", {
    hint: "Attach one with HMAC-SHA-256, AES-CMAC or RSA, such as the virtual HSM.",
  });
}

/** Id of the device to unlock for the storage key: where it is, or the only one that it can be made in. */
export async function storageKeyDevice(
  store: Store,
  devices: ReadonlyMap<string, Device>,
): Promise<string | undefined> {
  const known = await readInternal(store, STORAGE);
  return known?.device ?? (devices.size === 1 ? [...devices.keys()][0] : undefined);
}

const ABSENT: ReadonlySet<string> = new Set(["DEVICE_ABSENT"]);
/** What a device answers that may well make a key later. */
const NOT_READY: ReadonlySet<string> = new Set(["DEVICE_ABSENT", "DEVICE_LOCKED", "DEVICE_TAMPERED"]);

function notReady(codes: ReadonlySet<string>): (error: unknown) => undefined {
  return (error) => {
    if (isCasemateError(error) && codes.has(error.code)) return undefined;
    throw error;
  };
}

export const notReadyToUndefined: (error: unknown) => undefined = notReady(NOT_READY);

/** Errors that say nothing about the key itself. */
const PASSING: ReadonlySet<string> = new Set([
  "DEVICE_ABSENT",
  "DEVICE_LOCKED",
  "DEVICE_TAMPERED",
  "DEVICE_RESTARTED",
  "TIMEOUT",
  "UNAVAILABLE",
  "DEVICE_FULL",
]);

/** A device that cannot work at all, as with another's key file, may well hold the key. */
function lost(device: Device): (error: unknown) => Promise<never> {
  return async (error) => {
    if (isCasemateError(error) && PASSING.has(error.code)) throw error;
    const { id } = device.identity;
    const { state, detail = "it does not say why", files } = await device.status();
    if (state !== "error") throw lostKey(id, error);
    throw new CasemateError("CONFIG_INVALID", `${id}, the storage key's device, cannot work: ${detail}`, {
      hint: `Put that right and start again. Nothing was changed.${files === undefined ? "" : ` The files: ${files}.`}`,
      cause: error,
    });
  };
}

function lostKey(device: string, cause: unknown): CasemateError {
  return new CasemateError("DEVICE_FAILED", `device ${device} does not know the storage key any more`, {
    hint: "Restore the state of the device from the same backup as the database. Where it was replaced or zeroized on purpose, casemate up --reseal accepts the records as they are, once.",
    cause,
    details: { lostStorageKey: device },
  });
}

function derive(answer: unknown, device: string): Uint8Array {
  if (answer instanceof Uint8Array)
    return new Uint8Array(hkdfSync("sha256", answer, new Uint8Array(0), "casemate row mac v1", 32));
  throw lostKey(device, answer ?? new TypeError("the storage key gave no answer"));
}

/**
 * Forgets Casemate's own keys in a device that was zeroized or lost them. Where the storage key was among them,
 * `dropped` is awaited first, then rows lose their MACs in the same transaction. Answers whether any was in it.
 */
export async function dropInternalKeys(
  store: Store,
  audit: AuditLog,
  device: string,
  dropped: () => Promise<void>,
): Promise<boolean> {
  const changes: Change[] = [];
  let storage = false;
  for (const row of await store.find("internal", { order: "id", limit: 100 })) {
    if ((JSON.parse(row.body) as { device: string }).device !== device) continue;
    changes.push({ kind: "delete", collection: "internal", id: row.id, revision: row.revision });
    if (row.id === STORAGE) storage = true;
  }
  if (storage) {
    await dropped();
    await store.dropKey(changes, audit.head);
  } else if (changes.length > 0) await store.commit(changes, audit.head);
  return changes.length > 0;
}

/** The device that should know the storage key and does not; undefined when the error says something else. */
export function lostIn(error: unknown): string | undefined {
  const device = isCasemateError(error) ? error.details["lostStorageKey"] : undefined;
  return typeof device === "string" ? device : undefined;
}

export async function readInternal(store: Store, id: string): Promise<InternalKey | undefined> {
  const row = await store.get("internal", "id", id);
  if (row === undefined) return undefined;
  try {
    return parse(row.body);
  } catch (cause) {
    // While the storage key is sought no row is verified yet.
    throw changedRow(id, "cannot be read", cause);
  }
}

function parse(body: string): InternalKey {
  const json = JSON.parse(body) as { device: string; ref: string; publicKey?: string; recipe?: string };
  return {
    device: json.device,
    ref: fromBase64(json.ref),
    ...(json.publicKey === undefined ? {} : { publicKey: fromBase64(json.publicKey) }),
    ...(json.recipe === undefined ? {} : { recipe: json.recipe }),
  };
}

function changedRow(id: string, what: string, cause?: unknown): CasemateError {
  return new CasemateError(
    "TAMPER_DETECTED",
    `the database was changed outside Casemate: its row internal ${id} ${what}`,
    {
      hint: DATABASE_BEHIND_HINT,
      cause,
    },
  );
}

/** RFC 8410: the SubjectPublicKeyInfo of Ed25519 ends with its 32 bytes. */
export function rawKey(publicKey: Uint8Array): Uint8Array {
  return publicKey.subarray(-32);
}

/** In place of one of that name, if there is one. */
export async function writeInternal(store: Store, audit: AuditLog, id: string, key: InternalKey): Promise<void> {
  const body = JSON.stringify({
    device: key.device,
    ref: toBase64(key.ref),
    ...(key.publicKey === undefined ? {} : { publicKey: toBase64(key.publicKey) }),
    ...(key.recipe === undefined ? {} : { recipe: key.recipe }),
  });
  const revision = ((await store.get("internal", "id", id))?.revision ?? 0) + 1;
  await store.commit([{ kind: "put", collection: "internal", row: { id, revision, body, index: {} } }], audit.head);
}
