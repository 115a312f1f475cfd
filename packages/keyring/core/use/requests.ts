// What is asked of keys in use, and what is answered.
import type { CipherScheme, InputKind, Many, SignScheme } from "@casemate/devices/contract";

export interface UseResult<T> {
  readonly version: number;
  readonly scheme: string;
  readonly results: Many<T>;
  readonly warnings: readonly string[];
}

export interface MayBeBatch {
  /** The answer has one result per item, also where the only one failed; else a request of one item fails as a whole. */
  readonly batch?: boolean;
  /** Further items of the batch, which the interface could not read and answers by itself: the record counts them as failed. */
  readonly unread?: number;
}

export interface SignRequest extends MayBeBatch {
  readonly scheme?: SignScheme;
  readonly version?: number;
  readonly kind: InputKind;
  readonly inputs: readonly Uint8Array[];
}

export interface VerifyRequest extends MayBeBatch {
  readonly scheme?: SignScheme;
  readonly version?: number;
  readonly kind: InputKind;
  readonly items: readonly { readonly input: Uint8Array; readonly signature: Uint8Array }[];
}

export interface EncryptRequest extends MayBeBatch {
  readonly scheme?: CipherScheme;
  /** The device's bare ciphertext, without the key version in front. */
  readonly raw?: boolean;
  readonly version?: number;
  readonly items: readonly { readonly data: Uint8Array; readonly context?: Uint8Array; readonly iv?: Uint8Array }[];
}

/** Ciphertexts of `encrypt` carry their key version; `decrypt` finds it. `raw` ciphertexts come from elsewhere and need `version`. */
export interface DecryptRequest extends MayBeBatch {
  readonly scheme?: CipherScheme;
  /** The items are bare ciphertexts; `version` is then required. */
  readonly raw?: boolean;
  readonly version?: number;
  readonly items: readonly { readonly data: Uint8Array; readonly context?: Uint8Array }[];
}
