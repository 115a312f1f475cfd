import { createPublicKey } from "node:crypto";
import { existsSync } from "node:fs";
import { CasemateError } from "@casemate/foundation/errors";
import { fromHex } from "@casemate/foundation/bytes";
import type { HealthResult } from "@casemate/sdk";
import type { AuditProblem, AuditVerification, VerifyAuditOptions } from "@casemate/keyring/core";
import { anonymous, findServer } from "./connection.ts";
import { EXIT, usage } from "./failure.ts";
import { contentOf } from "./files.ts";
import { given } from "./parse.ts";
import type { Session } from "./session.ts";

export interface VerifyLogOptions {
  readonly dir?: string;
  readonly checkpoint?: string;
  readonly publicKey?: string;
}

/** Ed25519 keys end their SubjectPublicKeyInfo with the 32 bytes of the key. */
const ED25519_BYTES = 32;

/** How much of a damaged log can be relied on, or of one that is not the one witnessed; records count from 0. */
export function goodPart(
  records: number,
  { index = records, agreed }: Pick<AuditProblem, "index" | "agreed"> = {},
): string {
  // What lies behind the first record that is wrong may fit together and be wrong all the same.
  const good = Math.min(records, index);
  if (agreed === undefined) return good === 0 ? "No record of it can be relied on." : `Good up to record ${good - 1}.`;
  return agreed === 0
    ? "Device and log agree on no record, by the checkpoints that are kept."
    : `Device and log agree up to record ${agreed - 1}, by the newest checkpoint that is kept; the server may have written later ones while it refused.`;
}

/** Says that a log does not hold, or that what is beside it does not belong to it. */
function refusalOf(problem: AuditProblem, records: number): CasemateError {
  const { index, segment, message, kind, hint, agreed, remakes } = problem;
  const holds =
    kind === "database"
      ? "database and log do not belong together"
      : remakes === undefined
        ? undefined
        : "a file beside its records was damaged or changed";
  const what =
    holds === undefined
      ? `the audit log does not hold: ${message}`
      : `the audit log holds by itself, but ${holds}: ${message}`;
  const good = `${goodPart(records, given({ index, agreed }))} Compare with a copy or a checkpoint kept elsewhere.`;
  return new CasemateError("TAMPER_DETECTED", what, {
    hint: hint ?? good,
    details: { kind, ...given({ record: index, segment, agreed, remakes }) },
  });
}

/** The 32 bytes of a PEM public key, or of a verifier key line `name+id+key`. */
async function ed25519Key(file: string): Promise<Uint8Array> {
  const text = contentOf(file).toString("utf8");
  if (!text.includes("-----BEGIN")) {
    const { parseNoteKey } = await import("@casemate/keyring/core");
    // The file beside the log has one line for each key that signed it, the newest last.
    return parseNoteKey(text.trim().split("\n").at(-1) ?? "").publicKey;
  }
  const key = createPublicKey(text);
  if (key.asymmetricKeyType !== "ed25519") throw usage(`${file} is no Ed25519 key`);
  return new Uint8Array(key.export({ type: "spki", format: "der" }).subarray(-ED25519_BYTES));
}

/** What a device has witnessed, and what is kept, before a server of this data directory signs what it has. */
async function witnessNow(session: Session): Promise<VerifyAuditOptions["witness"]> {
  if (!existsSync(session.paths.socket)) return undefined;
  try {
    const { keptIn } = await import("@casemate/keyring/core");
    const client = await session.client();
    const { items } = await client.listDevices();
    const kept = await keptIn(session.paths.audit);
    for (const { identity, witness } of items) {
      if (witness.log === undefined) continue;
      const { origin, records, before, rootHash } = witness.log;
      const root = fromHex(rootHash);
      return { device: identity.id, origin, size: records, before, root, ...(kept === undefined ? {} : { kept }) };
    }
  } catch {
    // Not there, or not allowed: what is in the directory can be verified all the same.
  }
  return undefined;
}

/** A running server of this data directory first signs what it has, so that the newest records are covered too. Whether there is one. */
async function signNow(session: Session): Promise<boolean> {
  if (!existsSync(session.paths.socket)) return false;
  try {
    await (await session.client()).createAuditCheckpoint();
    return true;
  } catch {
    // As above.
    return false;
  }
}

