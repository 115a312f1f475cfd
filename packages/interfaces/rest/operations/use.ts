/** Use of keys, one item or a batch: sign, verify, encrypt, decrypt, mac, mac-verify. One row per verb makes both routes. */
import type { Many } from "@casemate/devices/contract";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import type { Action, Caller, Keyring, UseResult } from "@casemate/keyring/core";
import type { TProperties, TSchema } from "typebox";
import { Type } from "../schema-builder.ts";
import { base64Of, bytesFrom, tooLarge } from "../base64.ts";
import { REST_LIMITS as LIMIT } from "../limits.ts";
import { preferred } from "../media.ts";
import { RawReply, type Input, type Operation } from "../operation.ts";
import { itemProblemOf } from "../problem.ts";
import { bytes, cipherScheme, inputKind, macScheme, ref, signScheme, version } from "../schemas.ts";
import { batchJson, type BatchAnswer } from "./batch-json.ts";
import { keyParams } from "./keys.ts";

const OCTETS = "application/octet-stream";

/** Binary fields of one item with their limits; `optional` ones may be absent. */
interface Field {
  readonly name: string;
  readonly limit: number;
  readonly description: string;
  readonly optional?: true;
}

type Item = Readonly<Record<string, Uint8Array>>;
/** Schema-checked: each verb names only fields of its own option schemas. */
type Options = Readonly<Record<string, never>>;

interface Verb<T extends Uint8Array | boolean> {
  readonly verb: string;
  readonly action: Action;
  readonly summary: string;
  readonly fields: readonly Field[];
  readonly options: TProperties;
  readonly output: string;
  readonly outputDescription: string;
  /** Whether raw bytes may go in and come out. */
  readonly octets: boolean;
  readonly call: (
    keyring: Keyring,
    caller: Caller,
    name: string,
    options: Options,
    items: readonly Item[],
  ) => Promise<UseResult<T>>;
}

const input = { name: "input", limit: LIMIT.inputBytes, description: "Message or digest." } as const;
const context = {
  name: "context",
  limit: LIMIT.contextBytes,
  description: "Associated data (AES-GCM) or label (OAEP), bound to the ciphertext.",
  optional: true,
} as const;

/** Rows read items by the names in `fields`, which the schema made sure of. */
function taken<K extends string>(items: readonly Item[]): readonly Readonly<Record<K, Uint8Array>>[] {
  return items as readonly Readonly<Record<K, Uint8Array>>[];
}

const sign: Verb<Uint8Array> = {
  verb: "sign",
  action: "key.sign",
  summary: "Sign a message or a digest",
  fields: [input],
  options: { scheme: Type.Optional(signScheme), kind: Type.Optional(inputKind), version: Type.Optional(version) },
  output: "signature",
  outputDescription: "ECDSA as DER (RFC 3279 §2.2.3), everything else as the algorithm's own octets.",
  octets: true,
  call: (keyring, caller, name, options, items) =>
    keyring.sign(caller, name, {
      kind: "message",
      ...options,
      inputs: taken<"input">(items).map((item) => item.input),
    }),
};

const verify: Verb<boolean> = {
  verb: "verify",
  action: "key.verify",
  summary: "Verify a signature",
  fields: [input, { name: "signature", limit: LIMIT.artefactBytes, description: "The signature." }],
  options: sign.options,
  output: "valid",
  outputDescription: "Whether the signature belongs to this key and input.",
  octets: false,
  call: (keyring, caller, name, options, items) =>
    keyring.verify(caller, name, {
      kind: "message",
      ...options,
      items: taken<"input" | "signature">(items),
    }),
};

const cipherOptions = {
  scheme: Type.Optional(cipherScheme),
  version: Type.Optional(version),
  raw: Type.Optional(
    Type.Boolean({ description: "The device's bare ciphertext, without the key version in front. Default false." }),
  ),
};

const encrypt: Verb<Uint8Array> = {
  verb: "encrypt",
  action: "key.encrypt",
  summary: "Encrypt data; the device makes the nonce",
  fields: [
    { name: "data", limit: LIMIT.inputBytes, description: "Plaintext." },
    context,
    { name: "iv", limit: 16, description: "Only for AES-CBC and AES-CTR callers that must choose it.", optional: true },
  ],
  options: cipherOptions,
  output: "ciphertext",
  outputDescription: "Ciphertext with the key version in front, unless raw.",
  octets: true,
  call: (keyring, caller, name, options, items) =>
    keyring.encrypt(caller, name, { ...options, items: taken<"data">(items) }),
};

