/** A host for tests, in the same process: keeps what the engine saves, and can lose or refuse it. */
import { decode, encode, type Codec } from "@casemate/foundation/codec";
import { createEngine, type Engine, type EngineOptions } from "./engine.ts";
import {
  NOTICES,
  OPERATIONS,
  usageFlags,
  type KeyAlgorithm,
  type OperationName,
  type ReplyOf,
  type RequestOf,
  type RootKind,
  type SaveOutcome,
  type Usage,
} from "@casemate/protocols/hsm";
import type { RootFile } from "./root.ts";

/** A key file in memory. */
export class MemoryFile implements RootFile {
  content = new Uint8Array();

  read(limit: number): Uint8Array {
    return this.content.slice(0, limit);
  }

  size(): number {
    return this.content.length;
  }

  write(content: Uint8Array): void {
    const grown = new Uint8Array(Math.max(content.length, this.content.length));
    grown.set(this.content);
    grown.set(content);
    this.content = grown;
  }
}

export class TestHost {
  readonly engine: Engine;
  readonly file: MemoryFile;
  /** Newest first, as the driver keeps them. */
  generations: Uint8Array[];
  /** What becomes of the next saves; `undefined` never answers. */
  outcome: SaveOutcome | undefined = "kept";
  saves = 0;
  readonly events: string[] = [];

  constructor(options: {
    readonly file?: MemoryFile;
    readonly generations?: Uint8Array[];
    readonly engine?: Partial<EngineOptions>;
  }) {
    this.file = options.file ?? new MemoryFile();
    this.generations = options.generations ?? [];
    this.engine = createEngine({
      rootFile: this.file,
      notify: (op, body) => this.#onNotice(op, body),
      ...options.engine,
    });
  }

  /** A started device with a key file, or with the passphrase root still locked. */
  static async start(
    options: ConstructorParameters<typeof TestHost>[0] & { readonly root?: RootKind } = {},
  ): Promise<TestHost> {
    const host = new TestHost(options);
    await host.call("restore", { root: options.root ?? "key-file", generations: host.generations });
    return host;
  }

  /** The same device after its process died. */
  restart(engine: Partial<EngineOptions> = {}): Promise<TestHost> {
    return TestHost.start({ file: this.file, generations: [...this.generations], engine });
  }

  async call<N extends OperationName>(name: N, request: RequestOf<N>): Promise<ReplyOf<N>> {
    const operation = OPERATIONS[name];
    const reply = await this.engine.handle(operation.op, encode(operation.request as Codec<unknown>, request));
    return decode(operation.reply as Codec<unknown>, reply) as ReplyOf<N>;
  }

  async generate(algorithm: KeyAlgorithm, usage: Usage, exportable = false): Promise<Uint8Array> {
    return (await this.call("generate", { algorithm, usages: usageFlags([usage]), exportable })).ref.slice();
  }

  #onNotice(op: number, body: Uint8Array): void {
    if (op === NOTICES.stateChanged.op) {
      this.events.push(decode(NOTICES.stateChanged.body, body).state);
      return;
    }
    const { sequence, sealed } = decode(NOTICES.stateSave.body, body);
    this.saves += 1;
    const { outcome } = this;
    if (outcome === undefined) return;
    if (outcome === "kept") this.generations = [sealed.slice(), ...this.generations].slice(0, 2);
    setImmediate(() => void this.call("stateSaved", { sequence, outcome }));
  }
}
