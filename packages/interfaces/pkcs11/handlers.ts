// The table of all calls: one handler each, typed by the signatures of the protocol.
import type {
  CallName,
  ReplySignature,
  ReplyValues,
  RequestSignature,
  RequestValues,
} from "@casemate/protocols/p11-rpc";
import type { Application } from "./application.ts";
import { cipherCalls } from "./calls/cipher.ts";
import { createCalls } from "./calls/create.ts";
import { digestCalls } from "./calls/digest.ts";
import { dualCalls } from "./calls/dual.ts";
import { generalCalls } from "./calls/general.ts";
import { keyCalls } from "./calls/keys.ts";
import { messageCalls } from "./calls/message.ts";
import { objectCalls } from "./calls/objects.ts";
import { recoverCalls } from "./calls/recover.ts";
import { sessionCalls } from "./calls/sessions.ts";
import { signCalls } from "./calls/sign.ts";
import { slotCalls } from "./calls/slots.ts";
import { tokenCalls } from "./calls/tokens.ts";
import { verifyCalls } from "./calls/verify.ts";
import { wrapCalls } from "./calls/wrap.ts";
import type { Maybe } from "./context.ts";

export type Handler<N extends CallName> = (
  application: Application,
  ...values: RequestValues<RequestSignature<N>>
) => Maybe<ReplyValues<ReplySignature<N>>>;

export type Handlers = { readonly [N in CallName]: Handler<N> };

export const HANDLERS: Handlers = {
  ...generalCalls,
  ...slotCalls,
  ...tokenCalls,
  ...sessionCalls,
  ...objectCalls,
  ...createCalls,
  ...cipherCalls,
  ...digestCalls,
  ...signCalls,
  ...recoverCalls,
  ...verifyCalls,
  ...dualCalls,
  ...keyCalls,
  ...wrapCalls,
  ...messageCalls,
};
