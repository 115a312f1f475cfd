import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import type { VerifyLogOptions } from "../audit-verify.ts";
import { ERROR_CODES } from "@casemate/foundation/errors";
import { ChoiceOption } from "../choices.ts";
import { usage } from "../failure.ts";
import { toFile, toldOf } from "../files.ts";
import { given, whole } from "../parse.ts";
import type { Session } from "../session.ts";
import type { AuditRecord } from "@casemate/sdk";

interface ListOptions {
  readonly from?: number;
  readonly principal?: string;
  readonly resource?: string;
  readonly outcome?: string;
  readonly limit: number;
}

const PAGE = 1000;

async function list(session: Session, options: ListOptions): Promise<void> {
  const { limit, ...filter } = options;
  const client = await session.client();
  const records: AuditRecord[] = [];
  for await (const record of client.auditRecords({ ...filter, limit: Math.min(limit, PAGE) })) {
    records.push(record);
    if (records.length >= limit) break;
  }
  session.out.answer(records, () =>
    session.out.table(
      records,
      [
        { title: "INDEX", cell: (row) => String(row.index) },
        { title: "TIME", cell: (row) => row.time },
        { title: "WHO", cell: (row) => row.principal },
        { title: "ACTION", cell: (row) => row.action },
        { title: "ON", cell: (row) => row.resource },
        { title: "OUTCOME", cell: (row) => (row.count === 1 ? row.outcome : `${row.outcome} (${row.count})`) },
        { title: "THROUGH", cell: (row) => row.source },
      ],
      "No records.",
    ),
  );
}

async function checkpoint(session: Session, file: string | undefined): Promise<void> {
  const client = await session.client();
  const answer = await client.createAuditCheckpoint();
  if (toFile(file)) writeFileSync(file, answer.note);
  session.out.answer(toldOf(answer, ["note"], file), () => {
    if (!toFile(file)) session.out.line(answer.note.trimEnd());
    else session.out.line(`Checkpoint of ${answer.size} records, signed by ${answer.signedBy}, is in ${file}.`);
  });
}

interface ProveOptions {
  readonly size?: number;
  readonly since?: number;
  readonly out?: string;
}

async function prove(session: Session, index: number | undefined, options: ProveOptions): Promise<void> {
  if ((index === undefined) === (options.since === undefined))
    throw usage("name a record by its index, or an earlier size by --since, not both");
  const client = await session.client();
  const proof =
    options.since === undefined
      ? await client.getAuditInclusion(given({ index: index ?? 0, size: options.size }))
      : await client.getAuditConsistency(given({ first: options.since, second: options.size }));
  const { out } = options;
  if (toFile(out)) writeFileSync(out, `${JSON.stringify(proof, null, 2)}\n`);
  const told = "index" in proof ? toldOf(proof, ["leafHash", "path", "rootHash"], out) : toldOf(proof, ["path"], out);
  session.out.answer(told, () => {
    if (toFile(out)) session.out.line(`The proof is in ${out}.`);
    else session.out.line(JSON.stringify(proof, null, 2));
  });
}

export function define(command: Command, session: Session): void {
  command
    .command("list")
    .description("records, newest first")
    .option(
      "--from <index>",
      "begin at this record and go back (default: the newest)",
      whole("--from", 0, Number.MAX_SAFE_INTEGER),
    )
    .option("--principal <principal>", "only by this principal")
    .option("--resource <name>", "only on this, e.g. key/release")
    .addOption(
      new ChoiceOption("--outcome <word>", "only with this outcome", ["ok", ...Object.keys(ERROR_CODES)], {
        open: true,
        brief: "ok or an error code",
      }),
    )
    .option("--limit <count>", "at most so many", whole("--limit", 1, 1_000_000), 100)
    .action((options: ListOptions) => list(session, options));

  command
    .command("verify")
    .description("check the whole log: hash chain, tree and checkpoint signatures; needs no server")
    .option("--dir <dir>", "audit directory to check (default: the data directory's)")
    .option("--checkpoint <file>", "a checkpoint kept elsewhere, which the log must still contain")
    .option("--public-key <file>", "Ed25519 key that must have signed: PEM, or a verifier key line")
    .action(async (options: VerifyLogOptions) => {
      const { verifyLog } = await import("../audit-verify.ts");
      await verifyLog(session, options);
    });

  command
    .command("checkpoint")
    .description("sign the log as it stands")
    .option("--out <file>", "file for the checkpoint: keep it elsewhere")
    .action((options: { readonly out?: string }) => checkpoint(session, options.out));

  command
    .command("prove")
    .argument("[index]", "number of the record; not with --since")
    .description("proof that a record is in the log, or that the log only grew")
    .option("--size <records>", "size of the tree (default: as it stands)", whole("--size", 1, Number.MAX_SAFE_INTEGER))
    .option(
      "--since <records>",
      "prove that the log of so many records was only added to",
      whole("--since", 1, Number.MAX_SAFE_INTEGER),
    )
    .option("--out <file>", "file for the proof (JSON)")
    .action((index: string | undefined, options: ProveOptions) =>
      prove(session, index === undefined ? undefined : whole("index", 0, Number.MAX_SAFE_INTEGER)(index), options),
    );
}
