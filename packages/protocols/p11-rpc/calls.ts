// Implements: p11-kit RPC, the calls of p11-kit/rpc-message.h of 0.24 to 0.26 (protocol versions 0, 1 and 2).
import type { RpcVersion } from "./limits.ts";
import { splitSignature, type Letter } from "./signature.ts";

/** Name: number, signature of the request, signature of the reply, first protocol version that has it. */
const ROWS = {
  C_Initialize: [1, "ayyay", "", 0],
  C_Finalize: [2, "", "", 0],
  C_GetInfo: [3, "", "vsusv", 0],
  C_GetSlotList: [4, "yfu", "au", 0],
  C_GetSlotInfo: [5, "u", "ssuvv", 0],
  C_GetTokenInfo: [6, "u", "ssssuuuuuuuuuuuvvs", 0],
  C_GetMechanismList: [7, "ufu", "au", 0],
  C_GetMechanismInfo: [8, "uu", "uuu", 0],
  C_InitToken: [9, "uayz", "", 0],
  C_OpenSession: [10, "uu", "u", 0],
  C_CloseSession: [11, "u", "", 0],
  C_CloseAllSessions: [12, "u", "", 0],
  C_GetSessionInfo: [13, "u", "uuuu", 0],
  C_InitPIN: [14, "uay", "", 0],
  C_SetPIN: [15, "uayay", "", 0],
  C_GetOperationState: [16, "ufy", "ay", 0],
  C_SetOperationState: [17, "uayuu", "", 0],
  C_Login: [18, "uuay", "", 0],
  C_Logout: [19, "u", "", 0],
  C_CreateObject: [20, "uaA", "u", 0],
  C_CopyObject: [21, "uuaA", "u", 0],
  C_DestroyObject: [22, "uu", "", 0],
  C_GetObjectSize: [23, "uu", "u", 0],
  C_GetAttributeValue: [24, "uufA", "aAu", 0],
  C_SetAttributeValue: [25, "uuaA", "", 0],
  C_FindObjectsInit: [26, "uaA", "", 0],
  C_FindObjects: [27, "ufu", "au", 0],
  C_FindObjectsFinal: [28, "u", "", 0],
  C_EncryptInit: [29, "uMu", "", 0],
  C_Encrypt: [30, "uayfy", "ay", 0],
  C_EncryptUpdate: [31, "uayfy", "ay", 0],
  C_EncryptFinal: [32, "ufy", "ay", 0],
  C_DecryptInit: [33, "uMu", "", 0],
  C_Decrypt: [34, "uayfy", "ay", 0],
  C_DecryptUpdate: [35, "uayfy", "ay", 0],
  C_DecryptFinal: [36, "ufy", "ay", 0],
  C_DigestInit: [37, "uM", "", 0],
  C_Digest: [38, "uayfy", "ay", 0],
  C_DigestUpdate: [39, "uay", "", 0],
  C_DigestKey: [40, "uu", "", 0],
  C_DigestFinal: [41, "ufy", "ay", 0],
  C_SignInit: [42, "uMu", "", 0],
  C_Sign: [43, "uayfy", "ay", 0],
  C_SignUpdate: [44, "uay", "", 0],
  C_SignFinal: [45, "ufy", "ay", 0],
  C_SignRecoverInit: [46, "uMu", "", 0],
  C_SignRecover: [47, "uayfy", "ay", 0],
  C_VerifyInit: [48, "uMu", "", 0],
  C_Verify: [49, "uayay", "", 0],
  C_VerifyUpdate: [50, "uay", "", 0],
  C_VerifyFinal: [51, "uay", "", 0],
  C_VerifyRecoverInit: [52, "uMu", "", 0],
  C_VerifyRecover: [53, "uayfy", "ay", 0],
  C_DigestEncryptUpdate: [54, "uayfy", "ay", 0],
  C_DecryptDigestUpdate: [55, "uayfy", "ay", 0],
  C_SignEncryptUpdate: [56, "uayfy", "ay", 0],
  C_DecryptVerifyUpdate: [57, "uayfy", "ay", 0],
  C_GenerateKey: [58, "uMaA", "u", 0],
  C_GenerateKeyPair: [59, "uMaAaA", "uu", 0],
  C_WrapKey: [60, "uMuufy", "ay", 0],
  C_UnwrapKey: [61, "uMuayaA", "u", 0],
  C_DeriveKey: [62, "uMuaA", "u", 0],
  C_SeedRandom: [63, "uay", "", 0],
  C_GenerateRandom: [64, "ufy", "ay", 0],
  C_WaitForSlotEvent: [65, "u", "u", 0],
  C_LoginUser: [66, "uuayay", "", 1],
  C_SessionCancel: [67, "uu", "", 1],
  C_MessageEncryptInit: [68, "uMu", "", 1],
  C_EncryptMessage: [69, "uayayayfy", "ay", 1],
  C_EncryptMessageBegin: [70, "uayay", "", 1],
  C_EncryptMessageNext: [71, "uayayfyu", "ay", 1],
  C_MessageEncryptFinal: [72, "u", "", 1],
  C_MessageDecryptInit: [73, "uMu", "", 1],
  C_DecryptMessage: [74, "uayayayfy", "ay", 1],
  C_DecryptMessageBegin: [75, "uayay", "", 1],
  C_DecryptMessageNext: [76, "uayayfyu", "ay", 1],
  C_MessageDecryptFinal: [77, "u", "", 1],
  C_MessageSignInit: [78, "uMu", "", 1],
  C_SignMessage: [79, "uayayfy", "ay", 1],
  C_SignMessageBegin: [80, "uay", "", 1],
  C_SignMessageNext: [81, "uayayyfy", "ay", 1],
  C_MessageSignFinal: [82, "u", "", 1],
  C_MessageVerifyInit: [83, "uMu", "", 1],
  C_VerifyMessage: [84, "uayayay", "", 1],
  C_VerifyMessageBegin: [85, "uay", "", 1],
  C_VerifyMessageNext: [86, "uayayay", "", 1],
  C_MessageVerifyFinal: [87, "u", "", 1],
  C_InitToken2: [88, "uays", "", 1],
  C_DeriveKey2: [89, "uMuaA", "uPu", 2],
} as const satisfies Record<string, readonly [number, string, string, RpcVersion]>;

