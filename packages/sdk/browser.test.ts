/** What a browser has: no modules of Node's, on pages by plain HTTP no crypto.randomUUID, and one word for all that keeps it from a server. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { createClient } from "@casemate/sdk";
import { restBench } from "@casemate/testkit/rest";

const ENTRY = join(import.meta.dirname, "index.ts");
const IMPORT = /^(?:import|export)\s[^;]*?from\s+"([^"]+)"|^import\s+"([^"]+)"|import\("([^"]+)"\)/gm;
/** Names that only Node has. */
const OF_NODE = /\b(?:Buffer|process|require|__dirname|setImmediate)\b/;

/** What is wrong for a browser in this text. */
function foreign(code: string): readonly string[] {
  const imports = [...code.matchAll(IMPORT)].map(([, from, bare, late]) => from ?? bare ?? late ?? "");
  const text = code.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
  return [...imports.filter((name) => !name.startsWith("./")), ...(OF_NODE.exec(text) ?? [])];
}

test("the entry for browsers reaches no module and no global of Node's, and no other package", () => {
  assert.deepEqual(
    foreign('import { x } from "node:fs";\nBuffer.from("");'),
    ["node:fs", "Buffer"],
    "the check can fail",
  );
  const seen = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    const code = readFileSync(file, "utf8");
    assert.deepEqual(foreign(code), [], file);
    for (const [, from] of code.matchAll(IMPORT)) if (from !== undefined) visit(join(dirname(file), from));
  };
  visit(ENTRY);
  assert.ok(seen.size > 5, [...seen].join());
});

test("keys are created, listed and used by fetch alone, where crypto has no randomUUID", async (t) => {
  await using server = await restBench({ allowOrigins: ["http://app.example"] });
  const { url } = await server.rest.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  t.mock.method(crypto, "randomUUID", () => assert.fail("only secure contexts have it"));
  const client = createClient({ baseUrl: url, token: server.temporary.adminToken });
  const { state } = await client.createKey({ name: "k", algorithm: "ed25519" });
  assert.equal(state, "active");
  assert.equal((await client.listKeys({})).items.length, 1);
  assert.equal((await client.sign("k", { input: Uint8Array.of(1) })).signature.length, 64);
});

test("a server that a page cannot reach is named with what keeps browsers from servers", async (t) => {
  const client = createClient({ baseUrl: "http://127.0.0.1:1", retry: { attempts: 1 } });
  await assert.rejects(client.health(), { code: "UNAVAILABLE", hint: /^Check the address, and that the server runs/ });
  Object.defineProperty(globalThis, "location", { value: {}, configurable: true });
  t.after(() => Reflect.deleteProperty(globalThis, "location"));
  await assert.rejects(client.health(), { code: "UNAVAILABLE", hint: /--allow-origin ORIGIN/ });
});
