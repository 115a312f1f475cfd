// Implements: C_Sign and C_Verify for HMAC (FIPS 198-1) and AES-CMAC (SP 800-38B).
import type { MacScheme } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import { CKK, CKR } from "@casemate/protocols/p11-rpc";
import { MAC_ROWS } from "../algorithms.ts";
import { hasRv } from "../status.ts";
import type { Handlers } from "../wire.ts";
import { buffer, eachItem, mustAllow, withKey } from "./batch.ts";
import type { Key, KeyStore } from "./keys.ts";
import type { Lane } from "./lane.ts";

const MAX_MAC = 128;

function mechanismOf(lane: Lane, key: Key, scheme: MacScheme): { readonly mechanism: number; readonly bytes: number } {
  const mechanism = lane.plan.mac(scheme);
  const fits = key.keyType === CKK.AES ? scheme === "aes-cmac" : key.algorithm === scheme;
  if (mechanism === undefined || !fits)
    throw new CasemateError("NOT_SUPPORTED", `${key.algorithm} keys of this token make no ${scheme}`);
  mustAllow(key.may.sign, "authenticate");
  return { mechanism, bytes: MAC_ROWS.get(scheme)?.bytes ?? 0 };
}

export function macHandlers(lane: Lane, keys: KeyStore): Pick<Handlers, "mac" | "checkMac"> {
  const { cryptoki, session } = lane;
  const out = Buffer.alloc(MAX_MAC);
  return {
    mac: ({ ref, scheme, inputs }) =>
      withKey(keys, ref, (key) => {
        const { mechanism, bytes } = mechanismOf(lane, key, scheme);
        return eachItem(inputs, (input) =>
          session.run((open) => {
            cryptoki.C_SignInit(open, { mechanism }, key.handle);
            const mac = cryptoki.C_Sign(open, buffer(input), out);
            if (mac.length === bytes) return Uint8Array.from(mac);
            throw new CasemateError("DEVICE_FAILED", `the token gave ${mac.length} bytes as ${scheme}, not ${bytes}`);
          }),
        );
      }),
    checkMac: ({ ref, scheme, items }) =>
      withKey(keys, ref, (key) => {
        const { mechanism, bytes } = mechanismOf(lane, key, scheme);
        return eachItem(
          items,
          ({ input, mac }) =>
            mac.length === bytes &&
            session.run((open) => {
              cryptoki.C_VerifyInit(open, { mechanism }, key.handle);
              return cryptoki.C_Verify(open, buffer(input), buffer(mac));
            }),
          (error) => (hasRv(error, CKR.SIGNATURE_INVALID, CKR.SIGNATURE_LEN_RANGE) ? false : undefined),
        );
      }),
  };
}
