/** What a new key's template says: the material stays inside, and each use is named or refused. */
import { usageClash, type KeyAlgorithm, type Usage } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import { CKA, CKK, CKO, CKR } from "@casemate/protocols/p11-rpc";
import { ALGORITHM_ROWS, type AlgorithmRow } from "../algorithms.ts";
import { hasRv } from "../status.ts";
import type { Attribute } from "./addon.ts";
import type { Lane } from "./lane.ts";

export interface NewObject {
  readonly algorithm: KeyAlgorithm;
  readonly usages: readonly Usage[];
  readonly exportable: boolean;
  readonly id: Buffer;
  readonly label: Buffer;
  /** A session object: for probes and steps in between. */
  readonly temporary?: boolean;
}

type Use = readonly [attribute: number, usage: Usage];

/** Which attribute a usage sets, by key type: only those that can be, since modules refuse the others. */
const PRIVATE_USES: ReadonlyMap<number, readonly Use[]> = new Map<number, readonly Use[]>([
  [
    CKK.RSA,
    [
      [CKA.SIGN, "sign"],
      [CKA.DECRYPT, "encrypt"],
      [CKA.UNWRAP, "wrap"],
    ],
  ],
  [
    CKK.EC,
    [
      [CKA.SIGN, "sign"],
      [CKA.DERIVE, "agree"],
    ],
  ],
  [CKK.EC_EDWARDS, [[CKA.SIGN, "sign"]]],
  [CKK.EC_MONTGOMERY, [[CKA.DERIVE, "agree"]]],
]);
const PUBLIC_USES: ReadonlyMap<number, readonly Use[]> = new Map<number, readonly Use[]>([
  [
    CKK.RSA,
    [
      [CKA.VERIFY, "sign"],
      [CKA.ENCRYPT, "encrypt"],
      [CKA.WRAP, "wrap"],
    ],
  ],
  [CKK.EC, [[CKA.VERIFY, "sign"]]],
  [CKK.EC_EDWARDS, [[CKA.VERIFY, "sign"]]],
]);
const SECRET_USES: ReadonlyMap<number, readonly Use[]> = new Map<number, readonly Use[]>([
  [
    CKK.AES,
    [
      [CKA.ENCRYPT, "encrypt"],
      [CKA.DECRYPT, "encrypt"],
      [CKA.SIGN, "mac"],
      [CKA.VERIFY, "mac"],
      [CKA.WRAP, "wrap"],
      [CKA.UNWRAP, "wrap"],
    ],
  ],
  [
    CKK.GENERIC_SECRET,
    [
      [CKA.SIGN, "mac"],
      [CKA.VERIFY, "mac"],
    ],
  ],
]);

/** What a key of the type is never for here. Modules have defaults of their own for what a template leaves out, and SoftHSM's is true. */
const NEVER: ReadonlyMap<number, readonly number[]> = new Map<number, readonly number[]>([
  [CKK.RSA, [CKA.SIGN_RECOVER]],
  [CKK.EC, [CKA.SIGN_RECOVER, CKA.DECRYPT, CKA.UNWRAP]],
  [CKK.EC_EDWARDS, [CKA.SIGN_RECOVER, CKA.DECRYPT, CKA.UNWRAP, CKA.DERIVE]],
  [CKK.EC_MONTGOMERY, [CKA.SIGN, CKA.SIGN_RECOVER, CKA.DECRYPT, CKA.UNWRAP]],
]);

const PUBLIC_EXPONENT = Buffer.of(1, 0, 1);

export function rowOf(algorithm: KeyAlgorithm): AlgorithmRow {
  const row = ALGORITHM_ROWS.get(algorithm);
  if (row === undefined) throw new CasemateError("NOT_SUPPORTED", `PKCS #11 tokens have no ${algorithm} here`);
  return row;
}

export const isPair = ({ keyType }: AlgorithmRow): boolean => keyType !== CKK.AES && keyType !== CKK.GENERIC_SECRET;

/** @throws BAD_REQUEST without a usage; NOT_SUPPORTED for one, or an algorithm, that the token has not, and for usages that clash. */
export function checkSpec(lane: Lane, algorithm: KeyAlgorithm, usages: readonly Usage[]): void {
  if (usages.length === 0) throw new CasemateError("BAD_REQUEST", "a key needs at least one usage");
  const support = lane.plan.algorithms.find((row) => row.algorithm === algorithm);
  if (support === undefined) throw new CasemateError("NOT_SUPPORTED", `this token does not make ${algorithm} keys`);
  const missing = usages.find((usage) => !support.usages.includes(usage));
  if (missing !== undefined)
    throw new CasemateError("NOT_SUPPORTED", `${algorithm} keys of this token are not for ${missing}`);
  const clash = usageClash(algorithm, usages);
  if (clash !== undefined) throw new CasemateError("NOT_SUPPORTED", clash.message, { hint: clash.hint });
}

