// Two devices over one token, through two module libraries: each would think that the keys in it are its own.
import type { DeviceConfig } from "./devices-file.ts";

/** What a device says of itself, as far as it tells tokens apart. */
export interface TokenIdentity {
  readonly maker: string;
  readonly model: string;
  readonly serial: string;
  readonly virtual: boolean;
}

interface Configured {
  readonly config: DeviceConfig;
  readonly identity: TokenIdentity;
}

/** The other device whose token is that of `one`: of the same label, maker, model and serial number. Without a serial number nobody knows. */
export function twinOf(one: Configured, others: Iterable<Configured>): string | undefined {
  const { maker, model, serial, virtual } = one.identity;
  const label = one.config["token"];
  if (virtual || serial === "" || label === undefined) return undefined;
  for (const { config, identity } of others) {
    const same = identity.serial === serial && identity.maker === maker && identity.model === model;
    if (same && config["token"] === label && config.id !== one.config.id) return config.id;
  }
  return undefined;
}
