/** The SDK in a real browser (Debian's chromium), from a page of another origin, against `casemate up --allow-origin`. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { stripTypeScriptTypes } from "node:module";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { REPOSITORY, run, startServer, temporary } from "../e2e/harness.ts";

const SDK = join(REPOSITORY, "packages/sdk");
const MESSAGE = "from a browser";

interface Result {
  readonly error?: string;
  readonly signature?: string;
  readonly publicKey?: string;
  readonly batch?: number;
  readonly refused?: string;
}

function page(baseUrl: string, token: string): string {
  return `<!doctype html><script type="module">
    const report = (result) => fetch("/result", { method: "POST", body: JSON.stringify(result) });
    try {
      const { createClient } = await import("/sdk/index.ts");
      const casemate = createClient({ baseUrl: ${JSON.stringify(baseUrl)}, token: ${JSON.stringify(token)} });
      const { versions } = await casemate.createKey({ name: "web", algorithm: "ec-p256", usages: ["sign"] });
      const input = new TextEncoder().encode(${JSON.stringify(MESSAGE)});
      const { signature } = await casemate.sign("web", { input });
      const batcher = casemate.batcher("web");
      const batch = (await Promise.all(Array.from({ length: 100 }, () => batcher.sign(input)))).length;
      const refused = await casemate.getKey("nothing").catch((error) => error.code + " " + (error.requestId !== ""));
      await report({ signature: signature.toBase64(), publicKey: versions[0].publicKey.toBase64(), batch, refused });
    } catch (error) {
      await report({ error: String(error) });
    }
  </script>`;
}

/** Serves the page and the SDK's sources without their types; resolves with what the page reports. */
function pageServer(html: () => string): { readonly server: Server; readonly result: Promise<Result> } {
  const { promise, resolve } = Promise.withResolvers<Result>();
  const server = createServer((request, response) => {
    const path = request.url ?? "/";
    if (path === "/result") {
      let body = "";
      request.on("data", (part: Buffer) => (body += part.toString()));
      request.on("end", () => {
        response.end();
        resolve(JSON.parse(body) as Result);
      });
    } else if (path.startsWith("/sdk/")) {
      const source = readFileSync(join(SDK, path.slice("/sdk/".length)), "utf8");
      response.writeHead(200, { "content-type": "text/javascript" }).end(stripTypeScriptTypes(source));
    } else {
      response.writeHead(200, { "content-type": "text/html" }).end(html());
    }
  });
  return { server, result: promise };
}

async function browse(t: TestContext, directory: string, url: string): Promise<void> {
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", `--user-data-dir=${join(directory, "profile")}`];
  const browser = spawn("chromium", [...flags, "--remote-debugging-port=0", url], { stdio: "ignore" });
  const ended = new Promise((resolve) => browser.once("exit", resolve));
  t.after(async () => {
    browser.kill("SIGKILL");
    await ended;
  });
}

for (const allowed of [true, false]) {
  test(`the SDK in chromium, from ${allowed ? "an allowed" : "another"} origin`, { timeout: 60_000 }, async (t) => {
    if ((await run("bash", ["-c", "command -v chromium"])).status !== 0) return t.skip("chromium is not installed");
    using directory = temporary();
    let html = "";
    const { server, result } = pageServer(() => html);
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const data = join(directory.path, "data");
    const casemate = await startServer(data, ["--allow-origin", allowed ? origin : "https://app.example"]);
    try {
      html = page(casemate.announced.url, readFileSync(join(data, "admin.token"), "utf8").trim());
      await browse(t, directory.path, origin);
      const told = await result;
      if (!allowed) {
        assert.match(told.error ?? "", /./, "the browser let a page of another origin in");
        return;
      }
      assert.equal(told.error, undefined);
      const key = createPublicKey({ key: Buffer.from(told.publicKey ?? "", "base64"), format: "der", type: "spki" });
      const signature = Buffer.from(told.signature ?? "", "base64");
      assert.ok(verify("sha256", Buffer.from(MESSAGE), key, signature));
      assert.equal(told.batch, 100);
      assert.equal(told.refused, "NOT_FOUND true");
    } finally {
      assert.equal(await casemate.stop(), 0, casemate.stderr());
    }
  });
}
