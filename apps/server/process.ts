/** Entry of the server's process; `casemate up` becomes it. */
import { asCasemateError, isCasemateError } from "@casemate/foundation/errors";
import { run } from "./main.ts";
import { parseOptions } from "./options.ts";

const USAGE = 2;
const FAILED = 1;

function wrongArguments(error: unknown): boolean {
  if (isCasemateError(error)) return error.details["usage"] === true;
  return error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
}

try {
  process.exitCode = await run(parseOptions(process.argv.slice(2)));
} catch (error) {
  const { message, code, hint, retryable, details, cause } = asCasemateError(error);
  const words = `casemate: ${message} (${code})\n${hint === undefined ? "" : `Hint: ${hint}\n`}`;
  // As the CLI writes it, whose command line this was.
  const json = `${JSON.stringify({ error: { code, message, hint, retryable, details } }, null, 2)}\n`;
  process.stderr.write(process.argv.includes("--json") ? json : words);
  if (code === "INTERNAL")
    process.stderr.write(`${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}\n`);
  process.exitCode = wrongArguments(error) ? USAGE : FAILED;
}
