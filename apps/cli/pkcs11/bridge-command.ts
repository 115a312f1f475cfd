/** The command by which p11-kit starts the bridge, as one line that p11-kit takes apart again. */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { CasemateError } from "@casemate/foundation/errors";
import { usage } from "../failure.ts";
import type { Session } from "../session.ts";
import { namedFiles, remoteAddress } from "./far.ts";

/** No line of an environment or a module file can hold these. */
const UNPRINTABLE = /\p{Cc}/u;
/** A backslash and what follows it, white space and apostrophes, quotation marks, all else: each has its own way of being quoted. */
const PARTS = /\\.|[\s']+|"+|[^\s'"\\]+/gu;

/**
 * One word for p11-kit's own splitting (p11_argv_parse), which is not a shell's: a backslash outside of quotes stands for itself, as does
 * the character after it. @throws BAD_REQUEST for a word that it cannot be given.
 */
export function p11Word(text: string): string {
  const parts = text.match(PARTS) ?? [];
  if (text === "" || UNPRINTABLE.test(text) || parts.join("") !== text)
    throw new CasemateError("BAD_REQUEST", `p11-kit cannot be given the name ${JSON.stringify(text)}`, {
      hint: "Use a path without control characters and without a backslash at its end.",
    });
  return parts.map((part) => (part.startsWith('"') ? `'${part}'` : /^[\s']/u.test(part) ? `"${part}"` : part)).join("");
}

export interface BridgeCommandOptions {
  /** HOST:PORT of a server elsewhere; absent for the one of this data directory. */
  readonly remote?: string;
}

/** As P11_KIT_SERVER_ADDRESS and `remote:` in a module file take it. @throws usage error, UNAUTHENTICATED without a token file. */
export function bridgeAddress(session: Session, { remote }: BridgeCommandOptions): string {
  const bin = fileURLToPath(new URL("../bin/casemate.mjs", import.meta.url));
  const words = [
    process.execPath,
    bin,
    "pkcs11",
    "bridge",
    ...(remote === undefined ? local(session) : far(session, remote)),
  ];
  return `|${words.map(p11Word).join(" ")}`;
}

const local = (session: Session): string[] => ["--data", session.paths.root];

/** The files by their absolute paths: applications are started anywhere. */
function far(session: Session, remote: string): string[] {
  remoteAddress(remote);
  const { tokenFile, caFile } = namedFiles(session);
  return [
    "--remote",
    remote,
    "--token-file",
    resolve(tokenFile),
    ...(caFile === undefined ? [] : ["--ca-file", resolve(caFile)]),
  ];
}

/** @throws a usage error for options that exclude each other. */
export function checkEnvOptions({ remote, direct }: { readonly remote?: string; readonly direct?: boolean }): void {
  if (remote !== undefined && direct === true)
    throw usage("--direct is for the socket of this machine", "Leave it out: only the bridge reaches another one.");
}
