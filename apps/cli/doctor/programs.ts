import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Environment } from "@casemate/server/data-directory";
import type { Check, Finding } from "./finding.ts";

interface Program {
  /** A command on the path, or an absolute path or pattern of a library. */
  readonly name: string;
  readonly package: string;
  readonly use: string;
}

/** Independent programs that the interop tests, and users, put beside Casemate. Debian's package names. */
const PROGRAMS: readonly Program[] = [
  { name: "openssl", package: "openssl", use: "checks signatures with another program's code" },
  { name: "pkcs11-tool", package: "opensc", use: "uses Casemate as a PKCS#11 token" },
  { name: "p11tool", package: "gnutls-bin", use: "uses Casemate as a PKCS#11 token" },
  { name: "softhsm2-util", package: "softhsm2", use: "a PKCS#11 device to attach" },
  { name: "ssh-keygen", package: "openssh-client", use: "keys by PKCS#11" },
  { name: "keytool", package: "openjdk-17-jre-headless", use: "Java by PKCS#11" },
  { name: "certutil", package: "libnss3-tools", use: "NSS by PKCS#11" },
  { name: "osslsigncode", package: "osslsigncode", use: "code signing by PKCS#11" },
];

const CLIENT_MODULES = ["x86_64-linux-gnu", "aarch64-linux-gnu", ""].map((triple) =>
  join("/usr/lib", triple, "pkcs11/p11-kit-client.so"),
);

function onPath(name: string, env: Environment): string | undefined {
  for (const directory of (env["PATH"] ?? "").split(delimiter)) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      continue;
    }
  }
  return undefined;
}

function finding({ name, package: from, use }: Program, path: string | undefined): Finding {
  if (path !== undefined) return { about: name, state: "ok", found: path };
  return { about: name, state: "note", found: `not installed (${use})`, hint: `apt install ${from}` };
}

export const programs: Check = {
  about: "programs",
  look: ({ env }) => [
    finding(
      { name: "p11-kit-client.so", package: "p11-kit-modules", use: "brings PKCS#11 programs to Casemate" },
      CLIENT_MODULES.find((path) => existsSync(path)),
    ),
    ...PROGRAMS.map((program) => finding(program, onPath(program.name, env))),
  ],
};
