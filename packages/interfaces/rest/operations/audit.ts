/** The audit log: records, checkpoints and proofs. */
import { Type } from "../schema-builder.ts";
import { REST_LIMITS as LIMIT } from "../limits.ts";
import { operation, type Operation } from "../operation.ts";
import { FORM, pageOf, pageQuery, ref } from "../schemas.ts";

const closed = { additionalProperties: false } as const;
const position = (description: string) => Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description });
const filter = (description: string) =>
  Type.Optional(
    Type.String({
      pattern: "^[!-~]{1,256}$",
      maxLength: LIMIT.textLength,
      [FORM]: "1 to 256 visible ASCII characters",
      description,
    }),
  );
const hashes = Type.Array(Type.String({ description: "RFC 6962 node hash, hexadecimal." }));

const listAuditRecords = operation({
  id: "listAuditRecords",
  method: "GET",
  path: "/v1/audit/records",
  tag: "Audit",
  summary: "Audit records, page by page",
  action: "audit.read",
  query: Type.Object(
    {
      ...pageQuery,
      from: Type.Optional(position("First index.")),
      principal: filter("Only records of this principal."),
      resource: filter("Only records on this resource, e.g. key/release."),
      outcome: filter("Only records with this outcome."),
    },
    closed,
  ),
  response: pageOf("AuditRecord"),
  handle:
    ({ query }) =>
    (keyring, caller) =>
      keyring.auditRecords(caller, query),
});

const createCheckpoint = operation({
  id: "createAuditCheckpoint",
  method: "POST",
  path: "/v1/audit/checkpoint",
  tag: "Audit",
  summary: "Sign the log as it stands with a device key",
  action: "audit.checkpoint",
  body: Type.Object({}, closed),
  response: ref("Checkpoint"),
  handle: () => (keyring, caller) => keyring.auditCheckpoint(caller),
});

const inclusion = operation({
  id: "getAuditInclusion",
  method: "GET",
  path: "/v1/audit/inclusion",
  tag: "Audit",
  summary: "Proof that a record is in the log (RFC 6962)",
  action: "audit.prove",
  query: Type.Object(
    {
      index: position("Index of the record."),
      size: Type.Optional(position("Size of the tree; all records when absent.")),
    },
    closed,
  ),
  response: Type.Object({
    index: Type.Integer(),
    size: Type.Integer(),
    leafHash: Type.String(),
    path: hashes,
    rootHash: Type.String(),
  }),
  handle:
    ({ query }) =>
    (keyring, caller) =>
      keyring.auditInclusion(caller, query.index, query.size),
});

const consistency = operation({
  id: "getAuditConsistency",
  method: "GET",
  path: "/v1/audit/consistency",
  tag: "Audit",
  summary: "Proof that the log only grew between two sizes (RFC 6962)",
  action: "audit.prove",
  query: Type.Object(
    {
      first: position("The smaller size."),
      second: Type.Optional(position("The larger size; all records when absent.")),
    },
    closed,
  ),
  response: Type.Object({ first: Type.Integer(), second: Type.Integer(), path: hashes }),
  handle:
    ({ query }) =>
    (keyring, caller) =>
      keyring.auditConsistency(caller, query.first, query.second),
});

export const auditOperations: readonly Operation[] = [listAuditRecords, createCheckpoint, inclusion, consistency];
