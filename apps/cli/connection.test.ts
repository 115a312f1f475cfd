import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isCasemateError, type CasemateError } from "@casemate/foundation/errors";
import { connect, findServer } from "./connection.ts";
import { exitCode, shown } from "./failure.ts";
import { Session, type GlobalOptions } from "./session.ts";

function session(options: GlobalOptions, env: Record<string, string> = {}): Session {
  return new Session(env, () => options);
}

function withDirectory(body: (path: string) => Promise<void> | void) {
  return async (): Promise<void> => {
    const path = mkdtempSync(join(tmpdir(), "casemate-connection-"));
    try {
      await body(path);
    } finally {
      rmSync(path, { recursive: true, force: true });
    }
  };
}

function codeOf(act: () => unknown): number {
  try {
    act();
  } catch (error) {
    assert.ok(isCasemateError(error));
    return exitCode(error);
  }
  return 0;
}

test(
  "without a socket there is nobody to reach: exit code 3",
  withDirectory((data) => {
    assert.equal(
      codeOf(() => findServer(session({ data }))),
      3,
    );
  }),
);

test(
  "an unencrypted URL to another machine is refused before anything is sent",
  withDirectory((data) => {
    assert.throws(() => findServer(session({ data, url: "http://example.org:8730" })), /unencrypted/);
    assert.equal(
      codeOf(() => findServer(session({ data, url: "not a url" }))),
      2,
    );
  }),
);

test(
  "a token file with bytes that no token has is named as such, before anything is sent",
  withDirectory((data) => {
    const tokenFile = join(data, "token");
    for (const content of [Uint8Array.of(0x63, 0x6d, 0xff, 0x00, 0x01), "cm_a\ncm_b\n", "cm_ä\n"]) {
      writeFileSync(tokenFile, content);
      assert.throws(() => connect(session({ data, url: "http://localhost:1", tokenFile })), {
        code: "UNAUTHENTICATED",
        message: `the token file ${tokenFile} holds no token: no token has such characters`,
      });
    }
  }),
);

test(
  "where the administrator's own token file is of no use, the way to a new one is named; of another file, that another can be named",
  withDirectory((data) => {
    const running = { pid: process.pid, url: "http://localhost:1", startedAt: "", version: "0" };
    writeFileSync(join(data, "running.json"), JSON.stringify(running));
    const own = join(data, "admin.token");
    const other = join(data, "token");
    const refused = (options: GlobalOptions, hint: RegExp): void =>
      assert.throws(() => connect(session({ data, url: "http://localhost:1", ...options })), {
        code: "UNAUTHENTICATED",
        hint,
      });
    refused({}, /start the server again/);
    for (const content of ["", "\n", "cm_\u00e4"]) {
      writeFileSync(own, content);
      writeFileSync(other, content);
      refused({}, /start the server again/);
      refused({ tokenFile: other }, /--token-file/);
    }
  }),
);

test(
  "the administrator's own token is never sent to an address that is not our running server's",
  withDirectory((data) => {
    writeFileSync(join(data, "admin.token"), "cm_secret\n");
    assert.throws(() => connect(session({ data, url: "http://localhost:1" })), /no token was given/);
    const running = { pid: process.pid, url: "http://localhost:1", startedAt: "", version: "0" };
    writeFileSync(join(data, "running.json"), JSON.stringify(running));
    assert.doesNotThrow(() => connect(session({ data, url: "http://localhost:1" })));
    writeFileSync(join(data, "running.json"), JSON.stringify({ ...running, pid: 2 ** 22 + 1 }));
    assert.throws(() => connect(session({ data, url: "http://localhost:1" })), /no token was given/);
  }),
);

test(
  "settings of the environment are used, and options go before them",
  withDirectory((data) => {
    const env = { CASEMATE_DATA: "/nowhere", CASEMATE_URL: "http://localhost:2" };
    assert.equal(findServer(session({ data }, env)).where, "http://localhost:2");
    assert.equal(findServer(session({ data, url: "http://localhost:3" }, env)).where, "http://localhost:3");
    assert.equal(session({}, { CASEMATE_DATA: "/a" }).paths.root, "/a");
    assert.equal(session({ data: "/b" }, { CASEMATE_DATA: "/a" }).paths.root, "/b");
    assert.equal(session({}, { XDG_DATA_HOME: "/x" }).paths.root, "/x/casemate");
    assert.equal(session({}, { HOME: "/h", XDG_DATA_HOME: "relative" }).paths.root, "/h/.local/share/casemate");
  }),
);

async function answering(status: number, body: string, use: (url: string) => Promise<void>): Promise<void> {
  const server: Server = createServer((_request, response) => {
    response.writeHead(status, { "content-type": "application/problem+json" }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  try {
    await use(`http://127.0.0.1:${address.port}`);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

test(
  "problem details become the error they were made of; an unknown code and a foreign server are said aloud",
  withDirectory(async (data) => {
    const tokenFile = join(data, "token");
    writeFileSync(tokenFile, "t\n");
    const problem = { code: "KEY_STATE", status: 409, title: "t", detail: "key a is suspended", hint: "Resume it." };
    const failing = async (url: string): Promise<CasemateError> => {
      const asked = await connect(session({ data, url, tokenFile }))
        .listKeys()
        .catch((error: unknown) => shown(error));
      assert.ok(isCasemateError(asked));
      return asked;
    };
    await answering(409, JSON.stringify(problem), async (url) => {
      const { code, message, hint } = await failing(url);
      assert.deepEqual([code, message, hint], ["KEY_STATE", "key a is suspended", "Resume it."]);
    });
    await answering(500, JSON.stringify({ ...problem, code: "__proto__" }), async (url) => {
      assert.equal((await failing(url)).code, "INTERNAL");
    });
    await answering(200, "<html>", async (url) => {
      assert.match((await failing(url)).message, /is this a Casemate server/);
    });
    const nobody = await failing("http://localhost:1");
    assert.equal(exitCode(nobody), 3);
  }),
);
