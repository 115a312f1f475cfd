/** A token's PIN, kept encrypted to an RSA key in a virtual HSM: whatever unlocks that HSM unlocks the token. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Pkcs11Options } from "@casemate/devices/driver-pkcs11";
import { fromBase64, toBase64, toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError, asCasemateError, isCasemateError } from "@casemate/foundation/errors";
import { SecretBytes } from "@casemate/foundation/secrets";
import type { DataPaths } from "../data-directory.ts";
import type { DeviceLog, FindVirtualHsm } from "./driver.ts";

interface KeptPin {
  /** Id of the virtual HSM. */
  readonly root: string;
  /** Label of the token whose PIN it is: an id may come to mean another one, and a wrong PIN is not to be tried there. */
  readonly token: string;
  /** Reference of its key, base64. */
  readonly ref: string;
  /** Base64; absent until a person has unlocked the token. */
  readonly pin?: string;
}

/** Errors of the virtual HSM that pass: the token is tried again until then. Any other means that the PIN cannot be had from it. */
const PASSING: ReadonlySet<string> = new Set([
  "DEVICE_ABSENT",
  "DEVICE_LOCKED",
  "DEVICE_RESTARTED",
  "TIMEOUT",
  "UNAVAILABLE",
]);

function read(path: string): KeptPin | undefined {
  if (!existsSync(path)) return undefined;
  try {
    const { root, token, ref, pin } = JSON.parse(readFileSync(path, "utf8")) as Partial<KeptPin>;
    if (typeof root !== "string" || typeof token !== "string" || typeof ref !== "string") return undefined;
    return { root, token, ref, ...(typeof pin === "string" ? { pin } : {}) };
  } catch {
    return undefined;
  }
}

/** Replaces the file at once, so that a crash leaves the old or the new one. */
function write(path: string, kept: KeptPin): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.new`, `${JSON.stringify(kept)}\n`, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}

export interface KeptPinOptions {
  /** The token's device. */
  readonly id: string;
  /** The token's label. */
  readonly token: string;
  /** The virtual HSM. */
  readonly root: string;
  readonly paths: DataPaths;
  readonly find: FindVirtualHsm;
  readonly log: DeviceLog;
}

export function keptPin(options: KeptPinOptions): Required<Pick<Pkcs11Options, "pin" | "keeper" | "pinSource">> {
  const { id, token, root, paths, find, log } = options;
  const path = paths.keptPin(id);
  const label = toUtf8(`casemate pin ${id}`);
  const ours = (): KeptPin | undefined => {
    const kept = read(path);
    return kept?.root === root && kept.token === token ? kept : undefined;
  };
  return {
    pinSource: `PIN kept by ${root}`,
    async pin() {
      const { ref, pin } = ours() ?? {};
      if (ref === undefined || pin === undefined) return undefined;
      try {
        const device = await find(root);
        const items = [{ data: fromBase64(pin), context: label }];
        const [plain] = (await device.cipher?.decrypt(fromBase64(ref), "rsa-oaep-sha256", items)) ?? [];
        if (plain instanceof Uint8Array) return SecretBytes.take(plain);
        throw plain ?? new CasemateError("NOT_SUPPORTED", `${root} does not decrypt`);
      } catch (cause) {
        const { code, message } = asCasemateError(cause);
        const what = `the PIN is kept by ${root}: ${message}`;
        if (PASSING.has(code)) throw new CasemateError("DEVICE_ABSENT", what, { cause });
        log(`${what}; a person has to give it again`);
        return undefined;
      }
    },
    keeper: {
      label,
      async recipient() {
        const { keys } = await find(root);
        const kept = ours();
        if (kept !== undefined) {
          try {
            return await keys.publicKey(fromBase64(kept.ref));
          } catch (error) {
            // An HSM that was zeroized or replaced does not know its key any more.
            if (isCasemateError(error) && PASSING.has(error.code)) throw error;
          }
        }
        const spec = { algorithm: "rsa-2048", usages: ["encrypt"], exportable: false } as const;
        const { ref, publicKey } = await keys.generate({ ...spec, label: `casemate-pin-${id}` });
        write(path, { root, token, ref: toBase64(ref) });
        return publicKey ?? keys.publicKey(ref);
      },
      keep(encrypted) {
        const kept = ours();
        if (kept === undefined) return Promise.reject(new CasemateError("CONFLICT", `${path} was changed meanwhile`));
        write(path, { ...kept, pin: toBase64(encrypted) });
        return Promise.resolve();
      },
    },
  };
}
