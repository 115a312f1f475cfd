/** Checks of parameters, query and body against an operation's schemas, compiled at first use. */
import { CasemateError } from "@casemate/foundation/errors";
import type { TObject, TSchema } from "typebox";
import { Type } from "./schema-builder.ts";
import { Compile } from "typebox/schema";
import type { Operation } from "./operation.ts";

type Values = Readonly<Record<string, unknown>>;

interface Check {
  readonly part: string;
  readonly check: (value: unknown) => boolean;
  readonly explain: (value: unknown) => string;
}

const NOTHING = Type.Object({}, { additionalProperties: false });

function compiled(schema: TSchema, part: string): Check {
  const validator = Compile(schema);
  return {
    part,
    check: (value) => validator.Check(value),
    explain(value) {
      const [, errors] = validator.Errors(value);
      const unknown = errors.find(({ keyword }) => keyword === "additionalProperties");
      const [first] = errors;
      if (unknown !== undefined) {
        const names =
          (unknown.params as { readonly additionalProperties?: readonly string[] }).additionalProperties ?? [];
        const inside = unknown.instancePath === "" ? "" : `${unknown.instancePath.slice(1)}/`;
        return `unknown field ${names
          .slice(0, 3)
          .map((name) => shown(`${inside}${name}`))
          .join(", ")}`;
      }
      if (first === undefined) return "it does not fit";
      const where = first.instancePath === "" ? "" : `${first.instancePath.slice(1)} `;
      const allowed = allowedValues(schema, first.instancePath);
      return `${shown(where)}${first.message}${allowed === undefined ? "" : `: ${allowed.join(", ")}`}`;
    },
  };
}

interface Choice {
  readonly enum?: readonly unknown[];
}

/** The list behind an enum, or behind a list of its values, so that the refusal can name it. */
function allowedValues(schema: TSchema, path: string): readonly unknown[] | undefined {
  const [name = "", index] = path.slice(1).split("/");
  const { properties } = schema as {
    readonly properties?: Readonly<Record<string, Choice & { readonly items?: Choice }>>;
  };
  const property = properties !== undefined && Object.hasOwn(properties, name) ? properties[name] : undefined;
  return index === undefined ? property?.enum : property?.items?.enum;
}

/** Text of the caller's, cut short and without control characters. */
function shown(text: string): string {
  return text.slice(0, 64).replaceAll(/[^\x20-\x7e]/g, "?");
}

function refuse(check: Check, value: unknown): never {
  throw new CasemateError("BAD_REQUEST", `${check.part}: ${check.explain(value)}`, {
    hint: "GET /v1/openapi.json describes every field and its limits",
  });
}

/** Query values are text: numbers and booleans are read where the schema wants them. */
function readQuery(schema: TObject, query: Values): Values {
  const read: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(query)) {
    const wanted = Object.hasOwn(schema.properties, name)
      ? (schema.properties[name] as { readonly type?: string }).type
      : undefined;
    if (wanted === "integer" && typeof value === "string" && /^-?\d{1,15}$/.test(value)) read[name] = Number(value);
    else if (wanted === "boolean" && (value === "true" || value === "false")) read[name] = value === "true";
    else read[name] = value;
  }
  return read;
}

export function hasFields(value: Values): boolean {
  for (const _ in value) return true;
  return false;
}

const EMPTY: Values = Object.freeze({});

export interface Validator {
  params(value: unknown): Values;
  query(value: unknown): Values;
  body(value: unknown): Values;
}

export function validatorFor(operation: Operation): Validator {
  const lazy = (schema: TObject | undefined, part: string): (() => Check) => {
    let check: Check | undefined;
    return () => (check ??= compiled(schema ?? NOTHING, part));
  };
  const params = lazy(operation.params, "path");
  const query = lazy(operation.query, "query");
  const body = lazy(operation.body, "body");
  const checked = (part: () => Check, value: unknown): Values => {
    const check = part();
    if (!check.check(value)) refuse(check, value);
    return value as Values;
  };
  return {
    params: (value) => checked(params, value),
    query(value) {
      const given = value as Values;
      if (!hasFields(given)) return operation.query?.required?.length ? checked(query, given) : EMPTY;
      return checked(query, readQuery(operation.query ?? NOTHING, given));
    },
    body: (value) =>
      operation.body === undefined && value === undefined ? EMPTY : checked(body, value === undefined ? EMPTY : value),
  };
}
