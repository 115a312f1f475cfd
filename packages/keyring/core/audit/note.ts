/** Implements: C2SP signed-note (Ed25519, signature type 0x01) and tlog-checkpoint. */
import { createPublicKey, hash, verify } from "node:crypto";
import { concat, equalBytes, fromBase64, toBase64, toHex, toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import { AUDIT_LIMITS } from "./limits.ts";

const ED25519 = 0x01;
/** SubjectPublicKeyInfo of Ed25519 up to the key (RFC 8410 §4). */
const SPKI_ED25519 = Uint8Array.fromHex("302a300506032b6570032100");
const KEY_NAME = /^[^\s+\p{Z}\p{Cc}]{1,255}$/u;
const SIGNATURES = 16;

/** A key that signs notes: 32 bytes of Ed25519 public key under a name. */
export interface NoteKey {
  readonly name: string;
  readonly publicKey: Uint8Array;
}

export interface CheckpointBody {
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
}

function invalid(what: string): CasemateError {
  return new CasemateError("DECODE_INVALID", `checkpoint: ${what}`, {
    hint: "Give the note as it was kept, with its last line break.",
  });
}

/** First four bytes of SHA-256(name, newline, type, public key). */
export function noteKeyId({ name, publicKey }: NoteKey): Uint8Array {
  const input = concat(toUtf8(`${name}\n`), Uint8Array.of(ED25519), publicKey);
  return hash("sha256", input, "buffer").subarray(0, 4);
}

/** The verifier key as one line: name, key id and key, joined by plus signs. */
export function formatNoteKey(key: NoteKey): string {
  const encoded = toBase64(concat(Uint8Array.of(ED25519), key.publicKey));
  return `${key.name}+${toHex(noteKeyId(key))}+${encoded}`;
}

/** @throws DECODE_INVALID */
export function parseNoteKey(line: string): NoteKey {
  const match = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(line);
  if (match === null) throw invalid("a verifier key is name+id+key");
  const [, name = "", id = "", encoded = ""] = match;
  const bytes = decodeBase64(encoded);
  if (bytes.length !== 33 || bytes[0] !== ED25519) throw invalid("the verifier key is not Ed25519");
  const key = { name, publicKey: bytes.subarray(1) };
  if (toHex(noteKeyId(key)) !== id) throw invalid("the verifier key's id does not fit its name and key");
  return key;
}

function decodeBase64(text: string): Uint8Array {
  try {
    return fromBase64(text);
  } catch (cause) {
    throw new CasemateError("DECODE_INVALID", "checkpoint: not base64", { cause });
  }
}

/** The text that is signed. */
export function checkpointText({ origin, size, root }: CheckpointBody): string {
  return `${origin}\n${size}\n${toBase64(root)}\n`;
}

/** The whole note. @throws DECODE_INVALID for a name that cannot stand in a signature line, or a signature that is not 64 bytes. */
export function sealNote(text: string, key: NoteKey, signature: Uint8Array): string {
  if (!KEY_NAME.test(key.name)) throw invalid("a key name has no spaces and no plus");
  if (signature.length !== 64) throw invalid("an Ed25519 signature has 64 bytes");
  return `${text}\n— ${key.name} ${toBase64(concat(noteKeyId(key), signature))}\n`;
}

export interface ParsedNote {
  readonly text: string;
  readonly signatures: readonly { readonly name: string; readonly keyId: Uint8Array; readonly signature: Uint8Array }[];
}

/** @throws DECODE_INVALID, TOO_LARGE */
export function parseNote(note: string): ParsedNote {
  if (note.length > AUDIT_LIMITS.noteBytes) {
    throw new CasemateError("TOO_LARGE", `checkpoint: more than ${AUDIT_LIMITS.noteBytes} characters`);
  }
  // eslint-disable-next-line no-control-regex -- the format forbids exactly these
  if (/[\u0000-\u0009\u000b-\u001f]/.test(note)) throw invalid("control characters are not allowed");
  const split = note.lastIndexOf("\n\n");
  if (split === -1 || !note.endsWith("\n")) throw invalid("an empty line must part text and signatures");
  const text = note.slice(0, split + 1);
  const lines = note.slice(split + 2, -1).split("\n");
  if (lines.length > SIGNATURES) throw invalid(`more than ${SIGNATURES} signatures`);
  const signatures = lines.map((line) => {
    const match = /^— (\S+) ([A-Za-z0-9+/=]+)$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined || !KEY_NAME.test(match[1])) {
      throw invalid("a signature line is malformed");
    }
    const bytes = decodeBase64(match[2]);
    if (bytes.length < 5) throw invalid("a signature is too short");
    return { name: match[1], keyId: bytes.subarray(0, 4), signature: bytes.subarray(4) };
  });
  return { text, signatures };
}

/** @throws DECODE_INVALID, TOO_LARGE */
export function parseCheckpoint(note: string): ParsedNote & { readonly body: CheckpointBody } {
  const parsed = parseNote(note);
  return { ...parsed, body: parseBody(parsed.text) };
}

function parseBody(text: string): CheckpointBody {
  const [origin = "", size = "", root = "", ...extensions] = text.slice(0, -1).split("\n");
  if (origin === "" || extensions.includes("")) throw invalid("empty lines are not allowed");
  if (!/^(0|[1-9]\d{0,15})$/.test(size) || !Number.isSafeInteger(Number(size)))
    throw invalid("the size is not a number");
  const bytes = decodeBase64(root);
  if (bytes.length !== 32 || toBase64(bytes) !== root) throw invalid("the root hash is not 32 bytes of base64");
  return { origin, size: Number(size), root: bytes };
}

function ed25519Verify(key: NoteKey, text: string, signature: Uint8Array): boolean {
  if (signature.length !== 64) return false;
  const der = Buffer.from(concat(SPKI_ED25519, key.publicKey));
  return verify(null, toUtf8(text), createPublicKey({ key: der, format: "der", type: "spki" }), signature);
}

export interface VerifiedCheckpoint extends CheckpointBody {
  /** Names of the known keys that signed. */
  readonly signedBy: readonly string[];
}

/**
 * Checks a note's signatures against known keys and names those that signed; signatures of unknown keys are ignored,
 * as the format demands.
 * @throws DECODE_INVALID (malformed), TAMPER_DETECTED (a known key's signature is wrong, or none is there).
 */
export function verifyNote(note: string, keys: readonly NoteKey[]): readonly string[] {
  const { text, signatures } = parseNote(note);
  const signedBy: string[] = [];
  for (const { name, keyId, signature } of signatures) {
    const key = keys.find((known) => known.name === name && equalBytes(noteKeyId(known), keyId));
    if (key === undefined) continue;
    if (!ed25519Verify(key, text, signature)) {
      throw new CasemateError("TAMPER_DETECTED", `the signature of ${name} on the checkpoint is wrong`, {
        hint: "The checkpoint was changed; compare with a copy kept elsewhere.",
      });
    }
    signedBy.push(name);
  }
  if (signedBy.length === 0) {
    throw new CasemateError("TAMPER_DETECTED", "the checkpoint is not signed by a known key", {
      hint: "Give the public key of the device that signed it.",
    });
  }
  return signedBy;
}

/** Checks a checkpoint as `verifyNote` does, and reads it. @throws DECODE_INVALID, TAMPER_DETECTED */
export function verifyCheckpoint(note: string, keys: readonly NoteKey[]): VerifiedCheckpoint {
  const { body } = parseCheckpoint(note);
  return { ...body, signedBy: verifyNote(note, keys) };
}
