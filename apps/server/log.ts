import { pino, type Logger } from "pino";
import { openLogStream } from "./log-stream.ts";
import type { LogLevel } from "./options.ts";

export type Log = Logger;

/** Names under which something secret or a payload could ever be put: never written, wherever they stand. */
const SECRET_NAMES = [
  "token",
  "authorization",
  "pin",
  "passphrase",
  "password",
  "secret",
  "sealed",
  "plaintext",
  "input",
  "data",
  "body",
  "wrapped",
  "bytes",
];

/** JSON lines to a file (mode 0600) or, for `-`, to standard error. @throws CONFIG_INVALID. */
export function openLog(destination: string, level: LogLevel): Log {
  const paths = SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: [...paths, 'req.headers["authorization"]'], censor: "[redacted]" },
    },
    openLogStream(destination),
  );
}
