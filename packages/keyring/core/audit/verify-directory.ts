import { equalBytes, fromBase64, toHex } from "@casemate/foundation/bytes";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { Chain } from "./chain.ts";
import { KEY_ACTION, OWN_SOURCE } from "./checkpointer.ts";
import { closableFiles, directoryFiles, type AuditFiles } from "./files.ts";
import { DatabaseComparison } from "./database-comparison.ts";
import { headProblem, isLawfulHead, readHeadOfLiveLog, type StoredHead } from "./head-file.ts";
import { PendingCheckpoints, type KeptCheckpoint } from "./kept-checkpoints.ts";
import { keyFileProblem, readKeyFile } from "./key-file.ts";
import { EMPTY_ROOT, Frontier } from "./merkle.ts";
import { formatNoteKey, parseCheckpoint, verifyCheckpoint, type NoteKey } from "./note.ts";
import { EMPTY_HASH, parseLine } from "./record.ts";
import { readHeader, readLines, segmentName, segmentsIn } from "./segment.ts";
import { RecordedFindings } from "./recorded-findings.ts";
import { readSavedPoint } from "./saved-point.ts";
import { goneSidecars, sidecarsIn } from "./sidecars.ts";
import { TreeComparison } from "./tree-comparison.ts";
import type { AuditProblem, AuditVerification, VerifyAuditOptions } from "./verification.ts";
import { notContinued, notKept } from "./witnessed.ts";

class Problem extends Error {
  readonly problem: AuditProblem;

  constructor(problem: AuditProblem) {
    super(problem.message);
    this.problem = problem;
  }
}

/** Ed25519. */
const KEY_BYTES = 32;
const BAD_CHECKPOINT_HINT =
  "The records fit each other, the checkpoints beside them are damaged. Put `checkpoint` and `checkpoints` back from a backup with the server stopped, or compare with a checkpoint kept elsewhere (--checkpoint).";
const PIN = Buffer.from(`"action":"${KEY_ACTION}"`);
const SIGNED = Buffer.from('"action":"audit.checkpoint"');

class DirectoryVerifier {
  readonly #files: AuditFiles;
  readonly #options: VerifyAuditOptions;
  readonly #chain = new Chain();
  readonly #frontier = new Frontier();
  readonly #keys: NoteKey[] = [];
  readonly #tree: TreeComparison;
  #log: string | undefined;
  #bytes = 0;
  #segments = 0;
  #checkpoints = 0;
  #goodCheckpoint = 0;
  /** The last record, acknowledged before the checkpoints were read, that says that one was signed on request. */
  #signedAt: number | undefined;
  #newest: AuditVerification["newestCheckpoint"];
  readonly #findings: RecordedFindings;
  readonly #database: DatabaseComparison;
  /** Over as many records as the device has witnessed. */
  #witnessedRoot: Uint8Array = EMPTY_ROOT;
  #tornBytes = 0;
  #headTorn = false;

  constructor(files: AuditFiles, tree: TreeComparison, options: VerifyAuditOptions) {
    this.#files = files;
    this.#tree = tree;
    this.#options = options;
    this.#findings = new RecordedFindings(options.witness);
    this.#database = new DatabaseComparison(options.database ?? (() => undefined));
  }

