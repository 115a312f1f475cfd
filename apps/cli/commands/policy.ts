import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { EXIT, usage } from "../failure.ts";
import { readInput } from "../files.ts";
import { given, words } from "../parse.ts";
import type { Session } from "../session.ts";
import type { Decision, Policy } from "../views.ts";

interface CheckOptions {
  readonly role?: readonly string[];
  readonly key?: string;
}

interface TestOptions {
  readonly in?: string;
  readonly checks?: string;
  readonly principal?: string;
  readonly action?: string;
  readonly role?: readonly string[];
  readonly key?: string;
}

const text = new TextDecoder();

function checksOf(options: TestOptions): readonly unknown[] {
  if (options.checks !== undefined) {
    const value: unknown = JSON.parse(readFileSync(options.checks, "utf8"));
    if (!Array.isArray(value)) throw usage("--checks takes a JSON array of {principal, roles, action, key}");
    return value;
  }
  const { principal, action, role: roles, key } = options;
  if (principal === undefined && action === undefined) return [];
  if (principal === undefined || action === undefined) throw usage("--principal and --action go together");
  return [given({ principal, action, roles, key })];
}

function printDecision(session: Session, decision: Decision): void {
  const word = decision.allowed ? session.out.style("green", "allowed") : session.out.style("red", "refused");
  session.out.line(`${word} (${decision.code})`);
  for (const reason of decision.reasons) session.out.line(`  because ${reason}`);
}

export function define(command: Command, session: Session): void {
  command
    .command("list")
    .description("all policies; --json has their texts")
    .action(async () => {
      const api = await session.api();
      const answer = await api.get<{ readonly items: readonly Policy[] }>("/v1/policies");
      session.out.answer(answer.items, () => {
        for (const policy of answer.items) {
          session.out.line(session.out.style("bold", `# ${policy.id}${policy.builtIn ? " (built in)" : ""}`));
          session.out.line(policy.text.trim());
          session.out.line();
        }
      });
    });

  command
    .command("set <id>")
    .description("keep a policy; an empty one is removed")
    .option("--in <file>", "Cedar text (default: standard input)")
    .action(async (id: string, options: { readonly in?: string }) => {
      const source = text.decode(await readInput(options.in));
      const api = await session.api();
      await api.put(`/v1/policies/${encodeURIComponent(id)}`, { text: source });
      session.out.answer({ id, removed: source.trim() === "" }, () =>
        session.out.line(source.trim() === "" ? `Policy ${id} is removed.` : `Policy ${id} is in force.`),
      );
    });

  command
    .command("test")
    .description("check a policy's text, and what it would decide, without keeping it")
    .option("--in <file>", "Cedar text (default: standard input)")
    .option("--checks <file>", "JSON array of {principal, roles, action, key}")
    .option("--principal <name>", "one check: who")
    .option("--role <names>", "one check: roles, comma-separated", words)
    .option("--action <name>", "one check: what, e.g. key.sign")
    .option("--key <name>", "one check: on which key")
    .action(async (options: TestOptions) => {
      const checks = checksOf(options);
      const source = text.decode(await readInput(options.in));
      const api = await session.api();
      const answer = await api.post<{ readonly decisions: readonly Decision[] }>("/v1/policies/test", {
        text: source,
        checks,
      });
      session.out.answer(answer, () => {
        session.out.line("The text is a valid policy.");
        for (const decision of answer.decisions) printDecision(session, decision);
      });
    });

  command
    .command("explain <principal> <action>")
    .description("what is decided now, and which policies decide it")
    .option("--role <names>", "roles to assume, comma-separated", words)
    .option("--key <name>", "on which key")
    .action(async (principal: string, action: string, options: CheckOptions) => {
      const api = await session.api();
      const { role: roles, key } = options;
      const decision = await api.post<Decision>("/v1/policies/explain", given({ principal, action, roles, key }));
      session.out.answer(decision, () => printDecision(session, decision));
      if (!decision.allowed) process.exitCode = EXIT.refused;
    });
}
