/** From a request that is understood to an answer: validation, the one use case, encoding. Shared by all routes. */
import { CasemateError } from "@casemate/foundation/errors";
import type { Context, Services } from "./context.ts";
import { checkIdempotencyKey, type IdempotentCalls } from "./idempotent-call.ts";
import { RawReply, type Input, type Operation, type UseCase } from "./operation.ts";
import { hasFields, type Validator } from "./validation.ts";

const OCTETS = "application/octet-stream";

export interface Understandable {
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
  /** Empty when absent. */
  readonly accept: string;
}

export interface Received extends Understandable {
  readonly authorization: string | undefined;
  readonly idempotencyKey: string | readonly string[] | undefined;
}

/** JSON text that is ready to send, or other bytes. */
export type Answer = string | RawReply;

/** Validates and decodes. @throws BAD_REQUEST, TOO_LARGE. */
export function understood(
  operation: Operation,
  validator: Validator,
  received: Understandable,
): Input<unknown, unknown, unknown> {
  const params = validator.params(received.params);
  const query = validator.query(received.query);
  const { accept } = received;
  if (operation.octets !== undefined && received.body instanceof Uint8Array) {
    return { params, query, accept, body: { ...query, [operation.octets.input]: received.body } };
  }
  const body = validator.body(received.body);
  if (operation.octets !== undefined && hasFields(query)) {
    throw new CasemateError("BAD_REQUEST", "query: options of a JSON body belong into the body", {
      hint: `Only a body of ${OCTETS} takes its options from the query.`,
    });
  }
  return { params, query, accept, body };
}

/** Runs the operation for a caller who is known. Whatever it throws before `auditedByKeyring` is set, is ours to audit. */
export async function perform(
  services: Services,
  calls: IdempotentCalls,
  context: Context,
  operation: Operation,
  validator: Validator,
  encode: (value: unknown) => string,
  received: Received,
): Promise<Answer> {
  const { caller } = context;
  if (caller === undefined) throw new CasemateError("UNAUTHENTICATED", "no token was given");
  const input = understood(operation, validator, received);
  const useCase = operation.handle(input);
  const named = { ...caller, requestId: context.requestId };
  const run = async (action: UseCase): Promise<Answer> => {
    context.auditedByKeyring = true;
    const result = await action(services.keyring, named);
    return result instanceof RawReply ? result : encode(result);
  };
  if (operation.creates !== true || received.idempotencyKey === undefined) return run(useCase);

  if (typeof received.idempotencyKey !== "string") {
    throw new CasemateError("BAD_REQUEST", "more than one Idempotency-Key was given");
  }
  checkIdempotencyKey(received.idempotencyKey);
  const request = {
    key: received.idempotencyKey,
    principal: caller.principal,
    token: services.authenticator.tokenFrom(received.authorization),
    operation: operation.id,
    params: input.params,
    body: input.body,
  };
  return calls.once(
    request,
    (since) => run(since === undefined ? useCase : (operation.recover?.(input, since) ?? useCase)),
    () => {
      context.auditedByKeyring = true;
      return services.keyring.repeated(named, operation.action, operation.key?.(input));
    },
  );
}
