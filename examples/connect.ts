/** How a program on the same account reaches the server: socket and token of the data directory. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { createClient, type Client } from "@casemate/sdk";
import { unixTransport } from "@casemate/sdk/node";

export function connect(): Client & Disposable {
  const data =
    process.env["CASEMATE_DATA"] ?? join(process.env["XDG_DATA_HOME"] ?? join(homedir(), ".local/share"), "casemate");
  const transport = unixTransport(join(data, "casemate.sock"));
  const token = (): string => readFileSync(join(data, "admin.token"), "utf8").trim();
  const client = createClient({ transport, token });
  return Object.assign(client, { [Symbol.dispose]: () => transport.close() });
}
