/**
 * What is wrong beside the records, such as checkpoints that were removed. The next checkpoint covers it up, so it is kept in the
 * database and is an alarm at every start, until the owner accepts it.
 */
import { asCasemateError, CasemateError } from "@casemate/foundation/errors";
import type { Core } from "../core.ts";
import { CHECKPOINT, rawKey, readInternal } from "./internal-keys.ts";

const FINDING = "casemate-finding";
const ENDING = "`casemate up --accept-older-log`, once, ends this alarm when it is settled";

/** Not `device`: what is kept under that name goes with a zeroized device. */
interface Kept {
  readonly about: string;
  readonly found: string;
  readonly details: CasemateError["details"];
}

/** Raises the alarm, now and at later starts. A second finding does not take the place of the first. */
export async function keepFinding(core: Core, about: string, found: CasemateError): Promise<void> {
  core.alarms.raise("audit.check", found, ENDING);
  try {
    if ((await core.store.get("internal", "id", FINDING)) !== undefined) return;
    const kept: Kept = { about, found: found.message, details: found.details };
    const row = { id: FINDING, revision: 1, body: JSON.stringify(kept), index: {} };
    await core.store.commit([{ kind: "put", collection: "internal", row }], core.audit.head);
  } catch (error) {
    core.log(`a finding is an alarm until the server ends only: ${asCasemateError(error).message}`, error);
  }
}

/**
 * At a start: the alarm again, or what the owner who accepts it puts on record. Answers with the size of the newest checkpoint of those that
 * were put back, where that ended it.
 */
export async function recallFinding(core: Core): Promise<number | undefined> {
  const row = await core.store.get("internal", "id", FINDING);
  if (row === undefined) return undefined;
  const { about, found, details } = JSON.parse(row.body) as Kept;
  const finding = new CasemateError("TAMPER_DETECTED", found, { details });
  const sizes = missingIn(finding);
  const restored = await areBack(core, about, sizes);
  if (!restored && !core.acceptOlderLog) {
    core.alarms.raise("audit.check", finding, ENDING);
    return undefined;
  }
  if (restored) await recordRestoration(core, about, finding);
  else await recordAcceptance(core, about, finding);
  const { id, revision } = row;
  await core.store.commit([{ kind: "delete", collection: "internal", id, revision }], core.audit.head);
  return restored ? Math.max(...sizes) : undefined;
}

/** Sizes of the checkpoints that a finding misses; none where nothing could be put back. */
export function missingIn({ details: { missing } }: CasemateError): readonly number[] {
  return typeof missing === "string" ? missing.split(",").map(Number) : [];
}

/** Whether the checkpoints that a finding misses were put back: signed by the key that is in use, over the records that are there. */
async function areBack({ store, audit }: Core, name: string, sizes: readonly number[]): Promise<boolean> {
  const key = await readInternal(store, CHECKPOINT);
  if (sizes.length === 0 || key?.publicKey === undefined || key.device !== name) return false;
  return audit.holds(sizes, { name, publicKey: rawKey(key.publicKey) });
}

export async function recordRestoration(
  core: Core,
  device: string,
  { message, details }: CasemateError,
): Promise<void> {
  core.log(`settled, since they were put back: ${message}`);
  await core.recorder.append({
    principal: "casemate",
    source: "keyring",
    action: "audit.settle",
    resource: `device/${device}`,
    outcome: "ok",
    count: 1,
    details: { found: message.slice(0, 256), ...details },
  });
}

/** A finding at a start that can accept it. */
export async function settleFinding(core: Core, about: string, found: CasemateError): Promise<void> {
  await (core.acceptOlderLog ? recordAcceptance(core, about, found) : keepFinding(core, about, found));
}

/** @throws the finding unless its owner accepts it. */
export async function recordAcceptance(core: Core, device: string, found: CasemateError): Promise<void> {
  if (!core.acceptOlderLog) throw found;
  core.log(`accepted: ${found.message}`);
  await core.recorder.append({
    principal: "owner",
    source: "keyring",
    action: "audit.accept",
    resource: `device/${device}`,
    outcome: "ok",
    count: 1,
    details: { found: found.message.slice(0, 256), ...found.details },
  });
}
