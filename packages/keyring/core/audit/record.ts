import { hash } from "node:crypto";
import { CasemateError } from "@casemate/foundation/errors";
import type { AuditEntry } from "../ports.ts";
import type { AuditRecordView } from "../types.ts";
import { AUDIT_LIMITS } from "./limits.ts";

/** The hash before the first record. */
export const EMPTY_HASH = "0".repeat(64);
/** Characters of a line before its JSON: the record's hash and a space. */
export const HASH_PREFIX = 65;

const LEAF = Buffer.alloc(33);

function cut(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit - 1)}…`;
}

type Details = Readonly<Record<string, string | number | boolean>>;

/** By insertion: the names are few and nearly in order, and this is on the path of every request. */
function sorted(names: string[]): string[] {
  for (let i = 1; i < names.length; i++) {
    const name = names[i]!;
    let at = i;
    for (; at > 0 && names[at - 1]! > name; at--) names[at] = names[at - 1]!;
    names[at] = name;
  }
  return names;
}

/** Sorted, bounded, and free of what JSON cannot say. */
function canonicalDetails(details: Details): Details {
  const names = sorted(Object.keys(details));
  const kept: Record<string, string | number | boolean> = {};
  const count = Math.min(names.length, AUDIT_LIMITS.details);
  for (let i = 0; i < count; i++) {
    const name = names[i]!;
    const value = details[name]!;
    kept[cut(name, AUDIT_LIMITS.detailNameCharacters)] =
      typeof value === "string"
        ? cut(value, AUDIT_LIMITS.detailCharacters)
        : typeof value === "number" && !Number.isFinite(value)
          ? String(value)
          : value;
  }
  return kept;
}

const field = (text: string): string => cut(text, AUDIT_LIMITS.fieldCharacters);

/** A record's canonical JSON after its index: fields in this order, details sorted by name, no spaces. */
export function canonicalTail(entry: AuditEntry, time: string): string {
  const json = JSON.stringify({
    time,
    principal: field(entry.principal),
    source: field(entry.source),
    token: entry.token === undefined ? undefined : field(entry.token),
    requestId: entry.requestId === undefined ? undefined : field(entry.requestId),
    action: field(entry.action),
    resource: field(entry.resource),
    outcome: field(entry.outcome),
    count: entry.count,
    details: entry.details === undefined ? undefined : canonicalDetails(entry.details),
  });
  return json.slice(1);
}

export function canonicalJson(index: number, tail: string): string {
  return `{"index":${index},${tail}`;
}

/** SHA-256 over the previous record's hash (64 hexadecimal digits) and the record's canonical JSON, in hexadecimal. */
export function recordHash(previous: string, json: string): string {
  return hash("sha256", previous + json, "hex");
}

/** RFC 6962 §2.1 leaf hash of a record: its 32-byte hash is the tree's entry. */
export function recordLeaf(recordHashHex: string): Buffer {
  LEAF.write(recordHashHex, 1, "hex");
  return hash("sha256", LEAF, "buffer");
}

interface StoredRecord extends Omit<AuditRecordView, "hash" | "details"> {
  readonly token?: string;
  readonly requestId?: string;
  readonly details?: Details;
}

/** A stored line (without its newline) as a view. @throws TAMPER_DETECTED when it is not a record. */
export function parseLine(line: Buffer): AuditRecordView {
  try {
    const { token, requestId, details, ...fields } = JSON.parse(line.toString("utf8", HASH_PREFIX)) as StoredRecord;
    const more = { ...(token === undefined ? {} : { token }), ...(requestId === undefined ? {} : { requestId }) };
    return { ...fields, details: { ...more, ...details }, hash: line.toString("latin1", 0, HASH_PREFIX - 1) };
  } catch (cause) {
    throw new CasemateError("TAMPER_DETECTED", "a record of the audit log cannot be read", {
      hint: "Run `casemate audit verify`; it names the first bad record.",
      cause,
    });
  }
}
