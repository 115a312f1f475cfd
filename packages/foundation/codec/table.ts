/** A read-only table whose keys may come from outside: no prototype, so `constructor` finds nothing. */
export function table<T>(rows: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.freeze(Object.assign(Object.create(null) as Record<string, T>, rows));
}

/** The row of an untrusted key, if there is one. */
export function lookup<T>(rows: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(rows, key) ? rows[key] : undefined;
}
