import type { KeyAlgorithm, Usage } from "@casemate/devices/contract";

/** A key inside a device, made there by others or by Casemate. */
export interface DeviceObjectView {
  readonly label: string;
  readonly id: string;
  readonly algorithm?: KeyAlgorithm;
  readonly usages: readonly Usage[];
  readonly publicKey?: Uint8Array;
  /** Name and version of the key in the catalogue, where it is there already. */
  readonly adoptedAs?: string;
  readonly version?: number;
  /** It is another key than the one in the catalogue, put in its place. */
  readonly replaced?: true;
}
