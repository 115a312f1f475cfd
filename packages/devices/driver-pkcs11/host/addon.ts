/** The part of pkcs11js that the vendor host uses. It is no dependency: the program goes without it until a real HSM is added. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { CasemateError } from "@casemate/foundation/errors";
import { INSTALL } from "../addon-package.ts";
import { ModuleError } from "../status.ts";

export type Handle = Buffer;
export interface Attribute {
  readonly type: number;
  readonly value?: Buffer | number | boolean | string;
}
export interface Mechanism {
  readonly mechanism: number;
  readonly parameter?: Buffer | object;
}

/** pkcs11js's own class, as far as it is used. Every method throws its Pkcs11Error for a value other than CKR_OK. */
interface RawModule {
  load(path: string): void;
  C_Initialize(options?: { readonly flags: number }): void;
  C_Finalize(): void;
  C_GetInfo(): {
    readonly manufacturerID: string;
    readonly libraryDescription: string;
    readonly libraryVersion: Version;
  };
  C_GetSlotList(tokenPresent: boolean): Handle[];
  C_GetTokenInfo(slot: Handle): TokenInfo;
  C_GetMechanismList(slot: Handle): number[];
  C_GetMechanismInfo(
    slot: Handle,
    mechanism: number,
  ): { readonly minKeySize: number; readonly maxKeySize: number; readonly flags: number };
  C_OpenSession(slot: Handle, flags: number): Handle;
  C_CloseSession(session: Handle): void;
  C_GetSessionInfo(session: Handle): { readonly state: number };
  C_Login(session: Handle, user: number, pin: string): void;
  C_Logout(session: Handle): void;
  C_CreateObject(session: Handle, template: readonly Attribute[]): Handle;
  C_DestroyObject(session: Handle, object: Handle): void;
  C_FindObjectsInit(session: Handle, template: readonly Attribute[]): void;
  C_FindObjects(session: Handle, most: number): Handle[];
  C_FindObjectsFinal(session: Handle): void;
  C_GetAttributeValue(
    session: Handle,
    object: Handle,
    template: readonly Attribute[],
  ): { readonly type: number; readonly value: Buffer }[];
  C_SignInit(session: Handle, mechanism: Mechanism, key: Handle): void;
  C_Sign(session: Handle, data: Buffer, out: Buffer): Buffer;
  C_VerifyInit(session: Handle, mechanism: Mechanism, key: Handle): void;
  C_Verify(session: Handle, data: Buffer, signature: Buffer): boolean;
  C_EncryptInit(session: Handle, mechanism: Mechanism, key: Handle): void;
  C_Encrypt(session: Handle, data: Buffer, out: Buffer): Buffer;
  C_DecryptInit(session: Handle, mechanism: Mechanism, key: Handle): void;
  C_Decrypt(session: Handle, data: Buffer, out: Buffer): Buffer;
  C_GenerateKey(session: Handle, mechanism: Mechanism, template: readonly Attribute[]): Handle;
  C_GenerateKeyPair(
    session: Handle,
    mechanism: Mechanism,
    publicTemplate: readonly Attribute[],
    privateTemplate: readonly Attribute[],
  ): { readonly publicKey: Handle; readonly privateKey: Handle };
  C_WrapKey(session: Handle, mechanism: Mechanism, wrapping: Handle, key: Handle, out: Buffer): Buffer;
  C_UnwrapKey(
    session: Handle,
    mechanism: Mechanism,
    unwrapping: Handle,
    wrapped: Buffer,
    template: readonly Attribute[],
  ): Handle;
  C_DeriveKey(session: Handle, mechanism: Mechanism, key: Handle, template: readonly Attribute[]): Handle;
  C_GenerateRandom(session: Handle, out: Buffer): Buffer;
}

interface Version {
  readonly major: number;
  readonly minor: number;
}

export interface TokenInfo {
  readonly label: string;
  readonly manufacturerID: string;
  readonly model: string;
  readonly serialNumber: string;
  readonly flags: number;
  readonly maxSessionCount: number;
  readonly maxRwSessionCount: number;
  readonly firmwareVersion: Version;
}

