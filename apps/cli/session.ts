import { dataDirectory, dataPaths, type DataPaths, type Environment } from "@casemate/server/data-directory";
import type { Client } from "@casemate/sdk";
import { Output } from "./output.ts";

/** Options that every verb takes. */
export interface GlobalOptions {
  readonly data?: string;
  readonly url?: string;
  readonly tokenFile?: string;
  readonly caFile?: string;
  readonly json?: boolean;
}

/** One run of the program: its settings, its output and, once asked for, its connection. */
export class Session {
  readonly env: Environment;
  readonly #options: () => GlobalOptions;
  #output: Output | undefined;
  #client: Promise<Client> | undefined;

  constructor(env: Environment, options: () => GlobalOptions) {
    this.env = env;
    this.#options = options;
  }

  get options(): GlobalOptions {
    return this.#options();
  }

  get out(): Output {
    this.#output ??= new Output(this.options.json === true);
    return this.#output;
  }

  get paths(): DataPaths {
    return dataPaths(dataDirectory(this.options.data, this.env));
  }

  /** Connects on first use. @throws UNAVAILABLE with `reachable: false`, UNAUTHENTICATED. */
  client(): Promise<Client> {
    this.#client ??= import("./connection.ts").then(({ connect }) => connect(this));
    return this.#client;
  }

  /** A client that keeps up to so many connections open. */
  async busyClient(connections: number): Promise<Client> {
    const { connect } = await import("./connection.ts");
    return connect(this, connections);
  }
}
