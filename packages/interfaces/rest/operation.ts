/** One REST operation as data: the route, its schemas, its OpenAPI text and its handler side by side. */
import type { Action, Caller, Keyring } from "@casemate/keyring/core";
import type { Static, TObject, TSchema } from "typebox";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** An answer that is not JSON. */
export class RawReply {
  readonly body: string | Uint8Array;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(body: string | Uint8Array, contentType: string, headers: Readonly<Record<string, string>> = {}) {
    this.body = body;
    this.contentType = contentType;
    this.headers = headers;
  }
}

export interface Input<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  /** The Accept header, empty when absent. */
  readonly accept: string;
}

/** What happens once the request is understood: exactly one use case, which authorizes and audits itself. */
export type UseCase = (keyring: Keyring, caller: Caller) => Promise<unknown>;

export interface Operation {
  /** OpenAPI operationId and name of the SDK method. */
  readonly id: string;
  readonly method: Method;
  /** OpenAPI form: `/v1/keys/{name}`. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** What an audit record of a refusal before the use case names. */
  readonly action: Action;
  readonly params?: TObject;
  readonly query?: TObject;
  readonly body?: TObject;
  readonly response: TSchema;
  readonly status?: 200 | 201;
  /** Further content types of the answer, for the OpenAPI document. */
  readonly produces?: readonly string[];
  /** Creating calls honour Idempotency-Key. */
  readonly creates?: boolean;
  /** The key that a creating call makes or changes. */
  readonly key?: (input: Input<unknown, unknown, unknown>) => string;
  /** Answers a repeated creating call whose first try, begun at `since`, was cut off, when it can be seen that it was done. */
  readonly recover?: (input: Input<unknown, unknown, unknown>, since: number) => UseCase;
  /** The field that a body of application/octet-stream stands for, the one that an Accept of it wants back, and the most bytes of the body. */
  readonly octets?: { readonly input: string; readonly output: string; readonly limit: number };
  /** Decodes (errors here are refusals that we audit) and returns the use case (which audits itself). */
  readonly handle: (input: Input<unknown, unknown, unknown>) => UseCase;
  /** The same text as JSON.stringify makes of what the use case answered, where there is a quicker way to it. */
  readonly text?: (answer: unknown) => string;
}

type Of<T> = T extends TSchema ? Static<T> : undefined;

/** Declares an operation with its handler's input typed by its schemas. */
export function operation<
  P extends TObject | undefined = undefined,
  Q extends TObject | undefined = undefined,
  B extends TObject | undefined = undefined,
>(
  row: Omit<Operation, "handle" | "params" | "query" | "body" | "key" | "recover"> & {
    readonly params?: P;
    readonly query?: Q;
    readonly body?: B;
    readonly key?: (input: Input<Of<P>, Of<Q>, Of<B>>) => string;
    readonly recover?: (input: Input<Of<P>, Of<Q>, Of<B>>, since: number) => UseCase;
    readonly handle: (input: Input<Of<P>, Of<Q>, Of<B>>) => UseCase;
  },
): Operation {
  // The pipeline validates with the very schemas that type the handler, so the wider view is safe.
  return row as unknown as Operation;
}