export type Cryptoki = Omit<RawModule, "load">;

export interface Addon {
  /** Parameter kinds, told apart by number. */
  readonly params: { readonly pss: number; readonly oaep: number; readonly ecdh: number; readonly gcm: number };
  /** Loads a maker's library. @throws CONFIG_INVALID for what is no PKCS#11 module. */
  load(path: string): Cryptoki;
}

interface RawAddon {
  readonly PKCS11: new () => RawModule;
  readonly CK_PARAMS_RSA_PSS: number;
  readonly CK_PARAMS_RSA_OAEP: number;
  readonly CK_PARAMS_EC_DH: number;
  readonly CK_PARAMS_AES_GCM_v240: number;
}

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** `CKR_DEVICE_ERROR:48`, as the native part writes it. */
const NATIVE_TEXT = /CKR_\w+:(\d+)|^\w*:(\d+)$/m;

/** pkcs11js puts the return value into `code`, or leaves it in the text; anything else is a bug on this side of it. */
function translate(error: unknown, call: string): unknown {
  if (!(error instanceof Error)) return error;
  const { code } = error as { readonly code?: unknown };
  const rv =
    typeof code === "number" && code > 0 ? code : Number(NATIVE_TEXT.exec(error.message)?.slice(1).find(Boolean));
  return Number.isSafeInteger(rv) && rv > 0 ? new ModuleError(rv, call) : error;
}

const CALLS = [
  "C_Initialize",
  "C_Finalize",
  "C_GetInfo",
  "C_GetSlotList",
  "C_GetTokenInfo",
  "C_GetMechanismList",
  "C_GetMechanismInfo",
  "C_OpenSession",
  "C_CloseSession",
  "C_GetSessionInfo",
  "C_Login",
  "C_Logout",
  "C_CreateObject",
  "C_DestroyObject",
  "C_FindObjectsInit",
  "C_FindObjects",
  "C_FindObjectsFinal",
  "C_GetAttributeValue",
  "C_SignInit",
  "C_Sign",
  "C_VerifyInit",
  "C_Verify",
  "C_EncryptInit",
  "C_Encrypt",
  "C_DecryptInit",
  "C_Decrypt",
  "C_GenerateKey",
  "C_GenerateKeyPair",
  "C_WrapKey",
  "C_UnwrapKey",
  "C_DeriveKey",
  "C_GenerateRandom",
] as const satisfies readonly (keyof Cryptoki)[];

function translated(raw: RawModule): Cryptoki {
  const calls = CALLS.map((name) => {
    const native = raw[name].bind(raw) as (...args: unknown[]) => unknown;
    const call = (...args: unknown[]): unknown => {
      try {
        return native(...args);
      } catch (error) {
        throw translate(error, name);
      }
    };
    return [name, call] as const;
  });
  return Object.fromEntries(calls) as unknown as Cryptoki;
}

/** @throws CONFIG_INVALID when the package in `directory` cannot be loaded. */
export function loadAddon(directory: string): Addon {
  let raw: RawAddon;
  try {
    raw = createRequire(join(directory, "package.json"))(directory) as RawAddon;
  } catch (cause) {
    throw new CasemateError("CONFIG_INVALID", `pkcs11js in ${directory} cannot be loaded: ${message(cause)}`, {
      cause,
      hint: `Install it again with its build step: \`${INSTALL}\`.`,
    });
  }
  return {
    params: {
      pss: raw.CK_PARAMS_RSA_PSS,
      oaep: raw.CK_PARAMS_RSA_OAEP,
      ecdh: raw.CK_PARAMS_EC_DH,
      gcm: raw.CK_PARAMS_AES_GCM_v240,
    },
    load(path) {
      const module = new raw.PKCS11();
      try {
        module.load(path);
      } catch (cause) {
        throw new CasemateError("CONFIG_INVALID", `${path} is not a PKCS#11 module: ${message(cause)}`, {
          cause,
          hint: "Give the library that the HSM's maker calls its PKCS#11 or Cryptoki module.",
        });
      }
      return translated(module);
    },
  };
}
