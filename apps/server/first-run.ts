import { chmodSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { DataPaths } from "./data-directory.ts";

/** What of the keyring this needs. */
interface Bootstrapping {
  bootstrapAdmin(): Promise<{ readonly token: string }>;
  withoutTokens(): Promise<boolean>;
}

interface FirstRun {
  /** Whether a token was written. */
  readonly made: boolean;
  readonly remark?: string;
}

/**
 * Writes the administrator's token once; whoever owns the data directory is the administrator. A file beside a database that never made a
 * token is of another one: it is kept aside.
 */
export async function firstRun(paths: DataPaths, keyring: Bootstrapping): Promise<FirstRun> {
  const { adminToken } = paths;
  let aside: string | undefined;
  if (existsSync(adminToken) && readFileSync(adminToken, "utf8").trim() !== "") {
    if (!(await keyring.withoutTokens())) return { made: false };
    aside = keepAside(adminToken);
  }
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
  if (aside === undefined) return { made: true };
  return {
    made: true,
    remark: `the database is new and does not know the token in admin.token: that file is kept as ${aside}, and a new token was written. Should the old database come back, put ${aside} back too`,
  };
}

/** Moves the file to the first free of its names with `.old`: one server has the directory, so nothing comes in between. */
function keepAside(path: string): string {
  let aside = `${path}.old`;
  for (let number = 2; existsSync(aside); number++) aside = `${path}.old-${number}`;
  renameSync(path, aside);
  chmodSync(aside, 0o600);
  return aside;
}
