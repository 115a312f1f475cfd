import type {
  CallName,
  ReplySignature,
  ReplyValues,
  RequestSignature,
  RequestValues,
} from "@casemate/protocols/p11-rpc";
import type { Application } from "../application.ts";
import type { Maybe } from "../context.ts";

/** Handlers of some calls. */
export type Calls<N extends CallName> = {
  readonly [C in N]: (
    application: Application,
    ...values: RequestValues<RequestSignature<C>>
  ) => Maybe<ReplyValues<ReplySignature<C>>>;
};
