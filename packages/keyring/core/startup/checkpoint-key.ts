/** The key that signs the audit log's checkpoints, and what its device has witnessed of the log. */
import type { Device, WitnessedLog } from "@casemate/devices/contract";
import { equalBytes, toHex } from "@casemate/foundation/bytes";
import { asCasemateError, CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { keepsFinding, rolledBack } from "../audit/witnessed.ts";
import type { Core } from "../core.ts";
import type { CheckpointSigner } from "../ports.ts";
import type { WitnessView } from "../types.ts";
import { keepFinding, missingIn, recordAcceptance, recordRestoration, settleFinding } from "./findings.ts";
import {
  CHECKPOINT,
  notReadyToUndefined,
  rawKey,
  readInternal,
  writeInternal,
  type InternalKey,
} from "./internal-keys.ts";

/** `later`: the device is there and cannot be asked now. */
export type SignerState = "signs" | "later" | "none";

interface SignerOptions {
  /** The key went with a zeroized device, so what others have witnessed is no evidence. */
  readonly expectNone: boolean;
  /** Up to which size checkpoints that had been removed were put back: those signed since then went when they were. */
  readonly restored: number | undefined;
  /** Is told how each checkpoint went. */
  readonly went: NonNullable<CheckpointSigner["went"]>;
}

/**
 * Lets the audit log sign its checkpoints with an Ed25519 key of the first device that is ready and can, once the log was held against
 * what that device has witnessed.
 * @throws TAMPER_DETECTED when the log was rolled back or replaced, unless its owner accepts it.
 */
export async function useCheckpointKey(
  core: Core,
  { expectNone, restored, went }: SignerOptions,
): Promise<SignerState> {
  const { store, audit, devices } = core;
  let key = await readInternal(store, CHECKPOINT);
  if (key === undefined) {
    if (!expectNone) await requireUnwitnessed(core);
    for (const device of devices.values()) {
      if (!device.algorithms.some((row) => row.algorithm === "ed25519" && row.usages.includes("sign"))) continue;
      key = await makeKey(core, device).catch(notReadyToUndefined);
      if (key !== undefined) break;
    }
    if (expectNone && key !== undefined) core.log(`a new key in ${key.device} signs checkpoints of the audit log`);
  }
  const device = key === undefined ? undefined : devices.get(key.device);
  if (key === undefined || device?.sign === undefined) return "none";
  if (device.witness !== undefined) {
    const found = await askWitness(core, device, key, restored);
    if (found === "later") return "later";
    if (found !== undefined) key = await acceptOlder(core, device, key, found);
  }
  audit.useSigner({ ...signerOf(core, device, key.ref, await rawPublicKey(device, key)), went });
  return "signs";
}

/** What is shown of a device as a witness of this keyring's log. */
export async function witnessView({ store }: Pick<Core, "store">, device: Device): Promise<WitnessView> {
  if (device.witness === undefined) return { supported: false };
  const key = await readInternal(store, CHECKPOINT);
  if (key?.device !== device.identity.id) return { supported: true };
  try {
    const log = await witnessedBy(device, await rawPublicKey(device, key));
    if (log === undefined) return { supported: true };
    return {
      supported: true,
      log: { origin: log.origin, records: log.size, before: log.before, rootHash: toHex(log.root) },
    };
  } catch {
    // Locked, or not there: its status says so.
    return { supported: true };
  }
}

async function makeKey({ store, audit }: Core, device: Device): Promise<InternalKey> {
  const made = await device.keys.generate({
    algorithm: "ed25519",
    usages: ["sign"],
    exportable: false,
    label: CHECKPOINT,
  });
  const key = { device: device.identity.id, ...made };
  await writeInternal(store, audit, CHECKPOINT, key);
  return key;
}

async function rawPublicKey(device: Device, { ref, publicKey }: InternalKey): Promise<Uint8Array> {
  return rawKey(publicKey ?? (await device.keys.publicKey(ref)));
}

async function witnessedBy(device: Device, publicKey: Uint8Array): Promise<WitnessedLog | undefined> {
  const logs = (await device.witness?.logs()) ?? [];
  return logs.find((log) => equalBytes(log.publicKey, publicKey));
}

function signerOf(core: Core, device: Device, ref: Uint8Array, publicKey: Uint8Array): CheckpointSigner {
  const { sign, witness } = device;
  const { id } = device.identity;
  const known = { name: id, publicKey, found: (error: CasemateError) => keepFinding(core, id, error) };
  if (witness !== undefined) {
    const witnessed = () => witnessedBy(device, publicKey);
    return {
      ...known,
      witnessed,
      sign: async (_note, checkpoint) =>
        witness.sign(ref, checkpoint, await checkpoint.since((await witnessed())?.size ?? 0)),
    };
  }
  return {
    ...known,
    async sign(note) {
      const [signature] = (await sign?.sign(ref, "pure", "message", [note])) ?? [];
      if (isCasemateError(signature)) throw signature;
      if (signature === undefined) throw new TypeError("the checkpoint key gave no signature");
      return signature;
    },
  };
}

/** What the device knows better than the log; `later` where it does not say. */
async function askWitness(
  core: Core,
  device: Device,
  key: InternalKey,
  restored = Infinity,
): Promise<CasemateError | "later" | undefined> {
  const { id } = device.identity;
  let log: WitnessedLog | undefined;
  let publicKey: Uint8Array;
  let others: boolean;
  try {
    // A key that was destroyed has witnessed nothing any more: the reference must still be good.
    await device.keys.publicKey(key.ref);
    publicKey = await rawPublicKey(device, key);
    log = await witnessedBy(device, publicKey);
    others = ((await device.witness?.logs()) ?? []).length > 0;
  } catch (error) {
    const known = asCasemateError(error);
    if (known.code === "NOT_FOUND") {
      const found = await keyIsGone(core, device);
      return (await firstFound(core, found)) ?? found;
    }
    core.log(`what ${id} has witnessed of the audit log is compared when it can be asked`, error);
    return "later";
  }
  if (log === undefined) {
    // Before there were witnesses keys signed unremembered: only a device that remembers others should know this one.
    const forgotten = others ? core.audit.forgotten(publicKey, id) : undefined;
    if (forgotten !== undefined) await settleFinding(core, id, forgotten);
    return undefined;
  }
  try {
    const missing = await core.audit.compare(log, id);
    if (missing === undefined) return undefined;
    const sizes = missingIn(missing);
    const went = sizes.length > 0 && sizes.every((size) => size > restored);
    await (went ? recordRestoration(core, id, missing) : settleFinding(core, id, missing));
    return undefined;
  } catch (error) {
    const known = asCasemateError(error);
    if (known.code === "TAMPER_DETECTED") return (await firstFound(core, known)) ?? known;
    throw error;
  }
}

/** The device destroyed the key when another log was accepted in place of this one, be it older or newer; or it is empty. */
async function keyIsGone({ audit }: Core, device: Device): Promise<CasemateError> {
  const { id } = device.identity;
  const { records, checkpoint } = audit.opened;
  const logs = (await device.witness?.logs()) ?? [];
  const [longest] = logs.toSorted((a, b) => b.size - a.size);
  const found =
    longest === undefined
      ? `database and audit log do not belong to the device ${id}: it neither has the key that signs these ${records} records nor remembers any log, so it was zeroized or is another one`
      : `database and audit log were put back to a state that was given up: the device ${id} destroyed the key that signs these ${records} records when another log was accepted, of which it has witnessed ${longest.size} records`;
  return rolledBack(found, { device: id, witnessed: longest?.size ?? 0, records, kept: checkpoint });
}

/** The same finding as it was put on record when it was made first: since then the log has grown by who asked in vain. */
async function firstFound({ audit }: Core, { details, hint }: CasemateError): Promise<CasemateError | undefined> {
  const { device, witnessed, kept } = details;
  let cursor: string | undefined;
  do {
    const page = await audit.records({
      from: typeof kept === "number" ? kept : 0,
      outcome: "TAMPER_DETECTED",
      limit: 1000,
      ...(cursor === undefined ? {} : { cursor }),
    });
    const first = page.items.find((record) => keepsFinding(record, { device, witnessed }));
    if (first !== undefined) {
      const { found, ...numbers } = first.details;
      return new CasemateError("TAMPER_DETECTED", String(found), {
        ...(hint === undefined ? {} : { hint }),
        details: numbers,
      });
    }
    cursor = page.next;
  } while (cursor !== undefined);
  return undefined;
}

/** A database without a checkpoint key has no log that a device could have witnessed. @throws TAMPER_DETECTED */
async function requireUnwitnessed(core: Core): Promise<void> {
  for (const device of core.devices.values()) {
    const logs = (await device.witness?.logs().catch(() => [])) ?? [];
    const [longest] = logs.toSorted((a, b) => b.size - a.size);
    if (longest === undefined) continue;
    const { id } = device.identity;
    const found = rolledBack(
      `database and audit log were replaced: the device ${id} has witnessed ${longest.size} records of ${longest.origin}, the database knows of none`,
      { witnessed: longest.size, records: core.audit.head.size },
    );
    await recordAcceptance(core, id, found);
    return;
  }
}

/** The older log goes on under a new key: the old one, which says otherwise, is destroyed. @throws the finding unless accepted. */
async function acceptOlder(core: Core, device: Device, key: InternalKey, found: CasemateError): Promise<InternalKey> {
  await recordAcceptance(core, device.identity.id, found);
  const made = await makeKey(core, device);
  await device.keys
    .destroy(key.ref)
    .catch((error: unknown) => core.log("the key that signed the newer log is not destroyed", error));
  return made;
}
