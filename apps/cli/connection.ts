import { existsSync, readFileSync } from "node:fs";
import { CasemateError } from "@casemate/foundation/errors";
import { readRunning } from "@casemate/server/data-directory";
import { createClient, type Client } from "@casemate/sdk";
import { notReachable, usage } from "./failure.ts";
import { contentOf } from "./files.ts";
import type { Session } from "./session.ts";
import { nodeTransport, type Target } from "./transport.ts";

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

function parseUrl(text: string): URL {
  if (!URL.canParse(text))
    throw usage(`${text} is not a URL`, "Write it as http://localhost:8730 or https://host:port.");
  const url = new URL(text);
  if (url.protocol === "https:" || (url.protocol === "http:" && LOOPBACK.has(url.hostname))) return url;
  throw usage(`${text} would send the token unencrypted`, "Use https:// for anything but this machine.");
}

/** What can stand in a header (RFC 6750 §2.1); tokens have no other characters. */
const TOKEN = /^[\x21-\x7e]+$/;

const NAME_ONE = "Name a file with an API token, alone on one line, by --token-file or $CASEMATE_TOKEN_FILE.";
/** Of the file that the server keeps for the owner of the data directory. */
const RENEW = "Move it away and start the server again: it writes a new token there and revokes the one before.";

function readToken(file: string, own: boolean): string {
  const refuse = (what: string, cause?: unknown): CasemateError =>
    new CasemateError("UNAUTHENTICATED", `the token file ${file} ${what}`, { hint: own ? RENEW : NAME_ONE, cause });
  let token: string;
  try {
    token = readFileSync(file, "utf8").trim();
  } catch (error) {
    throw refuse(`cannot be read: ${(error as Error).message}`, error);
  }
  if (token === "") throw refuse("is empty");
  if (!TOKEN.test(token)) throw refuse("holds no token: no token has such characters");
  return token;
}

/** Whether a process of this account has that id: while our server lives, nobody else can have its port. */
function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The server that was named by its address, if one was. */
export function namedUrl(session: Session): string | undefined {
  const given = session.options.url ?? session.env["CASEMATE_URL"];
  return given === "" ? undefined : given;
}

/** Where to send requests. `local` is our own server of this data directory. */
export function findServer(session: Session): Target & { readonly local: boolean } {
  const given = namedUrl(session);
  const running = readRunning(session.paths);
  const caFile = session.options.caFile ?? session.env["CASEMATE_CA_FILE"];
  const ca = caFile === undefined ? {} : { ca: contentOf(caFile).toString("utf8") };
  if (given !== undefined) {
    const url = parseUrl(given);
    const local = running !== undefined && new URL(running.url).origin === url.origin && alive(running.pid);
    return { where: url.origin, url, local, ...ca };
  }
  const { socket } = session.paths;
  if (existsSync(socket)) return { where: socket, url: new URL("http://localhost"), socketPath: socket, local: true };
  if (running !== undefined && running.socket === undefined) {
    return { where: running.url, url: new URL(running.url), local: true, ...ca };
  }
  throw notReachable(socket, undefined);
}

/** A client for what needs no token, such as health; it asks once. */
export function anonymous(target: Target): Client {
  return createClient({ transport: nodeTransport(target), retry: { attempts: 1 } });
}

/** Our own token goes to our own server only; any other address needs a token file of its own. */
export function connect(session: Session, connections = 0): Client {
  const { local, ...target } = findServer(session);
  const given = session.options.tokenFile ?? session.env["CASEMATE_TOKEN_FILE"];
  const file = given !== undefined && given !== "" ? given : local ? session.paths.adminToken : undefined;
  if (file === undefined) {
    throw new CasemateError("UNAUTHENTICATED", `no token was given for ${target.where}`, {
      hint: NAME_ONE,
    });
  }
  return createClient({
    transport: nodeTransport(target, connections),
    token: readToken(file, file === session.paths.adminToken),
    retry: { attempts: 3 },
  });
}
