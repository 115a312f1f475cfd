import { CasemateError } from "@casemate/foundation/errors";
import type { Store } from "@casemate/keyring/core";

export interface FragileStore extends Store {
  /**
   * The n-th commit from now (1 is the next) fails. `refused`: as on a full disk; `unheard`: it
   * happened, but the answer was lost; after both, later ones succeed. Else the
   * power goes off: before it is durable, or after, before anybody hears.
   */
  failAt(commit: number, when: "refused" | "unheard" | "before" | "after"): void;
  /** Commits so far. */
  readonly commits: number;
}

/** From the failure on nothing more reaches the store, as after a crash; closing lets go of the directory. */
export function fragileStore(inner: Store): FragileStore {
  let commits = 0;
  let fatal: { readonly commit: number; readonly when: "refused" | "unheard" | "before" | "after" } | undefined;
  let dead = false;
  const alive = (): void => {
    if (dead) throw new CasemateError("STORAGE_FAILED", "the power is off");
  };
  return {
    get state() {
      return inner.state;
    },
    get commits() {
      return commits;
    },
    failAt(commit, when) {
      fatal = { commit: commits + commit, when };
    },
    useKey: (key) => inner.useKey(key),
    dropKey: (...args) => inner.dropKey(...args),
    head: () => inner.head(),
    async get(...args) {
      alive();
      return inner.get(...args);
    },
    async find(...args) {
      alive();
      return inner.find(...args);
    },
    async count(...args) {
      alive();
      return inner.count(...args);
    },
    async countBy(...args) {
      alive();
      return inner.countBy(...args);
    },
    async commit(...args) {
      alive();
      commits += 1;
      if (commits !== fatal?.commit) return inner.commit(...args);
      if (fatal.when === "refused") throw new CasemateError("STORAGE_FULL", "the disk is full");
      if (fatal.when === "unheard") {
        await inner.commit(...args);
        throw new CasemateError("STORAGE_FAILED", "the connection was lost");
      }
      if (fatal.when === "after") await inner.commit(...args);
      dead = true;
      throw new CasemateError("STORAGE_FAILED", "the power went off");
    },
    check: () => inner.check(),
    close: () => inner.close(),
  };
}
