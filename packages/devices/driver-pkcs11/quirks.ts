/** Where modules leave the standard or each other, as data. A row applies when every pattern that it names matches. */
import { CKM } from "@casemate/protocols/p11-rpc";

/** What C_GetInfo and C_GetTokenInfo say, without padding. */
export interface ModuleFacts {
  readonly library: string;
  readonly manufacturer: string;
  readonly model: string;
}

export interface Quirks {
  /** The mechanism that is RFC 5649 key wrap. */
  readonly kwp?: number;
  /** ECDH takes the peer's point as a DER OCTET STRING. The standard's own text is a raw point. */
  readonly wrappedPeerPoint?: boolean;
  /** The module makes GCM nonces itself and writes them over the zeros that it is given. */
  readonly moduleMakesNonces?: boolean;
  /** Mechanisms that are listed and do not work. */
  readonly without?: readonly number[];
  /** Session objects are not to be had, so curves cannot be tried at start. */
  readonly noSessionObjects?: boolean;
  /** It computes on this machine's processors: more threads than those gain a key nothing. */
  readonly software?: boolean;
  /** Calls from several threads are not safe, whatever C_Initialize says. */
  readonly oneThread?: boolean;
}

interface QuirkRow {
  readonly library?: RegExp;
  readonly manufacturer?: RegExp;
  readonly model?: RegExp;
  readonly why: string;
  readonly quirks: Quirks;
}

const SOFTWARE = "it computes on this machine's processors, so single signatures with one key share messages";

export const QUIRK_ROWS: readonly QuirkRow[] = [
  { manufacturer: /SoftHSM/, why: SOFTWARE, quirks: { software: true } },
  { model: /^IBM SoftTok/, why: SOFTWARE, quirks: { software: true } },
  {
    manufacturer: /SoftHSM/,
    why: "its CKM_AES_KEY_WRAP_PAD is RFC 5649; CKM_AES_KEY_WRAP_KWP is not there",
    quirks: { kwp: CKM.AES_KEY_WRAP_PAD },
  },
  {
    manufacturer: /SoftHSM/,
    why: "it does not show the public half of private keys on curves, so that those which were wrapped do not come back into it; RSA, AES and HMAC keys do",
    quirks: {},
  },
];

/** All that applies, later rows over earlier ones. */
export function quirksOf(facts: ModuleFacts): { readonly quirks: Quirks; readonly reasons: readonly string[] } {
  const rows = QUIRK_ROWS.filter(({ library, manufacturer, model }) =>
    [
      [library, facts.library],
      [manufacturer, facts.manufacturer],
      [model, facts.model],
    ].every(([pattern, text]) => pattern === undefined || (pattern as RegExp).test(text as string)),
  );
  return {
    quirks: Object.assign({}, ...rows.map(({ quirks }) => quirks)) as Quirks,
    reasons: rows.map(({ why }) => why),
  };
}
