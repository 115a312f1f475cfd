import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { Device, DeviceEvent, DeviceIdentity, DeviceState } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import { LIMITS } from "@casemate/protocols/hsm";
import { findAddon } from "./addon-package.ts";
import { Connection } from "./connection.ts";
import type { PinKeeper, PinSource, TimeLimits } from "./connection-options.ts";
import { vendorEnvironment } from "./environment.ts";
import * as facets from "./facets.ts";

const DEFAULT_SESSIONS = 4;
const MOST_SESSIONS = 32;
const DEFAULT_LIMITS: TimeLimits = { useMs: 30_000, generateMs: 300_000, connectMs: 60_000 };
const BACKOFF_MS = { first: 50, most: 30_000 };
const HEALTH_EVERY_MS = 15_000;

export interface Pkcs11Options {
  readonly id: string;
  /** The maker's library: an absolute path, or a name for the system's own search. */
  readonly module: string;
  /** Label of the token. */
  readonly token: string;
  /** The user PIN, asked for at every connection and wiped after use. Absent or undefined: a person unlocks the device. */
  readonly pin?: PinSource;
  /** Whether the PIN source is asked again, now and then, after its PIN was refused. A refused PIN is never tried again. */
  readonly pinMayChange?: boolean;
  readonly keeper?: PinKeeper;
  /** Where the PIN comes from, as `device show` says it. */
  readonly pinSource?: string;
  /** Sessions, each with a thread of its own: how many operations run side by side. 1 to 32, default 4. */
  readonly sessions?: number;
  readonly limits?: Partial<TimeLimits>;
  /** Pause before the first and the longest before further attempts to connect. */
  readonly backoffMs?: { readonly first: number; readonly most: number };
  readonly healthEveryMs?: number;
  /** Directory of the pkcs11js package, when it is not where Node looks. */
  readonly addon?: string;
  /** Variables for the module, beyond those that makers are known to use. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly log?: (line: string) => void;
}

function notesOf(connection: Connection): string[] {
  const { plan, facts } = connection;
  if (plan === undefined || facts === undefined) return [];
  const { refused, withoutLabel } = plan.fields;
  return [
    `${facts.library}, in a process of its own: a crash or a stall of it does not touch the server. It runs unconfined, since it must reach its HSM.`,
    "Keys are made sensitive; whether they are safe in this token is for its maker to show.",
    ...(plan.algorithms.some(({ cipher }) => cipher.includes("aes-gcm"))
      ? [
          plan.quirks.moduleMakesNonces === true
            ? "Nonces of AES-GCM are made by the token."
            : "Nonces of AES-GCM are 96 random bits made by the vendor host: rotate a key well before 2^32 messages.",
        ]
      : []),
    ...(refused.length === 0
      ? []
      : [`Its mechanisms promise these, and it refused them when tried: ${refused.join(", ")}.`]),
    ...(withoutLabel.length === 0
      ? []
      : [`RSA-OAEP takes no label here, so encryption binds no context in: ${withoutLabel.join(", ")}.`]),
    ...plan.reasons.map((why) => `Known of this module: ${why}.`),
  ];
}

/**
 * Opens a token of an HSM through its maker's PKCS#11 module. A token that is not there yet is sought on and on, and a PIN that is
 * refused is never tried again by itself: both resolve, with the device absent or locked.
 * @throws CONFIG_INVALID when pkcs11js is not installed, or the module is missing or none.
 */
export async function openPkcs11Device(options: Pkcs11Options): Promise<Device> {
  const { id, module, token, sessions = DEFAULT_SESSIONS } = options;
  if (!Number.isInteger(sessions) || sessions < 1 || sessions > MOST_SESSIONS)
    throw new CasemateError("CONFIG_INVALID", `device ${id}: 1 to ${MOST_SESSIONS} sessions, not ${sessions}`);
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  /** With the state that each heard of last: a token that is sought in vain stays absent, and that is no news. */
  const listeners = new Map<(event: DeviceEvent) => void, DeviceState | undefined>();
  const connection = await Connection.open({
    entry: fileURLToPath(new URL("./host/main.ts", import.meta.url)),
    addon: findAddon(options.addon),
    module,
    token,
    threads: sessions,
    environment: vendorEnvironment(process.env, options.environment),
    limits,
    backoffMs: options.backoffMs ?? BACKOFF_MS,
    healthEveryMs: options.healthEveryMs ?? HEALTH_EVERY_MS,
    ...(options.pin === undefined ? {} : { pin: options.pin }),
    ...(options.pinMayChange === undefined ? {} : { pinMayChange: options.pinMayChange }),
    ...(options.keeper === undefined ? {} : { keeper: options.keeper }),
    ...(options.log === undefined ? {} : { log: options.log }),
    onState(state, detail) {
      for (const [listener, heard] of listeners) {
        if (heard === state) continue;
        listeners.set(listener, state);
        listener({ kind: "state", state, detail });
      }
    },
  });
  let closing: Promise<void> | undefined;

  return {
    get identity(): DeviceIdentity {
      const { facts } = connection;
      return {
        id,
        kind: "hsm",
        maker: facts?.maker ?? "unknown",
        model: facts?.model ?? basename(module),
        serial: facts?.serial ?? "",
        firmware: facts?.firmware ?? "",
        virtual: false,
        certifications: [],
      };
    },
    get algorithms() {
      return connection.plan?.algorithms ?? [];
    },
    status: () => {
      const { state, detail, counters, pid } = connection;
      return Promise.resolve({
        state,
        ...(detail === undefined ? {} : { detail }),
        counters,
        notes: notesOf(connection),
        rootOfTrust: options.pinSource ?? (options.pin === undefined ? "pin" : "pin-file"),
        ...(pid === undefined ? {} : { pid }),
      });
    },
    async random(length) {
      if (!Number.isInteger(length) || length < 1 || length > LIMITS.random)
        throw new CasemateError("BAD_REQUEST", `1 to ${LIMITS.random} random bytes at once, not ${length}`);
      return (await connection.call("random", { length })).bytes.slice();
    },
    keys: facets.keysFacet(connection, limits),
    sign: facets.signFacet(connection),
    cipher: facets.cipherFacet(connection),
    mac: facets.macFacet(connection),
    agree: facets.agreeFacet(connection),
    wrap: facets.wrapFacet(connection),
    dataKeys: facets.dataKeysFacet(connection),
    objects: facets.objectsFacet(connection, limits),
    unlock: {
      async challenge() {
        const { publicKey, signature, signer } = await connection.challenge();
        return { publicKey: publicKey.slice(), signature: signature.slice(), signer: signer.slice() };
      },
      unlock: (sealed) => connection.unlock(sealed),
      lock: () => connection.lock(),
    },
    watch: {
      watch(listener) {
        listeners.set(listener, undefined);
        return () => listeners.delete(listener);
      },
    },
    close: () => (closing ??= connection.stop()),
  };
}
