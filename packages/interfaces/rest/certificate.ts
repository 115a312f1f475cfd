// RFC 5280: a self-made TLS server certificate (X.509 v3, ECDSA P-256 with SHA-256), kept and renewed in a directory.
import { CasemateError } from "@casemate/foundation/errors";
import type { Clock } from "@casemate/foundation/effects";
import { createHash, generateKeyPairSync, randomBytes, sign, X509Certificate } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { bitString, element, integer, objectId, octetString, sequence, SET, time, utf8String } from "./der.ts";

const DAY_MS = 86_400_000;
/** What browsers and Apple's platforms accept at most is 398 days. */
const LIFETIME_DAYS = 397;
const RENEW_BEFORE_DAYS = 30;
/** Clients whose clock is a little behind. */
const BACKDATE_MS = 60 * 60 * 1000;

const OID = {
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  commonName: "2.5.4.3",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
} as const;

export interface ServerCertificate {
  /** PEM. */
  readonly certificate: string;
  /** PKCS#8 PEM. */
  readonly key: string;
  /** SHA-256 of the certificate, upper-case hexadecimal with colons. */
  readonly fingerprint: string;
  /** ISO 8601. */
  readonly expiresAt: string;
  readonly created: boolean;
}

/** RFC 5280 §4.2.1.6: iPAddress is the address in network order. @throws CONFIG_INVALID for a host that is neither. */
function generalName(host: string): Uint8Array {
  const family = isIP(host);
  if (family === 4) return element(0x87, Uint8Array.from(host.split(".").map(Number)));
  if (family === 6) return element(0x87, ipv6(host));
  if (!/^(?=.{1,253}$)[A-Za-z0-9*]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(host)) {
    throw new CasemateError("CONFIG_INVALID", `${host.slice(0, 100)} is no host name that a certificate can carry`);
  }
  return element(0x82, new TextEncoder().encode(host));
}

function ipv6(host: string): Uint8Array {
  // The URL parser writes every form, embedded IPv4 included, as plain groups.
  const plain = new URL(`http://[${host}]`).hostname.slice(1, -1);
  const [head = "", tail] = plain.split("::");
  const groups = (text: string | undefined): number[] =>
    text === undefined || text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
  const front = groups(head);
  const back = groups(tail);
  const all = [...front, ...Array.from({ length: 8 - front.length - back.length }, () => 0), ...back];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

function extension(id: string, critical: boolean, value: Uint8Array): Uint8Array {
  const flag = critical ? [element(0x01, Uint8Array.of(0xff))] : [];
  return sequence(objectId(id), ...flag, octetString(value));
}

/** A new key and its certificate for the hosts, valid from an hour ago for 397 days. */
export function makeCertificate(
  hosts: readonly string[],
  now: number,
): { readonly certificate: string; readonly key: string } {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  // RFC 7093 §2 method 1: the leftmost 160 bits of a SHA-256, here of the whole SPKI.
  const keyId = createHash("sha256").update(spki).digest().subarray(0, 20);
  const algorithm = sequence(objectId(OID.ecdsaWithSha256));
  const commonName = (hosts[0] ?? "casemate").slice(0, 64);
  const name = sequence(element(SET, sequence(objectId(OID.commonName), utf8String(commonName))));
  const serial = randomBytes(16);
  // The top bit stays clear so that the number is positive, the next is set so that it never starts with zeros.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const extensions = sequence(
    extension(OID.basicConstraints, true, sequence()),
    // digitalSignature alone, seven bits unused.
    extension(OID.keyUsage, true, bitString(Uint8Array.of(0x80), 7)),
    extension(OID.extendedKeyUsage, false, sequence(objectId(OID.serverAuth))),
    extension(OID.subjectAltName, false, sequence(...hosts.map(generalName))),
    extension(OID.subjectKeyIdentifier, false, octetString(keyId)),
    extension(OID.authorityKeyIdentifier, false, sequence(element(0x80, keyId))),
  );
  const start = now - BACKDATE_MS;
  const tbs = sequence(
    element(0xa0, integer(Uint8Array.of(2))),
    integer(serial),
    algorithm,
    name,
    sequence(time(start), time(start + LIFETIME_DAYS * DAY_MS)),
    name,
    spki,
    element(0xa3, extensions),
  );
  const der = sequence(tbs, algorithm, bitString(sign("sha256", tbs, privateKey)));
  const lines = Buffer.from(der)
    .toString("base64")
    .replaceAll(/.{64}(?=.)/g, "$&\n");
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

function covers(certificate: X509Certificate, host: string): boolean {
  return (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined;
}

/** Both PEMs in one file, so that they change together. */
const FILE = "server.pem";
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n/;
const KEY = /-----BEGIN PRIVATE KEY-----[^-]*-----END PRIVATE KEY-----\n/;

function kept(path: string, hosts: readonly string[], now: number): Omit<ServerCertificate, "created"> | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  const certificate = CERTIFICATE.exec(text)?.[0];
  const key = KEY.exec(text)?.[0];
  if (certificate === undefined || key === undefined) return undefined;
  try {
    const parsed = new X509Certificate(certificate);
    const expires = parsed.validToDate.getTime();
    const fresh = expires - now > RENEW_BEFORE_DAYS * DAY_MS && parsed.validFromDate.getTime() <= now;
    if (!fresh || !hosts.every((host) => covers(parsed, host))) return undefined;
    return { certificate, key, fingerprint: parsed.fingerprint256, expiresAt: new Date(expires).toISOString() };
  } catch {
    // A damaged file is replaced.
    return undefined;
  }
}

function write(directory: string, path: string, text: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const temporary = `${path}.new`;
  const file = openSync(temporary, "w", 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
}

/**
 * The certificate kept in `directory` when it covers all hosts and has more than 30 days left, else a new one, which is kept.
 * @throws CONFIG_INVALID for a host that a certificate cannot carry, STORAGE_FAILED when it cannot be written.
 */
export function serverCertificate(options: {
  readonly directory: string;
  readonly hosts: readonly string[];
  readonly clock: Clock;
}): ServerCertificate {
  const { directory, hosts, clock } = options;
  const path = join(directory, FILE);
  const now = clock.now();
  const found = kept(path, hosts, now);
  if (found !== undefined) return { ...found, created: false };
  const made = makeCertificate(hosts, now);
  try {
    write(directory, path, made.certificate + made.key);
  } catch (cause) {
    throw new CasemateError("STORAGE_FAILED", `the TLS certificate cannot be kept in ${directory}`, { cause });
  }
  const parsed = new X509Certificate(made.certificate);
  return {
    ...made,
    fingerprint: parsed.fingerprint256,
    expiresAt: parsed.validToDate.toISOString(),
    created: true,
  };
}