const decrypt: Verb<Uint8Array> = {
  verb: "decrypt",
  action: "key.decrypt",
  summary: "Decrypt a ciphertext",
  fields: [
    { name: "data", limit: LIMIT.inputBytes + LIMIT.contextBytes, description: "Ciphertext as encrypt gave it." },
    context,
  ],
  options: cipherOptions,
  output: "plaintext",
  outputDescription: "Plaintext.",
  octets: true,
  call: (keyring, caller, name, options, items) =>
    keyring.decrypt(caller, name, { ...options, items: taken<"data">(items) }),
};

const mac: Verb<Uint8Array> = {
  verb: "mac",
  action: "key.mac",
  summary: "Make a message authentication code",
  fields: [{ ...input, description: "Message." }],
  options: { scheme: Type.Optional(macScheme), version: Type.Optional(version) },
  output: "mac",
  outputDescription: "The code.",
  octets: true,
  call: (keyring, caller, name, options, items) =>
    keyring.mac(caller, name, { ...options, inputs: taken<"input">(items).map((item) => item.input) }),
};

const macVerify: Verb<boolean> = {
  verb: "mac-verify",
  action: "key.mac-verify",
  summary: "Check a message authentication code inside the device",
  fields: [mac.fields[0] ?? input, { name: "mac", limit: LIMIT.artefactBytes, description: "The code." }],
  options: mac.options,
  output: "valid",
  outputDescription: "Whether the code belongs to this key and message.",
  octets: false,
  call: (keyring, caller, name, options, items) =>
    keyring.macVerify(caller, name, { ...options, items: taken<"input" | "mac">(items) }),
};

type Wire = Readonly<Record<string, string | Uint8Array | undefined>>;

/** Binary fields of one item, from base64 text or raw octets. */
function itemFrom(fields: readonly Field[], wire: Wire, at?: number): Item {
  const item: Record<string, Uint8Array> = {};
  for (const { name, limit } of fields) {
    const value = wire[name];
    if (value === undefined) continue;
    if (typeof value === "string") item[name] = bytesFrom(value, name, limit, at);
    else if (value.length > limit) throw tooLarge(value.length, name, limit, at);
    else item[name] = value;
  }
  return item;
}

interface Read {
  readonly items: readonly Item[];
  /** Why items could not be read, by their place, in ascending order. */
  readonly unread: ReadonlyMap<number, CasemateError>;
}

/** Items of a batch. @throws TOO_LARGE for any of them; BAD_REQUEST when none can be read. */
function itemsFrom(fields: readonly Field[], wires: readonly Wire[]): Read {
  const items: Item[] = [];
  const unread = new Map<number, CasemateError>();
  for (const [at, wire] of wires.entries()) {
    try {
      items.push(itemFrom(fields, wire, at));
    } catch (error) {
      if (!isCasemateError(error) || error.code !== "BAD_REQUEST") throw error;
      unread.set(at, error);
    }
  }
  const [first] = unread.values();
  if (items.length === 0 && first !== undefined) throw first;
  return { items, unread };
}

function optionsFrom(names: readonly string[], body: Readonly<Record<string, unknown>>, batch: boolean): Options {
  const options: Record<string, unknown> = { batch };
  for (const name of names) if (body[name] !== undefined) options[name] = body[name];
  return options as Options;
}

function encoded(value: Uint8Array | boolean): string | boolean {
  return typeof value === "boolean" ? value : base64Of(value);
}

function onlyResult<T>(results: Many<T>): T {
  const [result] = results;
  if (result === undefined) throw new CasemateError("INTERNAL", "the device answered without a result");
  if (isCasemateError(result)) throw result;
  return result;
}

const fieldSchemas = (fields: readonly Field[]): TProperties =>
  Object.fromEntries(
    fields.map(({ name, limit, description, optional }) => {
      const schema = bytes(limit, description);
      return [name, optional === true ? Type.Optional(schema) : schema];
    }),
  );

const answered = {
  version: Type.Integer({ description: "Key version that was used." }),
  scheme: Type.String({ description: "Scheme that was used." }),
  warnings: Type.Array(Type.String({ description: "A fact its user must know." })),
};

