/** Writes the OpenAPI document of the REST interface to packages/interfaces/rest/openapi.json; with --check only compares. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openApiDocument } from "@casemate/interfaces/rest";

const root = join(import.meta.dirname, "..");
const path = join(root, "packages/interfaces/rest/openapi.json");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
const text = `${JSON.stringify(openApiDocument(version), undefined, 2)}\n`;

if (!process.argv.includes("--check")) writeFileSync(path, text);
else if (readFileSync(path, "utf8") !== text) {
  process.stderr.write("openapi: the committed document differs from the routes; run `node tools/openapi.ts`\n");
  process.exitCode = 1;
}
