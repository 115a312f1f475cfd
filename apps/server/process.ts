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
  const { message, code, hint, cause } = asCasemateError(error);
  process.stderr.write(`casemate: ${message} (${code})\n${hint === undefined ? "" : `Hint: ${hint}\n`}`);
  if (code === "INTERNAL")
    process.stderr.write(`${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}\n`);
  process.exitCode = wrongArguments(error) ? USAGE : FAILED;
}
