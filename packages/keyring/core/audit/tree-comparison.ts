import type { AuditFile, AuditFiles } from "./files.ts";
import { storedCount } from "./merkle.ts";
import { TREE_FILE } from "./sidecars.ts";

const NODE = 32;

/** Holds the tree file against the nodes that the records give, in stored order. */
export class TreeComparison {
  readonly #file: AuditFile | undefined;
  #expected: Uint8Array[] = [];
  #compared = 0;
  /** First record whose node in the file is another one. */
  mismatch: number | undefined;

  private constructor(file: AuditFile | undefined) {
    this.#file = file;
  }

  /** A missing file compares with nothing: the server makes it again. */
  static async open(files: AuditFiles): Promise<TreeComparison> {
    const names = await files.list();
    return new TreeComparison(names.includes(TREE_FILE) ? await files.open(TREE_FILE, "read") : undefined);
  }

  expect(node: Uint8Array): void {
    if (this.#file !== undefined && this.mismatch === undefined) this.#expected.push(node);
  }

  /** Compares what was expected since the last call. Nodes that are not saved yet count as equal. */
  async flush(): Promise<void> {
    if (this.#file === undefined || this.#expected.length === 0) return;
    const nodes = this.#expected;
    this.#expected = [];
    const stored = await this.#file.read(this.#compared * NODE, nodes.length * NODE);
    const count = Math.floor(stored.length / NODE);
    for (let i = 0; i < count; i++) {
      if (stored.compare(nodes[i]!, 0, NODE, i * NODE, (i + 1) * NODE) !== 0) {
        this.mismatch = leafOf(this.#compared + i);
        return;
      }
    }
    this.#compared += nodes.length;
  }
}

/** The leaf whose append stored this node. */
function leafOf(stored: number): number {
  let low = 0;
  let high = stored;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (storedCount(middle + 1) > stored) high = middle;
    else low = middle + 1;
  }
  return low;
}