const usesOf = (table: ReadonlyMap<number, readonly Use[]>, keyType: number, usages: readonly Usage[]): Attribute[] => {
  const wanted = new Map<number, boolean>();
  for (const [type, usage] of table.get(keyType) ?? [])
    wanted.set(type, (wanted.get(type) ?? false) || usages.includes(usage));
  return [...wanted].map(([type, value]) => ({ type, value }));
};

const neverOf = (keyType: number): Attribute[] => (NEVER.get(keyType) ?? []).map((type) => ({ type, value: false }));

const identity = ({ id, label, temporary }: NewObject): Attribute[] => [
  { type: CKA.TOKEN, value: temporary !== true },
  ...(temporary === true
    ? []
    : [
        { type: CKA.ID, value: id },
        { type: CKA.LABEL, value: label },
      ]),
];

export function curveParameters(lane: Lane, { curve }: AlgorithmRow): Buffer {
  const printable = lane.plan.fields.printableCurves ? curve?.printable : undefined;
  return Buffer.from(printable ?? curve?.oid ?? []);
}

export function publicTemplate(lane: Lane, object: NewObject): Attribute[] {
  const row = rowOf(object.algorithm);
  return [
    { type: CKA.CLASS, value: CKO.PUBLIC_KEY },
    { type: CKA.KEY_TYPE, value: row.keyType },
    { type: CKA.PRIVATE, value: false },
    ...identity(object),
    ...usesOf(PUBLIC_USES, row.keyType, object.usages),
    ...(row.keyType === CKK.RSA
      ? [
          { type: CKA.MODULUS_BITS, value: row.size },
          { type: CKA.PUBLIC_EXPONENT, value: PUBLIC_EXPONENT },
        ]
      : [{ type: CKA.EC_PARAMS, value: curveParameters(lane, row) }]),
  ];
}

export function privateTemplate(object: NewObject): Attribute[] {
  const { keyType } = rowOf(object.algorithm);
  return [
    { type: CKA.CLASS, value: CKO.PRIVATE_KEY },
    { type: CKA.KEY_TYPE, value: keyType },
    { type: CKA.PRIVATE, value: true },
    { type: CKA.SENSITIVE, value: true },
    { type: CKA.EXTRACTABLE, value: object.exportable },
    ...identity(object),
    ...usesOf(PRIVATE_USES, keyType, object.usages),
    ...neverOf(keyType),
  ];
}

/** `bytes` only where the key is made: an unwrapped one brings its length with it. */
export function secretTemplate(object: NewObject, bytes: number | undefined): Attribute[] {
  const { keyType } = rowOf(object.algorithm);
  return [
    { type: CKA.CLASS, value: CKO.SECRET_KEY },
    { type: CKA.KEY_TYPE, value: keyType },
    { type: CKA.PRIVATE, value: true },
    { type: CKA.SENSITIVE, value: true },
    { type: CKA.EXTRACTABLE, value: object.exportable },
    ...identity(object),
    ...usesOf(SECRET_USES, keyType, object.usages),
    ...(bytes === undefined ? [] : [{ type: CKA.VALUE_LEN, value: bytes }]),
  ];
}

const TOO_MUCH_SAID = [CKR.ATTRIBUTE_TYPE_INVALID, CKR.ATTRIBUTE_VALUE_INVALID, CKR.TEMPLATE_INCONSISTENT] as const;
const USES: ReadonlySet<number> = new Set(
  [...PRIVATE_USES, ...PUBLIC_USES, ...SECRET_USES].flatMap(([, uses]) => uses.map(([type]) => type)),
);
const NEVER_USES: ReadonlySet<number> = new Set([...NEVER.values()].flat());

type Trim = (template: readonly Attribute[]) => readonly Attribute[];

/** From all that can be said to the least: modules differ in what they refuse to be told. */
const TRIMS: readonly Trim[] = [
  (template) => template,
  // Without what no key of the type could be for.
  (template) => {
    const keyType = template.find(({ type }) => type === CKA.KEY_TYPE)?.value;
    const never = NEVER.get(Number(keyType)) ?? [];
    return template.filter(({ type, value }) => value !== false || !never.includes(type));
  },
  // Only what it is for.
  (template) => template.filter(({ type, value }) => value !== false || !(USES.has(type) || NEVER_USES.has(type))),
];

/** Tries with every use named; a module that refuses to be told so much is told less. */
export function withTemplates<T>(make: (trim: Trim) => T): T {
  for (const trim of TRIMS.slice(0, -1)) {
    try {
      return make(trim);
    } catch (error) {
      if (!hasRv(error, ...TOO_MUCH_SAID)) throw error;
    }
  }
  return make(TRIMS.at(-1) as Trim);
}
