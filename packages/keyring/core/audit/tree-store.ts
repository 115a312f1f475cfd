import { CasemateError } from "@casemate/foundation/errors";
import { equalBytes } from "@casemate/foundation/bytes";
import type { AuditFile, AuditFiles } from "./files.ts";
import { TREE_FILE } from "./sidecars.ts";
import { Frontier, peaksOf, storedCount, storedIndex, subtreeRoot } from "./merkle.ts";

const NODE = 32;

/**
 * The Merkle tree's nodes: a file in stored order, and what is not yet saved in memory. All of it can be made again from
 * the records, so nothing here is on the path of a commit.
 */
export class TreeStore {
  readonly #file: AuditFile;
  #frontier = new Frontier();
  /** Nodes in the file; those after them are in `#tail`. */
  #saved = 0;
  #tail = Buffer.alloc(4096 * NODE);
  #used = 0;

  private constructor(file: AuditFile) {
    this.#file = file;
  }

  /** Takes up the file at `size` leaves if its root there is `root`; undefined when it is not, and the tree must be rebuilt. */
  static async open(files: AuditFiles, size: number, root: Uint8Array): Promise<TreeStore | undefined> {
    const store = new TreeStore(await files.open(TREE_FILE, "update"));
    if ((await store.#file.size()) >= storedCount(size) * NODE) {
      store.#saved = storedCount(size);
      const peaks: Uint8Array[] = [];
      for (const { level, index } of peaksOf(size)) peaks[level] = await store.node(level, index);
      store.#frontier = Frontier.from(size, peaks);
      if (equalBytes(store.#frontier.root(), root)) {
        // Nodes beyond belong to records that may not have survived.
        await store.#file.truncate(store.#saved * NODE);
        return store;
      }
    }
    await store.close();
    return undefined;
  }

  static async empty(files: AuditFiles): Promise<TreeStore> {
    const file = await files.open(TREE_FILE, "update");
    await file.truncate(0);
    return new TreeStore(file);
  }

  get size(): number {
    return this.#frontier.size;
  }

  root(): Uint8Array {
    return this.#frontier.root();
  }

  /** Nodes waiting to be saved. */
  get unsaved(): number {
    return this.#used;
  }

  append(leaf: Uint8Array): void {
    this.#frontier.append(leaf, (node) => {
      if ((this.#used + 1) * NODE > this.#tail.length) {
        const larger = Buffer.alloc(this.#tail.length * 2);
        this.#tail.copy(larger, 0, 0, this.#used * NODE);
        this.#tail = larger;
      }
      this.#tail.set(node, this.#used * NODE);
      this.#used++;
    });
  }

  /** A state to return to when the records of a batch did not become durable. */
  mark(): Frontier {
    return this.#frontier.copy();
  }

  rollback(mark: Frontier): void {
    this.#frontier = mark;
    this.#used = storedCount(mark.size) - this.#saved;
  }

  /** Hash of a finished subtree. */
  async node(level: number, index: number): Promise<Uint8Array> {
    const stored = storedIndex(level, index);
    if (stored >= this.#saved) {
      const at = (stored - this.#saved) * NODE;
      return Uint8Array.from(this.#tail.subarray(at, at + NODE));
    }
    const node = await this.#file.read(stored * NODE, NODE);
    if (node.length === NODE) return node;
    throw new CasemateError("TAMPER_DETECTED", "audit log: the tree file is shorter than its records", {
      hint: "Restart the server: it builds the tree again from the records.",
    });
  }

  /** Root of the tree as it was at `size`. */
  rootAt(size: number): Promise<Uint8Array> {
    return subtreeRoot((level, index) => this.node(level, index), 0, size);
  }

  /** Moves the nodes of the first `size` leaves to the file and makes them durable. */
  async save(size: number): Promise<void> {
    const nodes = storedCount(size) - this.#saved;
    await this.#file.write(this.#tail.subarray(0, nodes * NODE), this.#saved * NODE);
    await this.#file.sync();
    this.#tail.copyWithin(0, nodes * NODE, this.#used * NODE);
    this.#saved += nodes;
    this.#used -= nodes;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
