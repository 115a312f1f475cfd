// Implements: PKCS #11 v3.0 §4.4 and §5.4, the object handles of one application, and which of them may no longer say what holds.
import type { KeyringChange } from "@casemate/keyring/core";
import { groupOf, type P11Object } from "./object.ts";

export interface Held {
  readonly handle: number;
  readonly slot: number;
  object: P11Object;
}

const keyOf = (slot: number, uid: string): string => `${slot}/${uid}`;

export class Handles {
  readonly #held = new Map<number, Held>();
  readonly #byObject = new Map<string, Held>();
  /** Handles of the halves and versions of a key, or of a kept object, by what a change of it is called. */
  readonly #groups = new Map<string, Set<Held>>();
  readonly #stale = new Set<Held>();
  #next = 1;

  get(handle: number): Held | undefined {
    return this.#held.get(handle);
  }

  /** The handle of this object in the slot; what is held of it from now on is `object`. */
  handleOf(slot: number, object: P11Object): number {
    const known = this.#byObject.get(keyOf(slot, object.uid));
    if (known !== undefined) {
      known.object = object;
      this.#stale.delete(known);
      return known.handle;
    }
    const held: Held = { handle: this.#next++, slot, object };
    this.#held.set(held.handle, held);
    this.#byObject.set(keyOf(slot, object.uid), held);
    const group = groupOf(object);
    if (group !== undefined) {
      const others = this.#groups.get(group);
      if (others === undefined) this.#groups.set(group, new Set([held]));
      else others.add(held);
    }
    return held.handle;
  }

  forget(slot: number, uid: string): void {
    const held = this.#byObject.get(keyOf(slot, uid));
    if (held === undefined) return;
    this.#held.delete(held.handle);
    this.#byObject.delete(keyOf(slot, uid));
    this.#stale.delete(held);
    const group = groupOf(held.object) ?? "";
    const others = this.#groups.get(group);
    others?.delete(held);
    if (others?.size === 0) this.#groups.delete(group);
  }

  all(): Iterable<Held> {
    return this.#held.values();
  }

  clear(): void {
    this.#held.clear();
    this.#byObject.clear();
    this.#groups.clear();
    this.#stale.clear();
  }

  /** Something was changed, by whomever: what is held of it is to be looked up before it is used again. */
  changed(change: Exclude<KeyringChange, { what: "token" }>): void {
    const touched =
      change.what === "all" ? [...this.#groups.values()] : [this.#groups.get(`${change.what}/${change.name}`) ?? []];
    for (const group of touched) for (const held of group) this.#stale.add(held);
  }

  get anyStale(): boolean {
    return this.#stale.size > 0;
  }

  isStale(held: Held): boolean {
    return this.#stale.has(held);
  }

  /** What is to be looked up; it counts as done. */
  takeStale(): readonly Held[] {
    const taken = [...this.#stale];
    this.#stale.clear();
    return taken;
  }

  /** It could not be looked up: the next call tries again. */
  putBack(taken: readonly Held[]): void {
    for (const held of taken) if (this.#held.get(held.handle) === held) this.#stale.add(held);
  }
}
