/** Where pkcs11js is: never among the dependencies, since it is compiled when it is installed. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { CasemateError } from "@casemate/foundation/errors";
import manifest from "../package.json" with { type: "json" };

/** npm's own installing runs no scripts of packages where it is told so: this one is compiled by such a script. */
export const INSTALL = `npm install --no-save --ignore-scripts=false pkcs11js@${manifest.peerDependencies.pkcs11js}`;

/** Directory of the package. `given` is a directory named by the configuration. @throws CONFIG_INVALID when there is none. */
export function findAddon(given: string | undefined): string {
  if (given !== undefined) {
    if (existsSync(join(given, "package.json"))) return given;
    throw new CasemateError("CONFIG_INVALID", `there is no pkcs11js package in ${given}`, {
      hint: `Name the directory that holds pkcs11js's package.json; there is one after \`${INSTALL}\`.`,
    });
  }
  try {
    return dirname(createRequire(import.meta.url).resolve("pkcs11js/package.json"));
  } catch (cause) {
    throw new CasemateError("CONFIG_INVALID", "real HSMs need the npm package pkcs11js, which is not installed", {
      cause,
      hint: `Install it beside Casemate with \`${INSTALL}\` (it is compiled: a C++ compiler, make and Python are needed), or name its directory by --addon.`,
    });
  }
}
