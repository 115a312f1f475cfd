/** Writes docs/pkcs11-matrix.md: mechanism × p11-kit client version × where the key is. `--check` only compares. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AlgorithmSupport } from "@casemate/devices/contract";
import { CLIENT_VERSIONS, deviceUse, MECHANISMS, type DeviceUse } from "@casemate/interfaces/pkcs11";
import { ALGORITHMS, KEY_ALGORITHM_NAMES } from "@casemate/protocols/hsm";

const FILE = join(import.meta.dirname, "../docs/pkcs11-matrix.md");

const REMARKS: Readonly<Record<string, string>> = {
  RSA_X_509: "device keys sign and recover, they do not decrypt without padding",
  RSA_PKCS_OAEP:
    "device keys decrypt with SHA-1, SHA-256, SHA-384, SHA-512 as far as the device has them (SoftHSM: SHA-1 without a label); session keys with SHA-224, too",
  AES_GCM: "device keys decrypt; they make the nonce themselves when encrypting, which PKCS #11 2.40 cannot express",
  GENERIC_SECRET_KEY_GEN: "device keys have 32, 48 or 64 bytes and do the HMAC of that size",
  RSA_PKCS_KEY_PAIR_GEN: "device keys have 2048, 3072 or 4096 bits; smaller session keys from 1024 on are made, too",
};

/** What a token of a real module said and showed when asked: the interop tests compare it with the module installed. */
function recorded(title: string, name: string) {
  const file = join(import.meta.dirname, "../fixtures/pkcs11-devices", `${name}.json`);
  const { firmware, algorithms } = JSON.parse(readFileSync(file, "utf8")) as {
    readonly firmware: string;
    readonly algorithms: readonly AlgorithmSupport[];
  };
  return { title: `${title} ${firmware}`, algorithms };
}

const devices: readonly { readonly title: string; readonly algorithms: readonly AlgorithmSupport[] }[] = [
  {
    title: "the virtual HSM",
    algorithms: KEY_ALGORITHM_NAMES.map((algorithm) => {
      const { usages, sign, cipher, mac, wrap } = ALGORITHMS[algorithm];
      return { algorithm, usages, sign, cipher, mac, wrap };
    }),
  },
  recorded("SoftHSM", "softhsm2"),
  recorded("opencryptoki's soft token", "opencryptoki"),
];

const MARK: Readonly<Record<DeviceUse, string>> = { yes: "yes", part: "partly", no: "–" };

/** The document as it ought to be. */
export function matrix(): string {
  const versions = CLIENT_VERSIONS.toReversed();
  const head = [
    "mechanism",
    ...versions.map(({ name }) => `client ${name}`),
    ...devices.map(({ title }) => `key in ${title}`),
    "session key",
    "remark",
  ];
  const rows = [...MECHANISMS.values()].map((row) => [
    `CKM_${row.name}`,
    ...versions.map((version) => (version.carries(row.type) ? "yes" : "hidden")),
    ...devices.map(({ algorithms }) => (row.keyTypes.length === 0 ? "no key" : MARK[deviceUse(row, algorithms)])),
    row.keyTypes.length === 0 ? "no key" : row.wrap === undefined ? "yes" : "–",
    REMARKS[row.name] ?? "",
  ]);
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return `# PKCS#11 mechanisms

Made by \`node tools/pkcs11-matrix.ts\`; do not edit.

A mechanism is of use to an application when its p11-kit client carries it (Debian 12 has 0.24.1) **and** the key is where it works.
\`casemate pkcs11 doctor\` says which client is installed. What a client hides works over REST, the SDK and the command line.
HSMs behind \`driver-pkcs11\` are tried when they are connected, so other modules and versions have other columns: \`casemate device show\` has theirs.

${line(head)}
${line(head.map(() => "---"))}
${rows.map(line).join("\n")}
`;
}

if (import.meta.main) {
  const wanted = matrix();
  if (process.argv.includes("--check")) {
    process.exitCode = readFileSync(FILE, "utf8") === wanted ? 0 : 1;
  } else writeFileSync(FILE, wanted);
}
