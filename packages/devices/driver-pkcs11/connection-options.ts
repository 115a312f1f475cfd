/** What a connection to a token is made with. */
import type { SecretBytes } from "@casemate/foundation/secrets";

export interface TimeLimits {
  /** One use of a key, or a batch of them. */
  readonly useMs: number;
  /** Making a key: smart cards take minutes for a large RSA key. */
  readonly generateMs: number;
  /** Loading the module, finding the token, logging in. */
  readonly connectMs: number;
}

export type PinSource = () => Promise<SecretBytes | undefined>;

/** Another device that keeps the PIN encrypted, so that it is known at the next start: nobody but the vendor host sees it plain meanwhile. */
export interface PinKeeper {
  /** SPKI of the device's RSA key. @throws when the device is not ready. */
  recipient(): Promise<Uint8Array>;
  /** OAEP label: what the PIN is for. */
  readonly label: Uint8Array;
  keep(encrypted: Uint8Array): Promise<void>;
}

export interface ConnectionOptions {
  readonly entry: string;
  readonly addon: string;
  readonly module: string;
  readonly token: string;
  readonly threads: number;
  readonly environment: Readonly<Record<string, string>>;
  /** Asked for at every connection; absent, or undefined, when a person unlocks the token. */
  readonly pin?: PinSource;
  /** The source may answer another PIN later, as a file that was corrected does: it is asked again while the token is locked. */
  readonly pinMayChange?: boolean;
  /** Gets the PIN of each unlocking by a person. */
  readonly keeper?: PinKeeper;
  readonly limits: TimeLimits;
  readonly backoffMs: { readonly first: number; readonly most: number };
  readonly healthEveryMs: number;
  readonly log?: (line: string) => void;
  onState(state: "operational" | "locked" | "absent", detail: string): void;
}
