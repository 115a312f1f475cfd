/** Checks of parameters, query and body against an operation's schemas, compiled at first use. */
import { CasemateError } from "@casemate/foundation/errors";
import { sizeOf, tooLarge } from "./base64.ts";
import type { TObject, TSchema } from "typebox";
import { Type } from "./schema-builder.ts";
import { Compile } from "typebox/schema";
import type { Operation } from "./operation.ts";
import { FORM, MAX_BYTES } from "./schemas.ts";

type Values = Readonly<Record<string, unknown>>;

interface Check {
  readonly check: (value: unknown) => boolean;
  /** Why `check` said no. */
  readonly refusal: (value: unknown) => CasemateError;
}

const NOTHING = Type.Object({}, { additionalProperties: false });

type Errors = ReturnType<ReturnType<typeof Compile>["Errors"]>[1];

function compiled(schema: TSchema, part: string): Check {
  const validator = Compile(schema);
  return {
    check: (value) => validator.Check(value),
    refusal(value) {
      const [, errors] = validator.Errors(value);
      return (
        tooManyBytes(schema, errors, value) ??
        new CasemateError("BAD_REQUEST", `${part}: ${explained(schema, errors)}`, {
          hint: "GET /v1/openapi.json describes every field and its limits.",
        })
      );
    },
  };
}

function explained(schema: TSchema, errors: Errors): string {
  const unknown = errors.find(({ keyword }) => keyword === "additionalProperties");
  const [first] = errors;
  if (unknown !== undefined) {
    const names = namesIn(unknown.params, "additionalProperties").slice(0, 3);
    const inside = unknown.instancePath === "" ? "" : `${unknown.instancePath.slice(1)}/`;
    const quoted = names.map((name) => `"${shown(`${inside}${name}`)}"`).join(", ");
    // Where the names are the caller's own, their form is what is wrong.
    const form = schemaAt(schema, unknown.instancePath)?.[FORM];
    if (form !== undefined) return `${quoted}: ${form}`;
    return `${names.length === 1 ? "there is no field" : "there are no fields"} ${quoted}`;
  }
  if (first === undefined) return "it does not fit";
  const { keyword, instancePath, message, params } = first;
  const where = instancePath === "" ? "" : `${instancePath.slice(1)} `;
  const wanted = WORDS.get(keyword)?.(params as Params, schemaAt(schema, instancePath) ?? {}) ?? message;
  return `${shown(where)}${wanted}`;
}

type Params = Readonly<Record<string, unknown>>;

const namesIn = (params: object, name: string): readonly string[] =>
  ((params as Params)[name] as readonly string[] | undefined) ?? [];

function counted(limit: unknown, one: string, many: string): string {
  return limit === 1 ? `1 ${one}` : `${String(limit)} ${many}`;
}

/** What a value must be, as people say it. */
const TYPES: ReadonlyMap<string, string> = new Map([
  ["integer", "must be a whole number"],
  ["number", "must be a number"],
  ["string", "must be a string"],
  ["boolean", "must be true or false"],
  ["array", "must be a list"],
  ["object", "must be an object"],
]);

/** What the schema's keywords ask for, where the validator's own words are hard to read. */
const WORDS: ReadonlyMap<string, (params: Params, part: Part) => string | undefined> = new Map([
  ["enum", (_, part) => (part.enum === undefined ? undefined : `must be one of ${part.enum.join(", ")}`)],
  ["pattern", (_, part) => (part[FORM] === undefined ? undefined : `must be ${part[FORM]}`)],
  ["type", ({ type }) => (typeof type === "string" ? TYPES.get(type) : undefined)],
  ["required", (params) => `must have ${namesIn(params, "requiredProperties").join(", ")}`],
  ["minItems", ({ limit }) => `must have at least ${counted(limit, "item", "items")}`],
  ["maxItems", ({ limit }) => `must have at most ${counted(limit, "item", "items")}`],
  ["minProperties", ({ limit }) => `must have at least ${counted(limit, "field", "fields")}`],
  ["maxProperties", ({ limit }) => `must have at most ${counted(limit, "field", "fields")}`],
  ["minLength", ({ limit }) => `must have at least ${counted(limit, "character", "characters")}`],
  ["maxLength", ({ limit }) => `must have at most ${counted(limit, "character", "characters")}`],
] as const);

/** Base64 that is longer than its bytes may be, told in bytes: what the caller has is no text. */
function tooManyBytes(schema: TSchema, errors: Errors, value: unknown): CasemateError | undefined {
  const found = errors.find(({ keyword }) => keyword === "maxLength");
  if (found === undefined) return undefined;
  const maxBytes = schemaAt(schema, found.instancePath)?.[MAX_BYTES];
  const text = valueAt(value, found.instancePath);
  if (maxBytes === undefined || typeof text !== "string") return undefined;
  return tooLarge(sizeOf(text), found.instancePath.slice(1), maxBytes);
}

interface Part {
  readonly enum?: readonly unknown[];
  readonly [MAX_BYTES]?: number;
  readonly [FORM]?: string;
  readonly properties?: Readonly<Record<string, Part>>;
  readonly items?: Part;
}

/** The part of a schema that a value's path leads to. */
function schemaAt(schema: TSchema, path: string): Part | undefined {
  let part: Part = schema;
  for (const name of path.split("/").slice(1)) {
    const { properties, items } = part;
    const next = items ?? (properties !== undefined && Object.hasOwn(properties, name) ? properties[name] : undefined);
    if (next === undefined) return undefined;
    part = next;
  }
  return part;
}

function valueAt(value: unknown, path: string): unknown {
  let at = value;
  for (const name of path.split("/").slice(1)) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[name];
  }
  return at;
}

/** Text of the caller's, cut short and without control characters. */
function shown(text: string): string {
  return text.slice(0, 64).replaceAll(/[^\x20-\x7e]/g, "?");
}

/** Query values are text: numbers and booleans are read where the schema wants them. */
function readQuery(schema: TObject, query: Values): Values {
  const read: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) {
      throw new CasemateError("BAD_REQUEST", `query: "${shown(name)}" is given twice`, {
        hint: "Send it once: which of them counts is not the same for every program on the way.",
      });
    }
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
    if (!check.check(value)) throw check.refusal(value);
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
