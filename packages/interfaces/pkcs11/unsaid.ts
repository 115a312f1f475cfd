// Implements: PKCS #11 v3.0 §4.8 to §4.10, what session keys may do where their templates are silent: the token's own choice there.
import { CKA, CKO } from "@casemate/protocols/p11-rpc";
import type { Template } from "./values.ts";

/**
 * What a session key may do when its template says nothing of it; the standard leaves that to the token (Table 10, footnote 8).
 * A template that says nothing about use at all gets what programs expect. One that names some uses gets those,
 * the way back of each, and of a public key what everybody may do who knows it.
 */
interface Usual {
  readonly silent: readonly number[];
  readonly always?: readonly number[];
  readonly pairs?: readonly (readonly [named: number, along: number])[];
}
const USUAL: ReadonlyMap<number, Usual> = new Map<number, Usual>([
  [
    CKO.PUBLIC_KEY,
    {
      silent: [CKA.ENCRYPT, CKA.VERIFY, CKA.VERIFY_RECOVER, CKA.WRAP],
      always: [CKA.ENCRYPT, CKA.VERIFY, CKA.VERIFY_RECOVER],
    },
  ],
  [CKO.PRIVATE_KEY, { silent: [CKA.DECRYPT, CKA.SIGN, CKA.SIGN_RECOVER, CKA.UNWRAP] }],
  [
    CKO.SECRET_KEY,
    {
      silent: [CKA.ENCRYPT, CKA.DECRYPT, CKA.SIGN, CKA.VERIFY, CKA.WRAP, CKA.UNWRAP],
      pairs: [
        [CKA.ENCRYPT, CKA.DECRYPT],
        [CKA.SIGN, CKA.VERIFY],
        [CKA.WRAP, CKA.UNWRAP],
      ],
    },
  ],
]);
/** What a key may be used for, in all. */
export const USAGES: readonly number[] = [
  CKA.ENCRYPT,
  CKA.DECRYPT,
  CKA.SIGN,
  CKA.SIGN_RECOVER,
  CKA.VERIFY,
  CKA.VERIFY_RECOVER,
  CKA.WRAP,
  CKA.UNWRAP,
  CKA.DERIVE,
];

/** The uses that a template grants by what it leaves out. */
export function unsaid(objectClass: number, template: Template): readonly number[] {
  const usual = USUAL.get(objectClass);
  if (usual === undefined) return [];
  if (!USAGES.some((type) => template.has(type))) return usual.silent;
  const along = (usual.pairs ?? []).flatMap(([one, other]) => [
    ...(template.get(one) === true ? [other] : []),
    ...(template.get(other) === true ? [one] : []),
  ]);
  return [...(usual.always ?? []), ...along];
}
