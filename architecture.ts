/**
 * Who may import whom, as data. Read by oxlint.config.ts (lint rules) and tests/architecture.test.ts.
 * A pattern names a unit `layer/unit`; `*` stands for every unit of the layer. Not listed is forbidden.
 */
export interface LayerRule {
  /** Files the rule is about, relative to the repository. */
  readonly files: readonly string[];
  /** Units (as imported, without the scope) these files may import. */
  readonly may: readonly string[];
  /** `node:` modules these files may import; "any" leaves them free. */
  readonly node: readonly string[] | "any";
  /** npm packages these files may import. */
  readonly npm?: readonly string[];
  readonly why: string;
}

const foundation = (...units: string[]): string[] => units.map((unit) => `foundation/${unit}`);
const anyFoundation = foundation("bytes", "codec", "errors", "secrets", "effects");

export const LAYERS: readonly LayerRule[] = [
  { files: ["packages/foundation/bytes/**"], may: [], node: [], why: "bytes is the lowest unit" },
  { files: ["packages/foundation/errors/**"], may: [], node: [], why: "errors stands alone" },
  {
    files: ["packages/foundation/codec/**"],
    may: foundation("bytes", "errors"),
    node: [],
    why: "codecs are pure",
  },
  {
    files: ["packages/foundation/secrets/**"],
    may: foundation("bytes", "errors"),
    node: ["node:crypto", "node:util"],
    why: "constant-time comparison and redaction",
  },
  {
    files: ["packages/foundation/effects/**"],
    may: foundation("bytes", "errors"),
    node: ["node:crypto"],
    why: "clock, random and store are ports; their system versions live here",
  },
  {
    files: ["packages/foundation/ffi/**"],
    may: foundation("bytes", "errors"),
    node: ["node:ffi", "node:process", "node:os", "node:crypto"],
    why: "the one room for unsafe calls",
  },
  {
    files: ["packages/foundation/processors/**"],
    may: [],
    node: ["node:fs", "node:os"],
    why: "how idle processors wait is asked of the kernel through one file",
  },
  {
    files: ["packages/protocols/**"],
    may: [...anyFoundation, "protocols/tlv", "protocols/cbor", "protocols/asn1"],
    node: [],
    why: "codecs do no I/O and keep no state",
  },
  {
    files: ["packages/devices/contract/**"],
    may: anyFoundation,
    node: [],
    why: "no wire types above the driver line",
  },
  {
    files: ["packages/devices/boundary/guest/**"],
    may: [...anyFoundation, "foundation/ffi", "protocols/*"],
    node: "any",
    why: "the half of boundary that runs inside the boundary process",
  },
  {
    files: ["packages/devices/boundary/**"],
    may: [...anyFoundation, "foundation/ffi", "devices/contract", "protocols/*"],
    node: "any",
    why: "launcher and supervisor: processes and sockets, no device logic",
  },
  {
    files: ["packages/devices/virtual-*/**"],
    may: [...anyFoundation, "foundation/ffi", "protocols/*", "devices/boundary/guest"],
    node: ["node:crypto", "node:process"],
    why: "a virtual device meets its driver only through bytes",
  },
  {
    files: ["packages/devices/driver-*/**"],
    may: [
      ...anyFoundation,
      "foundation/processors",
      "protocols/*",
      "devices/contract",
      "devices/boundary",
      "devices/boundary/guest",
    ],
    node: "any",
    npm: ["pkcs11js"],
    why: "a driver never knows its virtual twin",
  },
  {
    files: ["packages/keyring/**"],
    may: [...anyFoundation, "devices/contract", "keyring/*"],
    node: "any",
    npm: ["@cedar-policy/cedar-wasm"],
    why: "the core knows devices by their contract alone",
  },
  {
    files: ["packages/interfaces/**"],
    may: [
      ...anyFoundation,
      "foundation/ffi",
      "foundation/processors",
      "keyring/core",
      "devices/contract",
      "protocols/*",
    ],
    node: "any",
    npm: ["fastify", "typebox"],
    why: "decode, use case, encode: never a driver",
  },
  {
    files: ["packages/sdk/**"],
    may: [],
    node: [],
    why: "generated from the OpenAPI document; runs in browsers too",
  },
  {
    files: ["packages/sdk/node/**"],
    may: ["sdk"],
    node: ["node:http"],
    why: "transports that only Node has",
  },
];

/** Composition roots: the only places that name drivers, virtual devices and interfaces together. */
export const ROOTS = [
  "apps/**",
  "tests/**",
  "tools/**",
  "benchmarks/**",
  "examples/**",
  "packages/testkit/**",
] as const;

/** Test files may also use the test kit and what their contract test is about. */
export const TEST_FILES = ["**/*.test.ts"] as const;

export const LIMITS = { linesPerFile: 400, runTimePackages: 100 } as const;
