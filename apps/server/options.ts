import { parseArgs } from "node:util";
import { CasemateError } from "@casemate/foundation/errors";

export interface Address {
  readonly host: string;
  readonly port: number;
}

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const AUDIT_DURABILITIES = ["durable", "relaxed"] as const;
export type AuditDurability = (typeof AUDIT_DURABILITIES)[number];

/** What may unlock a virtual HSM. */
export const ROOT_KINDS = ["key-file", "passphrase"] as const;
export type RootKind = (typeof ROOT_KINDS)[number];

export interface RunOptions {
  /** Data directory, absolute. */
  readonly data: string;
  readonly listen: Address;
  /** Also serve `casemate pkcs11 bridge --remote` here, by TLS. */
  readonly pkcs11Listen?: Address;
  /** When a use of a key through PKCS#11 is answered: once its audit record is on the disk, or once the kernel has it. */
  readonly pkcs11Audit: AuditDurability;
  /** PEM files; absent on loopback means plain HTTP, elsewhere a certificate made by itself. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Origins of web pages that may call the REST interface. */
  readonly allowOrigins: readonly string[];
  /** JSON log: a file, `-` for standard error; absent means server.log in the data directory. */
  readonly log?: string;
  readonly logLevel: LogLevel;
  /** What unlocks hsm-1, on the first run alone. */
  readonly root?: RootKind;
  /** Accept stored rows that can no longer be verified, once, and seal them anew. */
  readonly reseal: boolean;
  /** Go on with a log that is older than what a device has witnessed, once. */
  readonly acceptOlderLog: boolean;
  /** Announce in JSON. */
  readonly json: boolean;
}

export const DEFAULT_ADDRESS: Address = { host: "localhost", port: 8730 };
export const DEFAULT_LOG_LEVEL: LogLevel = "info";
export const DEFAULT_AUDIT_DURABILITY: AuditDurability = "relaxed";
const LOOPBACK = new Set(["localhost", "127.0.0.1", "::1"]);

/** Addresses that mean every interface: no client can name them. */
export function isEveryAddress(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

export function isLoopback(host: string): boolean {
  return LOOPBACK.has(host);
}

function wrong(message: string, hint: string): CasemateError {
  return new CasemateError("CONFIG_INVALID", message, { hint, details: { usage: true } });
}

/** `HOST:PORT`, `[IPv6]:PORT`, `:PORT` or `PORT`. Port 0 takes a free one. @throws CONFIG_INVALID. */
export function parseAddress(text: string): Address {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw wrong(
      `${text} is no address to listen at`,
      "Write --listen HOST:PORT, for example localhost:8730 or [::1]:8730.",
    );
  }
  return { host: match[1] ?? (match[2] || DEFAULT_ADDRESS.host), port };
}

/** @throws CONFIG_INVALID unless it is a scheme, a host and perhaps a port, and nothing else. */
function parseOrigin(text: string): string {
  const url = URL.parse(text);
  if (url !== null && url.origin === text && ["http:", "https:"].includes(url.protocol)) return text;
  throw wrong(
    `${text} is no origin of web pages`,
    "Write scheme, host and port as browsers do, for example https://app.example or http://localhost:5173.",
  );
}

function among<const T extends string>(option: string, value: string, words: readonly T[]): T {
  const found = words.find((word) => word === value);
  if (found === undefined) throw wrong(`${option} takes ${words.join(", ")}, not ${value}`, "Correct the option.");
  return found;
}

/** The server process's own arguments, as `casemate up` writes them. @throws CONFIG_INVALID. */
export function parseOptions(argv: readonly string[]): RunOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      data: { type: "string" },
      listen: { type: "string" },
      "pkcs11-listen": { type: "string" },
      "pkcs11-audit": { type: "string" },
      "tls-cert": { type: "string" },
      "tls-key": { type: "string" },
      "allow-origin": { type: "string", multiple: true },
      log: { type: "string" },
      "log-level": { type: "string" },
      root: { type: "string" },
      reseal: { type: "boolean" },
      "accept-older-log": { type: "boolean" },
      json: { type: "boolean" },
    },
  });
  const { data, listen, log, root } = values;
  const cert = values["tls-cert"];
  const key = values["tls-key"];
  if (data === undefined) throw wrong("no data directory is named", "Start the server by `casemate up`.");
  if ((cert === undefined) !== (key === undefined)) {
    throw wrong("--tls-cert and --tls-key go together", "Name both files, or neither.");
  }
  return {
    data,
    listen: listen === undefined ? DEFAULT_ADDRESS : parseAddress(listen),
    ...(values["pkcs11-listen"] === undefined ? {} : { pkcs11Listen: parseAddress(values["pkcs11-listen"]) }),
    pkcs11Audit: among("--pkcs11-audit", values["pkcs11-audit"] ?? DEFAULT_AUDIT_DURABILITY, AUDIT_DURABILITIES),
    ...(cert === undefined || key === undefined ? {} : { tls: { cert, key } }),
    allowOrigins: (values["allow-origin"] ?? []).map(parseOrigin),
    ...(log === undefined ? {} : { log }),
    logLevel: among("--log-level", values["log-level"] ?? DEFAULT_LOG_LEVEL, LOG_LEVELS),
    ...(root === undefined ? {} : { root: among("--root", root, ROOT_KINDS) }),
    reseal: values.reseal === true,
    acceptOlderLog: values["accept-older-log"] === true,
    json: values.json === true,
  };
}
