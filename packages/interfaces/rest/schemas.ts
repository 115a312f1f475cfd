/** Named schemas of the REST interface. Bytes are padded base64, times ISO 8601 in UTC. */
import {
  CIPHER_SCHEMES,
  KEY_ALGORITHMS,
  MAC_SCHEMES,
  SIGN_SCHEMES,
  USAGES,
  WRAP_SCHEMES,
} from "@casemate/devices/contract";
import { ERROR_CODES } from "@casemate/foundation/errors";
import { KEY_STATES, ROLES, type KeyOrigin } from "@casemate/keyring/core";
import type { TSchema, TUnsafe } from "typebox";
import { Type } from "./schema-builder.ts";
import { REST_LIMITS as LIMIT } from "./limits.ts";

/** A string out of a list, typed as the union of its members. */
export function choice<const T extends readonly string[]>(values: T, description?: string): TUnsafe<T[number]> {
  return Type.Unsafe<T[number]>({
    type: "string",
    enum: [...values],
    ...(description === undefined ? {} : { description }),
  });
}

/** Where a schema of base64 says how many bytes it may stand for: `maxLength` counts characters, and rounds up. */
export const MAX_BYTES = "x-max-bytes";

/** Where a schema says in words what its pattern asks for. */
export const FORM = "x-form";

/** Base64 of at most `limit` bytes. The exact bound is checked when decoding. */
export function bytes(limit: number, description: string) {
  return Type.String({
    contentEncoding: "base64",
    maxLength: Math.ceil(limit / 3) * 4,
    [MAX_BYTES]: limit,
    description: `${description} Base64 with padding, at most ${limit} bytes.`,
  });
}

const outBytes = (description: string) => Type.String({ contentEncoding: "base64", description });
const count = (description: string) => Type.Integer({ minimum: 0, description });
const time = (description: string) => Type.String({ format: "date-time", description });
const text = (description: string) => Type.String({ description });

const word = (more: string): string => `1 to 128 of A-Z a-z 0-9 ${more}, starting with a letter or digit`;
export const keyName = Type.String({
  pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
  maxLength: 128,
  [FORM]: word(". _ -"),
  description: `Name of a key: ${word(". _ -")}.`,
});
export const identifier = (what: string) =>
  Type.String({
    pattern: "^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$",
    maxLength: 128,
    [FORM]: word(". _ : @ -"),
    description: what,
  });
export const principal = (what: string) =>
  Type.String({
    pattern: "^[A-Za-z0-9][A-Za-z0-9._@:/+-]{0,127}$",
    maxLength: 128,
    [FORM]: word(". _ @ : / + -"),
    description: what,
  });
export const version = Type.Integer({
  minimum: 1,
  maximum: 2_147_483_647,
  description: "Key version; the primary one when absent.",
});
export const whenIn = (description: string) =>
  Type.String({
    pattern: "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,9})?(Z|[+-]\\d{2}:\\d{2})$",
    maxLength: 40,
    [FORM]: "a time with its zone, such as 2031-01-01T00:00:00Z",
    description: `${description} ISO 8601 with a time zone.`,
  });
export const activateAt = whenIn("Pre-active until then.");
export const deactivateAt = whenIn("Deactivated from then on.");
export const algorithm = choice(KEY_ALGORITHMS, "Key algorithm.");
export const usage = choice(USAGES, "What a key may be used for.");
const KEY_ORIGINS = ["generated", "imported", "adopted"] as const satisfies readonly KeyOrigin[];
const keyOrigin = (of: string) =>
  choice(
    KEY_ORIGINS,
    `${of}: generated in its device, imported wrapped, or adopted where others had put it; copies of what was not generated may exist elsewhere.`,
  );
