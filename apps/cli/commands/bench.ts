import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import type { Client, KeyAlgorithm, Usage } from "@casemate/sdk";
import { measure, type Measured } from "../bench-loop.ts";
import { ChoiceOption } from "../choices.ts";
import { given, whole } from "../parse.ts";
import type { Session } from "../session.ts";

interface BenchOptions {
  readonly seconds: number;
  readonly inFlight: number;
  readonly algorithm?: readonly string[];
  readonly device?: string;
}

interface Subject {
  readonly algorithm: KeyAlgorithm;
  readonly usage: Usage;
  readonly operation: string;
  once(client: Client, key: string): Promise<unknown>;
}

const MESSAGE_BYTES = 64;
const RECORD_BYTES = 1024;

const sign = (algorithm: KeyAlgorithm): Subject => ({
  algorithm,
  usage: "sign",
  operation: "sign",
  once: (client, key) => client.sign(key, { input: randomBytes(MESSAGE_BYTES) }),
});

const SUBJECTS: readonly Subject[] = [
  sign("rsa-2048"),
  sign("rsa-4096"),
  sign("ec-p256"),
  sign("ed25519"),
  sign("ml-dsa-65"),
  {
    algorithm: "aes-256",
    usage: "encrypt",
    operation: "encrypt",
    once: (client, key) => client.encrypt(key, { data: randomBytes(RECORD_BYTES) }),
  },
  {
    algorithm: "hmac-sha256",
    usage: "mac",
    operation: "mac",
    once: (client, key) => client.mac(key, { input: randomBytes(RECORD_BYTES) }),
  },
];

const ALGORITHMS: readonly string[] = SUBJECTS.map(({ algorithm }) => algorithm);

interface Row extends Measured {
  readonly algorithm: string;
  readonly operation: string;
}

async function run(client: Client, subject: Subject, options: BenchOptions): Promise<Row> {
  const { algorithm, usage: use, operation } = subject;
  const key = `bench-${algorithm}-${randomBytes(4).toString("hex")}`;
  await client.createKey(given({ name: key, algorithm, usages: [use], device: options.device }));
  try {
    return { algorithm, operation, ...(await measure(() => subject.once(client, key), options)) };
  } finally {
    await client.destroyKey(key, { now: true });
  }
}

export function define(command: Command, session: Session): void {
  command
    .option("--seconds <count>", "for each algorithm, 1 to 600", whole("--seconds", 1, 600), 2)
    .option("--in-flight <count>", "requests under way at once, 1 to 256", whole("--in-flight", 1, 256), 16)
    .addOption(
      new ChoiceOption("--algorithm <names>", "only these; comma-separated", ALGORITHMS, { many: true }).default(
        undefined,
        "all",
      ),
    )
    .option("--device <device>", "device to measure (default: the first that can)")
    .action(async (options: BenchOptions) => {
      const chosen = SUBJECTS.filter(({ algorithm }) => options.algorithm?.includes(algorithm) ?? true);
      const client = await session.busyClient(options.inFlight);
      const rows: Row[] = [];
      for (const subject of chosen) {
        session.out.progress(`measuring ${subject.algorithm} …`);
        rows.push(await run(client, subject, options));
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
        session.out.remark("One request per operation, this program on the same cores; `npm run bench` measures more.");
      });
    });
}
