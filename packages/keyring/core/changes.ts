/** `name` is a key's name, an object's id or that of a token that was revoked; `all` after an unlocking or a new policy: everybody may see other things now. */
export type KeyringChange =
  | { readonly what: "key"; readonly name: string }
  | { readonly what: "object"; readonly name: string }
  | { readonly what: "token"; readonly name: string }
  | { readonly what: "all" };

/** Tells who asked of every change, once it is durable and before it is answered. Listeners must not throw. */
export class Changes {
  readonly #listeners = new Set<(change: KeyringChange) => void>();

  /** Returns what ends the subscription. */
  subscribe(listener: (change: KeyringChange) => void): () => void {
    // A listener of its own for each call: the same function may subscribe twice.
    const own = (change: KeyringChange): void => listener(change);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  tell(change: KeyringChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}