/** What a running server of this data directory found beside what the files show, and why it signs no checkpoint. */
async function healthNow(session: Session): Promise<Pick<HealthResult, "alarm" | "warning">> {
  if (!existsSync(session.paths.socket)) return {};
  try {
    const { alarm, warning } = await anonymous(findServer(session)).health();
    return given({ alarm, warning });
  } catch {
    return {};
  }
}

function sentence(found: AuditVerification): string {
  const { records, newestCheckpoint: newest } = found;
  const chain = `chain ok, ${records} record${records === 1 ? "" : "s"}`;
  if (newest === undefined) return `${chain}, no checkpoint yet`;
  const left = records - newest.size;
  const since = left === 0 ? "" : ` (${left} record${left === 1 ? "" : "s"} since)`;
  const witnessed =
    found.witness === undefined ? "" : `, ${found.witness.records} witnessed by ${found.witness.device}`;
  return `${chain}, checkpoint signed by ${newest.signedBy}${since}${witnessed}`;
}

/** What this verification could not know. */
const UNWITNESSED =
  "no device said what it has witnessed, which takes a running server and a device that is a witness. Whether this is an older log, or checkpoints were removed, the files alone cannot show; a checkpoint kept elsewhere can (--checkpoint).";

/** Verifies a whole log by its files alone. @throws TAMPER_DETECTED naming the first bad record. */
export async function verifyLog(session: Session, options: VerifyLogOptions): Promise<void> {
  const { out } = session;
  const directory = options.dir ?? session.paths.audit;
  if (options.dir === undefined && session.options.url !== undefined) {
    throw usage(
      "a log is verified by its files, and those of another machine are not here",
      "Copy its `audit` directory and name the copy with --dir; `casemate audit prove` works from afar.",
    );
  }
  if (!existsSync(directory)) {
    throw new CasemateError("NOT_FOUND", `there is no audit log: ${directory} does not exist`, {
      hint: "Name the data directory of a server with --data DIR, or the audit directory itself with --dir DIR.",
    });
  }
  // Before it signs anew, which makes a lost checkpoint again; the first one ever is only there afterwards.
  let witness: VerifyAuditOptions["witness"];
  let running = false;
  if (options.dir === undefined) {
    witness = await witnessNow(session);
    running = await signNow(session);
    witness ??= await witnessNow(session);
  }
  const { verifyAuditDirectory } = await import("@casemate/keyring/core");
  const { databaseHead } = await import("@casemate/keyring/storage");
  const found = await verifyAuditDirectory(directory, {
    ...(options.checkpoint === undefined ? {} : { checkpoint: contentOf(options.checkpoint).toString("utf8") }),
    ...(options.publicKey === undefined ? {} : { publicKey: await ed25519Key(options.publicKey) }),
    ...(witness === undefined ? {} : { witness }),
    running,
    ...(options.dir === undefined ? { database: () => databaseHead(session.paths.root) } : {}),
    progress: ({ records }) => out.progress(`${records} records …`),
  });
  out.progress("");
  if (found.problem !== undefined) {
    if (out.json) out.answer({ directory, ...found }, () => {});
    throw refusalOf(found.problem, found.records);
  }
  const health = options.dir === undefined ? await healthNow(session) : {};
  const { warning } = health;
  // The same words, whether the server that found it runs or has ended.
  const alarm = health.alarm ?? found.alarm;
  if (alarm !== undefined) process.exitCode = EXIT.refused;
  out.answer({ directory, ...found, ...health, ...given({ alarm }) }, () => {
    out.line({ style: "green", text: sentence(found) });
    if (found.witness === undefined && options.checkpoint === undefined) out.note(UNWITNESSED);
    if (found.tornBytes > 0)
      out.note(`${found.tornBytes} bytes of an unfinished record at the end were never acknowledged.`);
    if (found.headTorn === true)
      out.note(
        "one of the two places of audit/head was being written when the server ended; the next start does it again.",
      );
    if (found.gone.length > 0) {
      const files = found.gone.map((name) => `audit/${name}`).join(", ");
      out.note(`gone, and made again from the records at the next start: ${files}.`);
    }
    if (alarm !== undefined) out.line({ style: "red", text: `Alarm: ${alarm}` });
    if (warning !== undefined) out.line({ style: "yellow", text: `Warning: ${warning}` });
  });
}
