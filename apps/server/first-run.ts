import { chmodSync, existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { CasemateError } from "@casemate/foundation/errors";
import type { DataPaths } from "./data-directory.ts";

/** What of the keyring this needs. */
interface Bootstrapping {
  bootstrapAdmin(): Promise<{ readonly token: string }>;
  tokenProblem(token: string): Promise<string | undefined>;
  withoutTokens(): Promise<boolean>;
  readonly sealed: boolean;
}

interface FirstRun {
  /** Whether a token was written. */
  readonly made: boolean;
  readonly remarks: readonly string[];
}

/**
 * Writes the administrator's token once; whoever owns the data directory is the administrator. A file beside a database that never made a
 * token is of another one: it is kept aside. One that is gone or empty is written anew; one that holds no token that is known is left, since
 * somebody may have put it there by mistake and have the right one.
 */
export async function firstRun(paths: DataPaths, keyring: Bootstrapping): Promise<FirstRun> {
  const { adminToken } = paths;
  const found = contentOf(adminToken);
  const fresh = await keyring.withoutTokens();
  if (!fresh && found !== undefined && found !== "")
    return { made: false, remarks: [...(await doubts(adminToken, found, keyring)), ...openToOthers(adminToken)] };
  const aside = found === undefined || found === "" ? undefined : keepAside(adminToken);
  const { token } = await keyring.bootstrapAdmin().catch((error: unknown) => {
    if (aside !== undefined) renameSync(aside, adminToken);
    throw error;
  });
  try {
    writeFileSync(adminToken, `${token}\n`, { mode: 0o600, flush: true });
    chmodSync(adminToken, 0o600);
  } catch (error) {
    // Half a token would be believed to be one.
    rmSync(adminToken, { force: true });
    throw error;
  }
  if (aside !== undefined)
    return {
      made: true,
      remarks: [
        `the database is new and does not know the token in admin.token: that file is kept as ${aside}, and a new token was written. Should the old database come back, put ${aside} back too`,
      ],
    };
  if (fresh) return { made: true, remarks: [] };
  const was = found === undefined ? "was not there" : "was empty";
  const until = keyring.sealed ? " once a device is unlocked by the new one" : "";
  return {
    made: true,
    remarks: [`${adminToken} ${was}: a new token was written, and the one before is revoked${until}`],
  };
}

/** Without white space around it; undefined when there is no such file. @throws CONFIG_INVALID when it cannot be read. */
function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new CasemateError("CONFIG_INVALID", `the administrator's token file ${path} cannot be read (${code})`, {
      hint: "Give it back to this account with mode 0600, or move it away: a start without it writes a new token and revokes the one before.",
      cause: error,
    });
  }
}

/** What is wrong with a token that was not made at this start. The file's content is not repeated: it may be a secret of something else. */
async function doubts(path: string, found: string, keyring: Bootstrapping): Promise<string[]> {
  const problem = await keyring.tokenProblem(found);
  if (problem === undefined) return [];
  return [
    `${path} holds no token that is accepted here (${problem}), so commands of this account are refused. Put the right one back, or move the file away and start again: a new token is then written, and the one before is revoked`,
  ];
}

function openToOthers(path: string): string[] {
  const mode = statSync(path).mode & 0o777;
  if ((mode & 0o077) === 0) return [];
  return [
    `${path} has mode 0${mode.toString(8)}, open to other accounts: chmod 600 ${path}. If somebody may have read it, move it away and start again: a new token is then written, and this one is revoked`,
  ];
}

/** Moves the file to the first free of its names with `.old`: one server has the directory, so nothing comes in between. */
function keepAside(path: string): string {
  let aside = `${path}.old`;
  for (let number = 2; existsSync(aside); number++) aside = `${path}.old-${number}`;
  renameSync(path, aside);
  chmodSync(aside, 0o600);
  return aside;
}