function outputSchema<T extends Uint8Array | boolean>(verb: Verb<T>): TSchema {
  const { output, outputDescription: description } = verb;
  return output === "valid" ? Type.Boolean({ description }) : Type.String({ contentEncoding: "base64", description });
}

const closed = { additionalProperties: false } as const;
const camel = (verb: string): string => verb.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

type Anything = Input<{ readonly name: string }, unknown, Readonly<Record<string, unknown>>>;

function single<T extends Uint8Array | boolean>(verb: Verb<T>): Operation {
  const { output, fields } = verb;
  const [first] = fields;
  const names = Object.keys(verb.options);
  return {
    id: camel(verb.verb),
    method: "POST",
    path: `/v1/keys/{name}/${verb.verb}`,
    tag: "Use",
    summary: verb.summary,
    action: verb.action,
    params: keyParams,
    ...(verb.octets && first !== undefined
      ? { query: Type.Object(verb.options, closed), octets: { input: first.name, output, limit: first.limit } }
      : {}),
    body: Type.Object({ ...fieldSchemas(fields), ...verb.options }, closed),
    response: Type.Object({ ...answered, [output]: outputSchema(verb) }),
    handle: (anything) => {
      const { params, body, accept } = anything as Anything;
      const items = [itemFrom(fields, body as Wire)];
      const options = optionsFrom(names, body, false);
      return async (keyring, caller) => {
        const used = await verb.call(keyring, caller, params.name, options, items);
        const result = onlyResult<T>(used.results);
        if (typeof result !== "boolean" && preferred(accept, [OCTETS]) !== undefined) {
          return new RawReply(result, OCTETS, {
            "casemate-key-version": String(used.version),
            "casemate-scheme": used.scheme,
          });
        }
        return { version: used.version, scheme: used.scheme, [output]: encoded(result), warnings: used.warnings };
      };
    },
  };
}

function batch<T extends Uint8Array | boolean>(verb: Verb<T>): Operation {
  const { output, fields } = verb;
  const names = Object.keys(verb.options);
  return {
    id: `${camel(verb.verb)}Batch`,
    method: "POST",
    path: `/v1/keys/{name}/${verb.verb}-batch`,
    tag: "Batch",
    summary: `${verb.summary}: up to ${LIMIT.batchItems} items in one call`,
    description:
      "One result per item, in their order: an item that fails, also a single one, has its error there, and so has one whose base64 is malformed, as long as another can be read. What does not fit this document otherwise fails as a whole.",
    action: verb.action,
    params: keyParams,
    body: Type.Object(
      {
        items: Type.Array(Type.Object(fieldSchemas(fields), closed), { minItems: 1, maxItems: LIMIT.batchItems }),
        ...verb.options,
      },
      closed,
    ),
    response: Type.Object({
      ...answered,
      results: Type.Array(
        Type.Object({ [output]: Type.Optional(outputSchema(verb)), error: Type.Optional(ref("ItemProblem")) }),
      ),
    }),
    handle: (anything) => {
      const { params, body } = anything as Anything;
      const { items, unread } = itemsFrom(fields, body["items"] as readonly Wire[]);
      const options = { ...optionsFrom(names, body, true), ...(unread.size === 0 ? {} : { unread: unread.size }) };
      return async (keyring, caller) => {
        const used = await verb.call(keyring, caller, params.name, options as Options, items);
        const results: BatchAnswer["results"][number][] = used.results.map((result) =>
          isCasemateError(result) ? { error: itemProblemOf(result) } : { [output]: encoded(result) },
        );
        // In ascending order, so that each lands at its place.
        for (const [at, error] of unread) results.splice(at, 0, { error: itemProblemOf(error) });
        return { version: used.version, scheme: used.scheme, results, warnings: used.warnings } satisfies BatchAnswer;
      };
    },
    text: (answer) => batchJson(answer as BatchAnswer, output),
  };
}

const rows = <T extends Uint8Array | boolean>(verb: Verb<T>): readonly Operation[] => [single(verb), batch(verb)];

export const useOperations: readonly Operation[] = [
  ...rows(sign),
  ...rows(verify),
  ...rows(encrypt),
  ...rows(decrypt),
  ...rows(mac),
  ...rows(macVerify),
];
