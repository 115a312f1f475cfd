import { fromUtf8, toUtf8 } from "@casemate/foundation/bytes";
import type { AuditFiles } from "./files.ts";
import { formatNoteKey, parseNoteKey, type NoteKey } from "./note.ts";
import { KEYS_FILE } from "./sidecars.ts";
import type { AuditProblem } from "./verification.ts";

/** The file of verifier keys, as it is. */
export interface KeyFile {
  /** One key each, newest last; none where one of them is no key. */
  readonly lines: readonly string[];
  readonly readable: boolean;
}

/** Undefined where there is none. */
export async function readKeyFile(files: Pick<AuditFiles, "load">): Promise<KeyFile | undefined> {
  const bytes = await files.load(KEYS_FILE);
  if (bytes === undefined) return undefined;
  try {
    const lines = fromUtf8(bytes)
      .split("\n")
      .filter((line) => line !== "");
    for (const line of lines) parseNoteKey(line);
    return { lines, readable: lines.length > 0 };
  } catch {
    return { lines: [], readable: false };
  }
}

export async function writeKeyFile(files: AuditFiles, lines: readonly string[]): Promise<void> {
  await (lines.length === 0 ? files.remove(KEYS_FILE) : files.replace(KEYS_FILE, toUtf8(`${lines.join("\n")}\n`)));
}

/** Why a file does not fit the keys that records pin; undefined where it does, or is gone. */
export function keyFileProblem(file: KeyFile | undefined, pinned: readonly NoteKey[]): AuditProblem | undefined {
  if (file === undefined) return undefined;
  const known = new Set(pinned.map(formatNoteKey));
  const stranger = file.lines.find((line) => !known.has(line));
  if (file.readable && stranger === undefined) return undefined;
  const what =
    stranger === undefined
      ? "holds something else than keys"
      : `names a key of ${parseNoteKey(stranger).name} that no record pins`;
  return {
    kind: "key",
    remakes: KEYS_FILE,
    message: `the file audit/${KEYS_FILE} ${what}`,
    hint: "The records hold, and they pin the keys that sign: the next start makes the file again from them. A copy of it that was taken meanwhile is not to be trusted.",
  };
}
