import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openApiDocument } from "@casemate/interfaces/rest";
import { generateSdk, type Document } from "./sdk-generator.ts";

const root = join(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const { version } = JSON.parse(read("package.json")) as { readonly version: string };
const document = openApiDocument(version);

test("the committed OpenAPI document is the one that the routes make", () => {
  assert.deepEqual(
    JSON.parse(read("packages/interfaces/rest/openapi.json")),
    JSON.parse(JSON.stringify(document)),
    "run `npm run generate`",
  );
});

test("the committed SDK is the one that the document makes", () => {
  for (const [name, text] of Object.entries(generateSdk(document as unknown as Document))) {
    assert.equal(read(`packages/sdk/${name}`), text, `${name}: run \`npm run generate\``);
  }
});

test("the generator notices a changed document", () => {
  const changed = JSON.parse(
    JSON.stringify(document).replace('"operationId":"sign"', '"operationId":"signs"'),
  ) as Document;
  assert.notDeepEqual(generateSdk(changed), generateSdk(document as unknown as Document));
});

test("every reference in the document leads somewhere, and every operation has its own id", () => {
  const text = JSON.stringify(document);
  const refs = new Set([...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path]) => path ?? ""));
  assert.ok(refs.size > 10);
  for (const path of refs) {
    let node: unknown = document;
    for (const step of path.split("/")) node = (node as Readonly<Record<string, unknown>> | undefined)?.[step];
    assert.notEqual(node, undefined, path);
  }
  const ids = [...text.matchAll(/"operationId":"([^"]+)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(!text.includes('"~'), "no marks of the schema library");
});
