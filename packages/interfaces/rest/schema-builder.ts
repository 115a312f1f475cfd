/**
 * The builders of typebox that this interface uses, with typebox's own types and the same JSON Schema as result.
 * Loading the library's own takes some 400 files, which every start of the server would pay for.
 */
import type TypeboxNamespace from "typebox";
import type { TSchema } from "typebox";

type Builder = Pick<
  typeof TypeboxNamespace,
  "Array" | "Boolean" | "Integer" | "Null" | "Number" | "Object" | "Optional" | "Record" | "String" | "Union" | "Unsafe"
>;

type Plain = Readonly<Record<string, unknown>>;

const optional = new WeakSet<object>();
const of =
  (type: string) =>
  (options: Plain = {}) => ({ type, ...options });

const builder = {
  Boolean: of("boolean"),
  Integer: of("integer"),
  Null: of("null"),
  Number: of("number"),
  String: of("string"),
  Array: (items: TSchema, options: Plain = {}) => ({ type: "array", items, ...options }),
  Object(properties: Readonly<Record<string, TSchema>>, options: Plain = {}) {
    const required = Object.entries(properties)
      .filter(([, schema]) => !optional.has(schema))
      .map(([name]) => name);
    return { type: "object", ...(required.length === 0 ? {} : { required }), properties, ...options };
  },
  /** Marks a copy: the same schema may be needed elsewhere. */
  Optional(schema: TSchema) {
    const copy = { ...schema };
    optional.add(copy);
    return copy;
  },
  Record: (key: { readonly pattern?: string }, value: TSchema, options: Plain = {}) => ({
    type: "object",
    patternProperties: { [key.pattern ?? "^.*$"]: value },
    ...options,
  }),
  Union: (anyOf: readonly TSchema[], options: Plain = {}) => ({ anyOf, ...options }),
  Unsafe: (schema: TSchema) => schema,
};

/** The schemas are those of typebox; its types compute what they stand for. */
export const Type = builder as unknown as Builder;
