/**
 * Writes the generated half of the SDK from packages/interfaces/rest/openapi.json: types of all schemas and one typed method per
 * operation. `--check` only compares.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generateSdk, type Document } from "./sdk-generator.ts";

const root = join(import.meta.dirname, "..");
const document = JSON.parse(readFileSync(join(root, "packages/interfaces/rest/openapi.json"), "utf8")) as Document;

for (const [name, text] of Object.entries(generateSdk(document))) {
  const path = join(root, "packages/sdk", name);
  if (!process.argv.includes("--check")) writeFileSync(path, text);
  else if (readFileSync(path, "utf8") !== text) {
    process.stderr.write(`sdk: ${path} differs from the OpenAPI document; run \`node tools/sdk-generate.ts\`\n`);
    process.exitCode = 1;
  }
}
