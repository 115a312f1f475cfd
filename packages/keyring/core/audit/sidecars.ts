import type { AuditFiles } from "./files.ts";

/** The newest checkpoint, as a note: no file of these, since only the device can make it again. */
export const CHECKPOINT_FILE = "checkpoint";
/** The Merkle tree's nodes. */
export const TREE_FILE = "tree";
/** Where the next start begins to verify. */
export const SAVED_FILE = "saved";
/** Verifier keys that sign or signed here, one a line, newest last. */
export const KEYS_FILE = "checkpoint-key";

/** What of the files that are made from the records was there, at one moment. */
export interface Sidecars {
  readonly names: ReadonlySet<string>;
  readonly treeBytes: number;
}

export async function sidecarsIn(files: AuditFiles): Promise<Sidecars> {
  const names = new Set(await files.list());
  if (!names.has(TREE_FILE)) return { names, treeBytes: 0 };
  const tree = await files.open(TREE_FILE, "read");
  try {
    return { names, treeBytes: await tree.size() };
  } finally {
    await tree.close();
  }
}

/**
 * Which of them are gone though there were records, or a key that signed. They hide nothing, since the records hold what was in them, but
 * nobody has a reason to take them away. A process that was killed before its first save has left no saved point, and an empty tree.
 */
export function goneSidecars(
  { names, treeBytes }: Sidecars,
  log: { readonly records: number; readonly signed: boolean },
): string[] {
  const expected: readonly (readonly [string, boolean])[] = [
    [TREE_FILE, log.records > 0],
    [SAVED_FILE, log.records > 0 && treeBytes > 0],
    [KEYS_FILE, log.signed],
  ];
  return expected.filter(([name, is]) => is && !names.has(name)).map(([name]) => name);
}
