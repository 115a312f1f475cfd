/** Reading attributes one way from modules that answer another. */
import { CKA, CKR } from "@casemate/protocols/p11-rpc";
import { hasRv } from "../status.ts";
import type { Cryptoki, Handle } from "./addon.ts";

export type Attributes = ReadonlyMap<number, Buffer>;

/** CK_ULONG is eight bytes in this machine's order on every platform that Casemate runs on; four on 32-bit ones. */
export function ulong(value: Buffer | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (value.length === 8) return Number(value.readBigUInt64LE());
  return value.length === 4 ? value.readUInt32LE() : undefined;
}

export function flag(value: Buffer | undefined): boolean | undefined {
  return value === undefined || value.length === 0 ? undefined : value[0] !== 0;
}

/** The attributes that the object has and shows. A module refuses a whole question for one that it does not know. */
export function readAttributes(
  cryptoki: Cryptoki,
  session: Handle,
  object: Handle,
  types: readonly number[],
): Attributes {
  const ask = (some: readonly number[]): [number, Buffer][] => {
    try {
      const found = cryptoki.C_GetAttributeValue(
        session,
        object,
        some.map((type) => ({ type })),
      );
      return found.map(({ type, value }) => [type, value]);
    } catch (error) {
      if (!hasRv(error, CKR.ATTRIBUTE_TYPE_INVALID, CKR.ATTRIBUTE_SENSITIVE, CKR.ATTRIBUTE_VALUE_INVALID)) throw error;
      return some.length === 1 ? [] : some.flatMap((type) => ask([type]));
    }
  };
  return new Map(ask(types));
}

const FIND_AT_ONCE = 128;

/** At most `limit` handles of the objects that match, each once: a module may name one twice. */
export function findObjects(
  cryptoki: Cryptoki,
  session: Handle,
  template: Readonly<Partial<Record<keyof typeof CKA, Buffer | number | boolean>>>,
  limit: number,
): Handle[] {
  const attributes = Object.entries(template).map(([name, value]) => ({ type: CKA[name as keyof typeof CKA], value }));
  cryptoki.C_FindObjectsInit(session, attributes);
  const found = new Map<string, Handle>();
  try {
    while (found.size < limit) {
      const some = cryptoki.C_FindObjects(session, Math.min(FIND_AT_ONCE, limit - found.size));
      if (some.length === 0) break;
      const before = found.size;
      for (const handle of some) found.set(handle.toString("latin1"), handle);
      // A module that names the same ones for ever has named them all.
      if (found.size === before) break;
    }
  } finally {
    cryptoki.C_FindObjectsFinal(session);
  }
  return [...found.values()];
}
