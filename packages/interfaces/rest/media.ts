// RFC 9110 §12.5.1: Accept, as far as this interface offers a choice.

/** The first of the listed types that is on offer; undefined leaves the choice to us. Quality values are not weighed. */
export function preferred<T extends string>(accept: string, offered: readonly T[]): T | undefined {
  if (accept === "" || accept === "*/*") return undefined;
  for (const part of accept.split(",", 16)) {
    const type = part.split(";", 1)[0]?.trim().toLowerCase();
    if (type === "application/json") return undefined;
    const found = offered.find((name) => name === type);
    if (found !== undefined) return found;
  }
  return undefined;
}
