import { readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { systemClock } from "@casemate/foundation/effects";
import { CasemateError } from "@casemate/foundation/errors";
import type { DataPaths } from "./data-directory.ts";
import { isEveryAddress, isLoopback, type RunOptions } from "./options.ts";

export interface TlsMaterial {
  readonly certificate: string;
  readonly key: string;
  /** What to tell the user about a certificate made here. */
  readonly remark?: string;
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new CasemateError("CONFIG_INVALID", `${file} cannot be read: ${(error as Error).message}`, {
      hint: "Give readable PEM files by --tls-cert and --tls-key.",
      cause: error,
    });
  }
}

/** The files that were named, a certificate made here and kept in the data directory, or nothing on loopback. */
export async function tlsMaterial({ tls, listen }: RunOptions, paths: DataPaths): Promise<TlsMaterial | undefined> {
  if (tls !== undefined) return { certificate: read(tls.cert), key: read(tls.key) };
  return isLoopback(listen.host) ? undefined : tlsFor(tls, listen.host, paths);
}

/** The files that were named, or a certificate made here and kept in the data directory. */
export async function tlsFor(tls: RunOptions["tls"], name: string, paths: DataPaths): Promise<TlsMaterial> {
  if (tls !== undefined) return { certificate: read(tls.cert), key: read(tls.key) };
  const { serverCertificate } = await import("@casemate/interfaces/rest");
  const hosts = [...new Set([name, hostname(), "localhost", "127.0.0.1"])].filter((host) => !isEveryAddress(host));
  const { certificate, key, fingerprint } = serverCertificate({ directory: paths.tls, hosts, clock: systemClock });
  const forClients = join(paths.tls, "certificate.pem");
  writeFileSync(forClients, certificate, { mode: 0o644 });
  return { certificate, key, remark: `clients trust this server by --ca-file ${forClients} (SHA-256 ${fingerprint})` };
}
