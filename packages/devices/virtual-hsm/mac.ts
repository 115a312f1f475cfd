/** Message authentication: HMAC (FIPS 198-1) and AES-CMAC (SP 800-38B). */
import * as crypto from "node:crypto";
import type { KeyObject } from "node:crypto";
import { constantTimeEqual } from "@casemate/foundation/secrets";
import type { CheckMacRequest, MacRequest, MacScheme } from "@casemate/protocols/hsm";
import type { LoadedKey } from "./loaded-key.ts";
import { refuse } from "./refuse.ts";
import type { Scheduler } from "./scheduler.ts";

/** New in Node 26 and not yet in its type declarations. */
interface WithMac {
  createMac(
    name: string,
    key: KeyObject,
    options: { readonly cipher: string },
  ): { update(data: Uint8Array): { final(): Uint8Array } };
}

const hmac =
  (name: string) =>
  (key: LoadedKey): ((input: Uint8Array) => Uint8Array) => {
    const secret = key.secret;
    return (input) => crypto.createHmac(name, secret).update(input).digest();
  };

const MACS: Readonly<Record<MacScheme, (key: LoadedKey) => (input: Uint8Array) => Uint8Array>> = {
  "hmac-sha256": hmac("sha256"),
  "hmac-sha384": hmac("sha384"),
  "hmac-sha512": hmac("sha512"),
  "aes-cmac": (key) => {
    const options = { cipher: `aes-${key.row.size}-cbc` };
    return (input) => (crypto as unknown as WithMac).createMac("cmac", key.secret, options).update(input).final();
  },
};

function macFor(key: LoadedKey, scheme: MacScheme): (input: Uint8Array) => Uint8Array {
  key.require("mac");
  if (key.row.mac.includes(scheme)) return MACS[scheme](key);
  throw refuse(
    "NOT_SUPPORTED",
    `${key.algorithm} does not make ${scheme}`,
    key.row.mac.length > 0 ? `Its scheme is ${key.row.mac.join(", ")}.` : "Use an HMAC or AES key.",
  );
}

type Answers<T> = (T | Error)[] | Promise<(T | Error)[]>;

export function macMany(key: LoadedKey, request: MacRequest, scheduler: Scheduler): Answers<Uint8Array> {
  return scheduler.each(request.inputs, macFor(key, request.scheme));
}

export function checkMany(key: LoadedKey, request: CheckMacRequest, scheduler: Scheduler): Answers<boolean> {
  const compute = macFor(key, request.scheme);
  return scheduler.each(request.items, ({ input, mac }) => constantTimeEqual(compute(input), mac));
}
