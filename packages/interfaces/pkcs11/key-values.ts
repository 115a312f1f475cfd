// Implements: PKCS #11 v3.0 §4.9 and §4.10, the values of session keys: read where they are, and only of keys that show them.
import type { Caller } from "@casemate/keyring/core";
import { CKA } from "@casemate/protocols/p11-rpc";
import type { ReplyOf } from "@casemate/protocols/session-keys";
import type { Ports } from "./context.ts";
import { isHidden, isSecret, matches, SECRETS, sessionKeyOf, type P11Object } from "./object.ts";
import { sameValue, type Template } from "./values.ts";

const TYPES: Readonly<Record<ReplyOf<"read">[number]["part"], number>> = {
  value: CKA.VALUE,
  d: CKA.PRIVATE_EXPONENT,
  p: CKA.PRIME_1,
  q: CKA.PRIME_2,
  dp: CKA.EXPONENT_1,
  dq: CKA.EXPONENT_2,
  qi: CKA.COEFFICIENT,
};

/** Whether this attribute of a session key has to be asked for where the key is. */
export function isElsewhere(object: P11Object, type: number): boolean {
  return isSecret(object, type) && sessionKeyOf(object.material) !== undefined && !isHidden(object, type);
}

/** The values of a session key that shows them. They are wiped once what was asked for is on its way. */
export async function readValues(
  { sessionKeys }: Ports,
  caller: Caller | undefined,
  object: P11Object,
): Promise<ReadonlyMap<number, Uint8Array>> {
  const key = sessionKeyOf(object.material);
  if (key === undefined) return new Map();
  const parts = await sessionKeys.read(caller, key);
  setImmediate(() => {
    for (const { bytes } of parts) bytes.fill(0);
  });
  return new Map(parts.map(({ part, bytes }) => [TYPES[part], bytes]));
}

/** As `matches`, for a template that asks for values of keys, too. */
export async function matchesValues(
  ports: Ports,
  caller: Caller | undefined,
  object: P11Object,
  template: Template,
): Promise<boolean> {
  const values = [...template].filter(([type]) => SECRETS.has(type));
  const rest = new Map([...template].filter(([type]) => !SECRETS.has(type)));
  if (!values.every(([type]) => isElsewhere(object, type)) || !matches(object, rest)) return false;
  const present = await readValues(ports, caller, object);
  return values.every(([type, wanted]) => {
    const value = present.get(type);
    return value !== undefined && sameValue(value, wanted);
  });
}