  async run(): Promise<AuditVerification> {
    const { witness } = this.#options;
    const beside = await sidecarsIn(this.#files);
    let problem: AuditProblem | undefined;
    let alarm: string | undefined;
    try {
      alarm = await this.#verify();
    } catch (error) {
      problem = this.#problemOf(error);
    }
    return {
      ok: problem === undefined,
      records: this.#chain.size,
      head: { size: this.#chain.size, hash: this.#chain.hash },
      rootHash: toHex(this.#frontier.root()),
      segments: this.#segments,
      checkpoints: this.#checkpoints,
      keys: this.#keys.map(formatNoteKey),
      tornBytes: this.#tornBytes,
      gone: goneSidecars(beside, { records: this.#chain.size, signed: this.#keys.length > 0 }),
      ...(this.#newest === undefined ? {} : { newestCheckpoint: this.#newest }),
      ...(witness === undefined ? {} : { witness: { device: witness.device, records: witness.size } }),
      ...(this.#headTorn ? { headTorn: true } : {}),
      ...(alarm === undefined ? {} : { alarm }),
      ...(problem === undefined ? {} : { problem }),
    };
  }

  #problemOf(error: unknown): AuditProblem {
    if (error instanceof Problem) return error.problem;
    if (isCasemateError(error) && error.code === "TAMPER_DETECTED") {
      return { kind: "format", index: this.#chain.size, message: error.message };
    }
    throw error;
  }

  /** Answers with what is wrong beside the records. */
  async #verify(): Promise<string | undefined> {
    // First the claims, then the records: a server that goes on writing only ever adds to what was claimed.
    const stored = await readHeadOfLiveLog(this.#files);
    const saved = await readSavedPoint(this.#files);
    const beside = await readKeyFile(this.#files);
    const pending = await PendingCheckpoints.open(this.#files, this.#options.checkpoint);
    const firsts = segmentsIn(await this.#files.list());
    if (firsts.length === 0 && stored === undefined) {
      throw new CasemateError("NOT_FOUND", "there is no audit log in this directory", {
        hint: "Give the `audit` directory inside the data directory.",
      });
    }
    for (const first of firsts) await this.#segment(first, first === firsts.at(-1), stored, pending);
    await this.#tree.flush();
    this.#requireHead(stored);
    await this.#requireNoLaterCheckpoint(pending);
    if (this.#tree.mismatch !== undefined) {
      const index = this.#tree.mismatch;
      const message = `the tree file does not fit record ${index}: the file or, before the first checkpoint after it, the records were changed`;
      throw new Problem({ kind: "tree", index, message });
    }
    if (pending.bad !== undefined)
      throw new Problem({ kind: "checkpoint", message: pending.bad.message, hint: BAD_CHECKPOINT_HINT });
    this.#requireCheckpoint();
    const removed = await this.#requireWitnessed();
    const apart = this.#database.problem(this.#chain.size);
    if (apart !== undefined) throw new Problem(apart);
    const unfit = this.#headBeside(stored, saved?.size) ?? keyFileProblem(beside, this.#keys);
    if (unfit !== undefined) throw new Problem(unfit);
    return this.#findings.open ?? removed;
  }

  async #segment(
    first: number,
    last: boolean,
    stored: StoredHead | undefined,
    pending: PendingCheckpoints,
  ): Promise<void> {
    const segment = segmentName(first);
    const chain = this.#chain;
    if (first > chain.size) {
      const message = `records ${chain.size} to ${first - 1} are missing`;
      throw new Problem({ kind: "missing-segment", index: chain.size, segment, message });
    }
    const file = await this.#files.open(segment, "read");
    try {
      const found = await readHeader(file);
      if (found === undefined) {
        if (last && chain.size >= (stored?.head?.size ?? 0) && !(await file.read(0, 256)).includes(0x0a)) {
          this.#tornBytes += await file.size();
          return;
        }
        throw new Problem({
          kind: "segment",
          index: first,
          segment,
          message: `segment ${segment} has no valid header`,
        });
      }
      const { header } = found;
      this.#log ??= header.log;
      if (
        header.first !== first ||
        first !== chain.size ||
        header.log !== this.#log ||
        header.previous !== chain.hash
      ) {
        const message = `segment ${segment} does not continue the one before`;
        throw new Problem({ kind: "segment", index: first, segment, message });
      }
      this.#segments++;
      // A server that goes on writing faster than this reads would keep it at work for ever.
      const until = last && this.#options.running === true ? await file.size() : Infinity;
      const lines = readLines(file, found.bytes, until);
      for (let step = await lines.next(); ; step = await lines.next()) {
        if (step.done === true) {
          if (step.value.rest.length > 0) this.#torn(step.value.rest.length, last, segment);
          return;
        }
        if (
          !(await this.#lines(step.value.buffer, segment, last ? (stored?.head?.size ?? 0) : Infinity, stored, pending))
        )
          return;
      }
    } finally {
      await file.close();
    }
  }

  #torn(bytes: number, last: boolean, segment: string): void {
    const index = this.#chain.size;
    if (!last) throw new Problem({ kind: "truncated", index, segment, message: `record ${index} is cut off` });
    this.#tornBytes += bytes;
  }

  /** Verifies whole lines; false when a hole left by a power cut ends the log. */
  async #lines(
    buffer: Buffer,
    segment: string,
    acknowledged: number,
    stored: StoredHead | undefined,
    pending: PendingCheckpoints,
  ): Promise<boolean> {
    const chain = this.#chain;
    for (let start = 0; start < buffer.length;) {
      const end = buffer.indexOf(0x0a, start);
      if (chain.size >= acknowledged && buffer.subarray(start, end).includes(0)) {
        this.#tornBytes += buffer.length - start;
        return false;
      }
      const pins = buffer.subarray(start, end).includes(PIN);
      const signs = buffer.subarray(start, end).includes(SIGNED);
      const bad = chain.accept(buffer, start, end);
      if (bad !== undefined) throw new Problem({ ...bad, segment });
      if (pins) this.#pin(buffer.subarray(start, end));
      this.#findings.accept(buffer.subarray(start, end));
      this.#database.accept(buffer.subarray(start, end), chain);
      if (signs && chain.size <= (stored?.head?.size ?? 0)) this.#signed(buffer.subarray(start, end));
      this.#frontier.append(chain.leaf(), (node) => this.#tree.expect(node));
      if (chain.size === this.#options.witness?.size) this.#witnessedRoot = this.#frontier.root();
      if (chain.size === stored?.head?.size && chain.hash !== stored.head.hash) {
        const index = chain.size - 1;
        const message = `record ${index} is not the one that was acknowledged`;
        throw new Problem({ kind: "hash", index, segment, message });
      }
      while (pending.next?.size === chain.size) {
        await this.#checkpoint(pending.next);
        await pending.advance();
      }
      start = end + 1;
    }
    this.#bytes += buffer.length;
    await this.#tree.flush();
    this.#options.progress?.({ records: chain.size, bytes: this.#bytes });
    return true;
  }

  #pin(line: Buffer): void {
    const { action, source, details, index } = parseLine(line);
    const { name, publicKey } = details;
    // Records of requests may quote the action in any of their fields, but never come from this source.
    if (action !== KEY_ACTION || source !== OWN_SOURCE) return;
    const key = { name: String(name), publicKey: bytesOf(publicKey) };
    if (key.publicKey.length !== KEY_BYTES) {
      throw new Problem({ kind: "key", index, message: `record ${index} pins something that is not a key` });
    }
    this.#keys.push(key);
  }

  async #checkpoint(kept: KeptCheckpoint): Promise<void> {
    const { body, signatures } = parseCheckpoint(kept.note);
    const size = body.size;
    if (body.origin !== `casemate-audit/${this.#log}`) {
      throw new Problem({ kind: "checkpoint", message: `the checkpoint of size ${size} belongs to another log` });
    }
    if (!equalBytes(this.#frontier.root(), body.root)) {
      await this.#tree.flush();
      const index = this.#tree.mismatch ?? this.#goodCheckpoint;
      const exact =
        this.#tree.mismatch === undefined ? `among records ${index} to ${size - 1}, one or more` : `record ${index}`;
      const message = `the checkpoint of size ${size} signed other records: ${exact} changed`;
      throw new Problem({ kind: "checkpoint", index, message });
    }
    const { publicKey } = this.#options;
    const given = publicKey === undefined ? [] : signatures.map(({ name }) => ({ name, publicKey }));
    const mustBeGiven = publicKey !== undefined && kept.origin !== "history";
    try {
      const { signedBy } = verifyCheckpoint(kept.note, mustBeGiven ? given : [...this.#keys, ...given]);
      this.#newest = { size, rootHash: toHex(body.root), signedBy: signedBy.join(", ") };
    } catch (error) {
      const why = error instanceof Error ? error.message : "";
      throw new Problem({ kind: "signature", message: `checkpoint of size ${size}: ${why}` });
    }
    this.#checkpoints++;
    this.#goodCheckpoint = size;
  }

  #signed(line: Buffer): void {
    const { action, outcome, index } = parseLine(line);
    if (action === "audit.checkpoint" && outcome === "ok") this.#signedAt = index;
  }

  /** A checkpoint that was signed is kept before its record is written: where one was, there is one. */
  #requireCheckpoint(): void {
    if (this.#signedAt === undefined || this.#newest !== undefined) return;
    const message = `record ${this.#signedAt} says that a checkpoint was signed, and none is kept: checkpoints were removed`;
    throw new Problem({ kind: "checkpoint", message });
  }

  /** Answers with which checkpoints are gone. */
  async #requireWitnessed(): Promise<string | undefined> {
    const { witness } = this.#options;
    if (witness === undefined) return undefined;
    const { size } = this.#chain;
    const newest = this.#newest?.size ?? 0;
    const log = { origin: `casemate-audit/${this.#log}`, size, rootAt: () => this.#witnessedRoot };
    const older = await notContinued(log, witness);
    if (older === undefined) return notKept(witness.kept ?? { newest, history: newest }, witness);
    // What a refusing server wrote since is in none but this log.
    const message = this.#findings.before(witness, newest) ?? older;
    throw new Problem({ kind: "witness", message, agreed: newest });
  }

  #requireHead(stored: StoredHead | undefined): void {
    const index = this.#chain.size;
    const head = stored?.head;
    if (head !== undefined && head.size > index) {
      const message = `record ${index} and those after it are missing: ${head.size} were written`;
      throw new Problem({ kind: "truncated", index, message });
    }
    if (head === undefined) {
      throw new Problem({ kind: "head", message: `the head file is ${stored === undefined ? "missing" : "damaged"}` });
    }
    if (head.size === 0 && head.hash !== EMPTY_HASH)
      throw new Problem({ kind: "head", message: "the head file is wrong" });
  }

  async #requireNoLaterCheckpoint(pending: PendingCheckpoints): Promise<void> {
    while (pending.next !== undefined) {
      const { size } = pending.next;
      const index = this.#chain.size;
      if (size > index) {
        const message = `record ${index} and those after it are missing: a checkpoint signed ${size}`;
        throw new Problem({ kind: "truncated", index, message });
      }
      // Only the empty tree is left: it is signed before there is a record to pin a key, so only its root counts.
      if (size !== 0)
        throw new Problem({ kind: "checkpoint", message: `the checkpoint of size ${size} is out of order` });
      await pending.advance();
    }
  }

  /** One slot of the head that does not read, where the other does. */
  #headBeside(stored: StoredHead | undefined, saved: number | undefined): AuditProblem | undefined {
    if (stored === undefined || stored.damaged === 0) return undefined;
    if (this.#options.running === true || !isLawfulHead(stored, saved, this.#chain.size)) return headProblem();
    this.#headTorn = true;
    return undefined;
  }
}

function bytesOf(value: unknown): Uint8Array {
  try {
    return fromBase64(String(value));
  } catch {
    return new Uint8Array();
  }
}

/**
 * Verifies a whole audit log without its server: chain, order, segments, head, tree, checkpoints and their signatures.
 * Reads each record once and holds about 2 MiB. A server may go on writing meanwhile.
 * @throws NOT_FOUND when there is no log in the directory; what is wrong with one is told in `problem`.
 */
export async function verifyAuditDirectory(
  directory: string,
  options: VerifyAuditOptions = {},
): Promise<AuditVerification> {
  return verifyAuditFiles(await directoryFiles(directory, { create: false }), options);
}

/** The same over a port. */
export async function verifyAuditFiles(
  files: AuditFiles,
  options: VerifyAuditOptions = {},
): Promise<AuditVerification> {
  const open = closableFiles(files);
  try {
    return await new DirectoryVerifier(open, await TreeComparison.open(open), options).run();
  } finally {
    await open.closeAll();
  }
}
