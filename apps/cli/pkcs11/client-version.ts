import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { CLIENT_VERSIONS, type ClientVersion } from "@casemate/interfaces/pkcs11";

/** Where distributions put p11-kit's client module. */
const PLACES = [
  "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
  "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
  "/usr/lib64/pkcs11/p11-kit-client.so",
  "/usr/lib/pkcs11/p11-kit-client.so",
  "/usr/local/lib/pkcs11/p11-kit-client.so",
] as const;

export interface InstalledClient {
  readonly module: string | undefined;
  /** As the package or the program says it, e.g. 0.24.1. */
  readonly version: string | undefined;
  /** What a client of this version lets through. */
  readonly row: ClientVersion | undefined;
}

function output(program: string, args: readonly string[]): string | undefined {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], timeout: 5000 });
  } catch {
    return undefined;
  }
}

/** Programs that know which p11-kit is installed, and how they say it. */
const SOURCES: readonly (readonly [string, readonly string[]])[] = [
  ["p11-kit", ["--version"]],
  ["pkg-config", ["--modversion", "p11-kit-1"]],
  ["dpkg-query", ["-W", "-f=${Version}", "p11-kit-modules"]],
  ["rpm", ["-q", "--qf", "%{VERSION}", "p11-kit"]],
];

/** The installed p11-kit client and what it hides. `module` may be named by the user. */
export function installedClient(module?: string): InstalledClient {
  const found = module ?? PLACES.find((place) => existsSync(place));
  let version: string | undefined;
  for (const [program, args] of SOURCES) {
    version ??= /\d+\.\d+(?:\.\d+)?/.exec(output(program, args) ?? "")?.[0];
  }
  const minor = version === undefined ? undefined : Number(version.split(".")[1]);
  const row = minor === undefined ? undefined : CLIENT_VERSIONS.find((candidate) => minor >= candidate.minor);
  return { module: found, version, row };
}
