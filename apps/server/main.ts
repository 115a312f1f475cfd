import { once } from "node:events";
import { announce } from "./announce.ts";
import { openLog } from "./log.ts";
import { dataPaths, prepareDataDirectory } from "./data-directory.ts";
import type { RunOptions } from "./options.ts";
import { startServer, type Server } from "./start.ts";

/** Signals that end the server in good order; a second one ends it at once. */
const ENDING = ["SIGINT", "SIGTERM"] as const;
const INTERRUPTED = 130;

async function untilAskedToEnd(): Promise<string> {
  const controller = new AbortController();
  const { signal } = controller;
  try {
    return await Promise.race(
      ENDING.map(async (name) => {
        await once(process, name, { signal });
        return name;
      }),
    );
  } finally {
    controller.abort();
  }
}

function reloadOnHangUp(server: Server): void {
  process.on("SIGHUP", () => {
    server.reload().catch((error: unknown) => server.log.error({ err: error }, "devices.json was not taken"));
  });
}

/**
 * Runs a server until a signal ends it. Resolves with the exit code.
 * @throws CONFIG_INVALID, STORAGE_IN_USE, STORAGE_NEWER, STORAGE_FULL, TAMPER_DETECTED and what the first device throws.
 */
export async function run(options: RunOptions): Promise<number> {
  const say = (text: string): void => void process.stdout.write(text);
  if (!options.json) say(`Casemate starts with ${options.data} …\n`);
  process.umask(0o077);
  prepareDataDirectory(options.data);
  const paths = dataPaths(options.data);
  const log = openLog(options.log ?? paths.log, options.logLevel);
  const server = await startServer(options, paths, log);
  try {
    // Before anybody is told that it is ready: who reads that may send a signal at once.
    const asked = untilAskedToEnd();
    reloadOnHangUp(server);
    say(await announce({ ...server.announcement, json: options.json }));
    const name = await asked;
    for (const again of ENDING) process.once(again, () => process.exit(INTERRUPTED));
    if (!options.json) say(`${name}: finishing requests under way …\n`);
  } finally {
    await server.close();
  }
  if (!options.json) say("Casemate has stopped.\n");
  return 0;
}