export type CallName = keyof typeof ROWS;
export type RequestSignature<N extends CallName> = (typeof ROWS)[N][1];
export type ReplySignature<N extends CallName> = (typeof ROWS)[N][2];

/** One remote call: what goes in and what comes out. */
export interface CallRow {
  readonly name: CallName;
  readonly id: number;
  readonly request: string;
  readonly reply: string;
  readonly requestLetters: readonly Letter[];
  readonly replyLetters: readonly Letter[];
  readonly since: RpcVersion;
}

export const CALLS: readonly CallRow[] = Object.entries(ROWS).map(([name, [id, request, reply, since]]) => ({
  name: name as CallName,
  id,
  request,
  reply,
  requestLetters: splitSignature(request),
  replyLetters: splitSignature(reply),
  since,
}));

const byId: ReadonlyMap<number, CallRow> = new Map(CALLS.map((row) => [row.id, row]));
const byName: ReadonlyMap<string, CallRow> = new Map(CALLS.map((row) => [row.name, row]));

/** The call of an untrusted number, if this version has it. */
export function callById(id: number, version: RpcVersion): CallRow | undefined {
  const row = byId.get(id);
  return row !== undefined && row.since <= version ? row : undefined;
}

export function callNamed(name: CallName): CallRow {
  const row = byName.get(name);
  if (row === undefined) throw new TypeError(`no call ${name}`);
  return row;
}

/** The number of an answer that is an error. */
export const ERROR_CALL = 0;