export const keyState = choice(KEY_STATES, "Lifecycle state (NIST SP 800-57 Part 1).");
export const role = choice(ROLES, "Role of a principal.");
export const signScheme = choice(SIGN_SCHEMES, "Signature scheme; the key's own default when absent.");
export const cipherScheme = choice(CIPHER_SCHEMES, "Encryption scheme; the key's own default when absent.");
export const macScheme = choice(MAC_SCHEMES, "MAC scheme; the key's own default when absent.");
export const wrapScheme = choice(WRAP_SCHEMES, "Key wrapping scheme.");
export const inputKind = choice(["message", "digest"], "Whether the input is the message (default) or its digest.");
export const labels = Type.Record(
  Type.String({ pattern: `^[A-Za-z0-9][A-Za-z0-9._:/-]{0,${LIMIT.labelNameLength - 1}}$` }),
  Type.String({ maxLength: LIMIT.labelValueLength }),
  {
    additionalProperties: false,
    maxProperties: LIMIT.labels,
    [FORM]: `a label's name must be 1 to ${LIMIT.labelNameLength} of A-Z a-z 0-9 . _ : / -, starting with a letter or digit`,
    description: `Free labels: at most ${LIMIT.labels}, names up to ${LIMIT.labelNameLength} characters, values up to ${LIMIT.labelValueLength}.`,
  },
);
export const rotateEveryDays = Type.Integer({
  minimum: 1,
  maximum: 36_500,
  description: "Days between scheduled rotations.",
});
export const useLimit = Type.Integer({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  description: "Operations allowed per version.",
});
export const pageQuery = {
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: LIMIT.pageItems, description: "Items of the page, default 100." }),
  ),
  cursor: Type.Optional(
    Type.String({
      pattern: "^[A-Za-z0-9_.:=~-]{1,512}$",
      maxLength: 512,
      [FORM]: "what `next` of the page before says",
      description: "`next` of the page before; opaque.",
    }),
  ),
};

const detailValues = Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()]));
const errorCode = choice(Object.keys(ERROR_CODES) as (keyof typeof ERROR_CODES)[], "Stable error code.");

const problemBase = {
  code: errorCode,
  status: Type.Integer({ description: "HTTP status of this problem." }),
  detail: text("What happened, and why."),
  hint: Type.Optional(text("What to do about it.")),
  retryable: Type.Boolean({ description: "Whether the same request may succeed later." }),
};

const key = Type.Object({
  name: text("Name."),
  id: text("Identifier that is never used again."),
  algorithm,
  usages: Type.Array(usage),
  exportable: Type.Boolean({ description: "Whether a wrapped export is allowed." }),
  exportableUntil: Type.Optional(time("When a wrapped export was given up.")),
  device: text("Device of the primary version."),
  origin: keyOrigin("Where the primary version came from"),
  labels: Type.Record(Type.String(), Type.String()),
  state: keyState,
  primaryVersion: count("The version used when none is given."),
  versions: Type.Array(
    Type.Object({
      version: count("Number of the version."),
      origin: keyOrigin("Where it came from"),
      state: keyState,
      device: text("Device that holds it."),
      createdAt: time("Creation."),
      publicKey: Type.Optional(outBytes("SubjectPublicKeyInfo DER.")),
      activateAt: Type.Optional(time("Scheduled activation.")),
      deactivateAt: Type.Optional(time("Scheduled deactivation.")),
      destroyAt: Type.Optional(time("Destroyed then unless restored.")),
      destroyedAt: Type.Optional(time("Destruction.")),
      replaced: Type.Optional(
        Type.Boolean({ description: "At its destruction the device had another key in its place, which was left." }),
      ),
    }),
  ),
  createdAt: time("Creation."),
  createdBy: text("Principal that made it."),
  rotateEveryDays: Type.Optional(count("Days between rotations.")),
  nextRotationAt: Type.Optional(time("Next scheduled rotation.")),
  useLimit: Type.Optional(count("Operations allowed per version.")),
  uses: count("Operations so far."),
  warnings: Type.Array(text("A fact its user must know.")),
});

