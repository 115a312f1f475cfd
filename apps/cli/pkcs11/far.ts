import { readFileSync } from "node:fs";
import { connect as connectPlain, isIP } from "node:net";
import { connect as connectTls } from "node:tls";
import { CasemateError } from "@casemate/foundation/errors";
import { usage } from "../failure.ts";
import type { Session } from "../session.ts";
import type { Far } from "./bridge.ts";

const GREETING = "casemate-pkcs11 1";
const WAIT_MS = 10_000;

/** A server on this machine, by its socket. */
export function localFar(path: string): () => Promise<Far> {
  return () =>
    new Promise((resolve, reject) => {
      const stream = connectPlain(path);
      stream.once("error", reject);
      stream.once("connect", () => {
        stream.off("error", reject);
        resolve({ stream, close: () => stream.destroy() });
      });
    });
}

interface NamedFiles {
  readonly tokenFile: string;
  readonly caFile?: string;
}

/** The files that a bridge to a server elsewhere needs. @throws UNAUTHENTICATED when none is named for the token. */
export function namedFiles({ options, env }: Session): NamedFiles {
  const tokenFile = options.tokenFile ?? env["CASEMATE_TOKEN_FILE"];
  if (tokenFile === undefined || tokenFile === "") {
    throw new CasemateError("UNAUTHENTICATED", "a remote server asks for an API token before it answers", {
      hint: "Name a file with one by --token-file or $CASEMATE_TOKEN_FILE.",
    });
  }
  const caFile = options.caFile ?? env["CASEMATE_CA_FILE"];
  return { tokenFile, ...(caFile === undefined || caFile === "" ? {} : { caFile }) };
}

/** @throws a usage error for what is not HOST:PORT. */
export function remoteAddress(address: string): { readonly host: string; readonly port: number } {
  const url = URL.canParse(`tls://${address}`) ? new URL(`tls://${address}`) : undefined;
  if (url === undefined || url.port === "" || url.host !== address.toLowerCase())
    throw usage(`${address} is not HOST:PORT`);
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port) };
}

/** OpenSSL's words for a certificate that nobody vouches for. */
const NOT_VOUCHED_FOR: ReadonlySet<string> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

function inWords(error: Error, address: string, caFile: string | undefined): Error {
  if (!("code" in error) || !NOT_VOUCHED_FOR.has(String(error.code))) return error;
  const wanted =
    caFile === undefined ? "signed by no authority of this machine" : `neither the one in ${caFile} nor signed by it`;
  return new Error(
    `the certificate of ${address} is ${wanted} (${String(error.code)}): name the server's own by --ca-file, after making sure that it is the server's`,
    { cause: error },
  );
}

/** A server elsewhere: TLS 1.3, its certificate checked, an API token first. */
export function remoteFar(session: Session, address: string): () => Promise<Far> {
  const { host, port } = remoteAddress(address);
  const { tokenFile, caFile } = namedFiles(session);
  const token = readFileSync(tokenFile, "utf8").trim();
  const ca = caFile === undefined ? {} : { ca: readFileSync(caFile, "utf8") };
  return () =>
    new Promise((resolve, reject) => {
      // RFC 6066 §3: a server name is never an address; the certificate is checked against the address all the same.
      const named = isIP(host) === 0 ? { servername: host } : {};
      const stream = connectTls({ host, port, ...named, minVersion: "TLSv1.3", ...ca });
      const timer = setTimeout(() => stream.destroy(new Error("no answer in time")), WAIT_MS);
      const closed = (): void => {
        clearTimeout(timer);
        reject(new Error("the server closed the connection before it answered"));
      };
      const failed = (error: Error): void => reject(inWords(error, address, caFile));
      stream.once("error", failed);
      stream.once("close", closed);
      stream.once("secureConnect", () => stream.write(`${GREETING} ${token}\n`));
      stream.once("data", (answer: Buffer) => {
        clearTimeout(timer);
        stream.off("error", failed);
        stream.off("close", closed);
        if (answer.toString("latin1") === "ok\n") resolve({ stream, close: () => stream.destroy() });
        else {
          stream.destroy();
          reject(new Error("the server refused the token"));
        }
      });
    });
}
