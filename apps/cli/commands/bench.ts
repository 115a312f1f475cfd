import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import type { Api } from "../api.ts";
import { measure, type Measured } from "../bench-loop.ts";
import { usage } from "../failure.ts";
import { whole, words } from "../parse.ts";
import type { Session } from "../session.ts";

interface BenchOptions {
  readonly seconds: number;
  readonly inFlight: number;
  readonly algorithm?: readonly string[];
  readonly device?: string;
}

interface Subject {
  readonly algorithm: string;
  readonly usage: string;
  readonly operation: string;
  body(): object;
}

const MESSAGE_BYTES = 64;
const RECORD_BYTES = 1024;

const sign = (algorithm: string): Subject => ({
  algorithm,
  usage: "sign",
  operation: "sign",
  body: () => ({ input: randomBytes(MESSAGE_BYTES) }),
});

const SUBJECTS: readonly Subject[] = [
  sign("rsa-2048"),
  sign("rsa-4096"),
  sign("ec-p256"),
  sign("ed25519"),
  sign("ml-dsa-65"),
  { algorithm: "aes-256", usage: "encrypt", operation: "encrypt", body: () => ({ data: randomBytes(RECORD_BYTES) }) },
  { algorithm: "hmac-sha256", usage: "mac", operation: "mac", body: () => ({ input: randomBytes(RECORD_BYTES) }) },
];

interface Row extends Measured {
  readonly algorithm: string;
  readonly operation: string;
}

async function run(api: Api, subject: Subject, options: BenchOptions): Promise<Row> {
  const { algorithm, usage: use, operation } = subject;
  const name = `bench-${algorithm}-${randomBytes(4).toString("hex")}`;
  const device = options.device === undefined ? {} : { device: options.device };
  await api.post("/v1/keys", { name, algorithm, usages: [use], ...device });
  try {
    const path = `/v1/keys/${name}/${operation}`;
    const measured = await measure(() => api.post(path, subject.body()), options);
    return { algorithm, operation, ...measured };
  } finally {
    await api.post(`/v1/keys/${name}/destroy`, { now: true });
  }
}

export function define(command: Command, session: Session): void {
  command
    .option("--seconds <count>", "for each algorithm", whole("--seconds", 1, 600), 2)
    .option("--in-flight <count>", "requests under way at once", whole("--in-flight", 1, 256), 16)
    .option("--algorithm <names>", "only these, comma-separated", words)
    .option("--device <id>", "device to measure (default: the first that can)")
    .action(async (options: BenchOptions) => {
      const chosen = SUBJECTS.filter(({ algorithm }) => options.algorithm?.includes(algorithm) ?? true);
      if (chosen.length === 0) {
        throw usage(
          "no such algorithm to measure",
          `There is: ${SUBJECTS.map(({ algorithm }) => algorithm).join(", ")}.`,
        );
      }
      const api = (await session.api()).keptAlive(options.inFlight);
      const rows: Row[] = [];
      for (const subject of chosen) {
        session.out.progress(`measuring ${subject.algorithm} …`);
        rows.push(await run(api, subject, options));
      }
      session.out.progress("");
      session.out.answer(rows, () => {
        session.out.table(
          rows,
          [
            { title: "ALGORITHM", cell: (row) => row.algorithm },
            { title: "OPERATION", cell: (row) => row.operation },
            { title: "OPS/S", cell: (row) => row.perSecond.toFixed(0) },
            { title: "P50 MS", cell: (row) => row.p50Ms.toFixed(2) },
            { title: "P99 MS", cell: (row) => row.p99Ms.toFixed(2) },
          ],
          "",
        );
        session.out.note("One request per operation, this program on the same cores; `npm run bench` measures more.");
      });
    });
}