const device = Type.Object({
  identity: Type.Object({
    id: text("Name of the device here."),
    kind: choice(["hsm", "tpm", "enclave", "card"], "Kind of device."),
    maker: text("Maker."),
    model: text("Model."),
    serial: text("Serial number."),
    firmware: text("Firmware version."),
    virtual: Type.Boolean({ description: "A device made of software." }),
    certifications: Type.Array(text("Certification that the maker declares.")),
    identityKey: Type.Optional(outBytes("SubjectPublicKeyInfo DER of the device's identity key.")),
  }),
  status: Type.Object({
    state: choice(["operational", "locked", "tampered", "error", "absent"], "State of the device."),
    detail: Type.Optional(text("More about the state.")),
    files: Type.Optional(text("Files of the server that this is about.")),
    counters: Type.Record(Type.String(), Type.Number()),
    isolation: Type.Optional(
      Type.Array(
        Type.Object({ step: text("Hardening step."), holds: Type.Boolean(), detail: text("How it was seen.") }),
      ),
    ),
    notes: Type.Array(text("A limit that users must know.")),
    rootOfTrust: Type.Optional(text("What unlocks sealed state.")),
    pid: Type.Optional(count("Process of a virtual device.")),
  }),
  algorithms: Type.Array(
    Type.Object({
      algorithm,
      usages: Type.Array(usage),
      sign: Type.Array(signScheme),
      cipher: Type.Array(cipherScheme),
      mac: Type.Array(macScheme),
      wrap: Type.Array(wrapScheme),
    }),
  ),
  keys: count("Keys of the catalogue in this device, without the destroyed ones."),
  witness: Type.Object({
    supported: Type.Boolean({ description: "The device can remember how far an audit log had come." }),
    log: Type.Optional(
      Type.Object(
        {
          origin: text("Origin of its checkpoints."),
          records: count("Records of the newest checkpoint that the device signed."),
          before: count("Records of the one before it, 0 for none."),
          rootHash: text("RFC 6962 root hash over `records`, hexadecimal."),
        },
        {
          description:
            "What it has witnessed of this server's audit log; absent when nothing, or when it cannot be asked.",
        },
      ),
    ),
  }),
});

const token = Type.Object({
  id: text("Public part of the token."),
  principal: text("Who presents it."),
  roles: Type.Array(role),
  createdAt: time("Creation."),
  expiresAt: Type.Optional(time("Expiry.")),
  lastUsedAt: Type.Optional(time("Last use.")),
  revokedAt: Type.Optional(time("Revocation.")),
  note: Type.Optional(text("What it is for.")),
});

const auditRecord = Type.Object({
  index: count("Position in the log."),
  time: time("When."),
  principal: text("Who."),
  source: text("Through which interface."),
  action: text("What."),
  resource: text("On what."),
  outcome: text("`ok` or the error code."),
  count: count("Items of a batch, else 1."),
  details: detailValues,
  hash: text("SHA-256 over the previous hash and the record, hexadecimal."),
});

/** Schemas that the OpenAPI document lists under components. */
export const COMPONENTS = {
  Key: key,
  Device: device,
  DeviceObject: Type.Object({
    label: text("Label in the device."),
    id: text("Identifier in the device, hexadecimal."),
    algorithm: Type.Optional(algorithm),
    usages: Type.Array(usage),
    publicKey: Type.Optional(outBytes("SubjectPublicKeyInfo DER.")),
    adoptedAs: Type.Optional(text("Name of the key in the catalogue, when it is there.")),
    version: Type.Optional(count("Its version there.")),
    replaced: Type.Optional(
      Type.Boolean({ description: "It is another key than the one in the catalogue, put in its place." }),
    ),
  }),
  Token: token,
  Policy: Type.Object({ id: text("Name."), text: text("Cedar text."), builtIn: Type.Boolean() }),
  Decision: Type.Object({
    allowed: Type.Boolean(),
    code: text("Short code for the caller."),
    reasons: Type.Array(text("Which policy decided, and why.")),
  }),
  AuditRecord: auditRecord,
  Checkpoint: Type.Object({
    note: text("C2SP tlog-checkpoint note with its signature lines."),
    size: count("Records covered."),
    rootHash: text("RFC 6962 root hash, hexadecimal."),
    signedBy: text("Device whose key signed."),
  }),
  Problem: Type.Object({
    type: text("URN of the problem, made of its code."),
    title: text("Meaning of the code."),
    ...problemBase,
    requestId: Type.Optional(text("Names the request in logs and in the audit log.")),
    details: Type.Optional(detailValues),
  }),
  ItemProblem: Type.Object(problemBase),
} as const satisfies Record<string, TSchema>;

/** A reference to a named schema, resolved by the serializers and by the OpenAPI document. */
export function ref(name: keyof typeof COMPONENTS): TSchema {
  return { $ref: `${name}#` } as TSchema;
}

export function pageOf(name: keyof typeof COMPONENTS): TSchema {
  return Type.Object({
    items: Type.Array(ref(name)),
    next: Type.Optional(text("Cursor of the next page; absent on the last one.")),
  });
}
