// Implements: PKCS #11 v3.0 §5.9, §5.11, §5.13.3 and §5.15.3, message-based operations: not offered, and said so.
import type { CallName } from "@casemate/protocols/p11-rpc";
import type { Application } from "../application.ts";
import { failure } from "../status.ts";
import type { Calls } from "./types.ts";

/** No mechanism of ours has the CKF_MESSAGE_* flags, so there is nothing to start; the session must still exist. */
function refuse(application: Application, handle: number): never {
  application.session(handle);
  throw failure("FUNCTION_NOT_SUPPORTED");
}

type MessageCall = Extract<
  CallName,
  `C_Message${string}` | `${string}Message` | `${string}MessageBegin` | `${string}MessageNext`
>;

export const messageCalls: Calls<MessageCall> = {
  C_MessageEncryptInit: refuse,
  C_EncryptMessage: refuse,
  C_EncryptMessageBegin: refuse,
  C_EncryptMessageNext: refuse,
  C_MessageEncryptFinal: refuse,
  C_MessageDecryptInit: refuse,
  C_DecryptMessage: refuse,
  C_DecryptMessageBegin: refuse,
  C_DecryptMessageNext: refuse,
  C_MessageDecryptFinal: refuse,
  C_MessageSignInit: refuse,
  C_SignMessage: refuse,
  C_SignMessageBegin: refuse,
  C_SignMessageNext: refuse,
  C_MessageSignFinal: refuse,
  C_MessageVerifyInit: refuse,
  C_VerifyMessage: refuse,
  C_VerifyMessageBegin: refuse,
  C_VerifyMessageNext: refuse,
  C_MessageVerifyFinal: refuse,
};
