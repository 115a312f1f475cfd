import { Argument, type Command } from "commander";
import { ACTIONS } from "@casemate/keyring/core/actions";
import { ROLES } from "@casemate/keyring/core/names";
import { ChoiceOption } from "../choices.ts";
import { EXIT, usage } from "../failure.ts";
import { contentOf, readInput } from "../files.ts";
import { given, instant } from "../parse.ts";
import type { Session } from "../session.ts";
import type { Action, Decision, TestPolicyBody, Token } from "@casemate/sdk";

interface CheckOptions {
  readonly role?: Token["roles"];
  readonly key?: string;
  readonly source?: string;
  readonly at?: string;
}

interface TestOptions extends CheckOptions {
  readonly in?: string;
  readonly checks?: string;
  readonly principal?: string;
  readonly action?: Action;
}

const text = new TextDecoder();

function checksOf(options: TestOptions): NonNullable<TestPolicyBody["checks"]> {
  if (options.checks !== undefined) {
    const value: unknown = JSON.parse(contentOf(options.checks).toString("utf8"));
    if (!Array.isArray(value))
      throw usage("--checks takes a JSON array of {principal, roles, action, key, source, at}");
    return value as NonNullable<TestPolicyBody["checks"]>;
  }
  const { principal, action, role: roles, key, source, at } = options;
  if (principal === undefined && action === undefined) return [];
  if (principal === undefined || action === undefined) throw usage("--principal and --action go together");
  return [given({ principal, action, roles, key, source, at })];
}

function printDecision(session: Session, decision: Decision): void {
  const word = decision.allowed
    ? ({ style: "green", text: "allowed" } as const)
    : ({ style: "red", text: "refused" } as const);
  session.out.line([word, ` (${decision.code})`]);
  for (const reason of decision.reasons) session.out.line(`  because ${reason}`);
}

export function define(command: Command, session: Session): void {
  command
    .command("list")
    .description("all policies with their texts")
    .action(async () => {
      const client = await session.client();
      const answer = await client.listPolicies();
      session.out.answer(answer.items, () => {
        for (const policy of answer.items) {
          session.out.line({ style: "bold", text: `# ${policy.id}${policy.builtIn ? " (built in)" : ""}` });
          session.out.line(policy.text.trim());
          session.out.line();
        }
      });
    });

  command
    .command("set")
    .argument("<policy>", "what to call the policy")
    .description("keep a policy; an empty one is removed")
    .option("--in <file>", "Cedar text (default: standard input)")
    .action(async (id: string, options: { readonly in?: string }) => {
      const source = text.decode(await readInput(options.in));
      const client = await session.client();
      await client.setPolicy(id, { text: source });
      session.out.answer({ id, removed: source.trim() === "" }, () =>
        session.out.line(source.trim() === "" ? `Policy ${id} is removed.` : `Policy ${id} is in force.`),
      );
    });

  command
    .command("test")
    .description("check a policy's text, and what it would decide, without keeping it")
    .option("--in <file>", "Cedar text (default: standard input)")
    .option("--checks <file>", "JSON array of {principal, roles, action, key, source, at}")
    .option("--principal <principal>", "one check: who")
    .addOption(new ChoiceOption("--role <names>", "one check: roles; comma-separated", ROLES, { many: true }))
    .addOption(new ChoiceOption("--action <name>", "one check: what", ACTIONS, { brief: "as for explain" }))
    .option("--key <key>", "one check: on which key")
    .option("--source <name>", "one check: from where, e.g. rest/tls/192.0.2.7 or pkcs11")
    .option("--at <time>", "one check: when (ISO 8601 or +90d)", instant("--at"))
    .action(async (options: TestOptions) => {
      const checks = checksOf(options);
      const source = text.decode(await readInput(options.in));
      const client = await session.client();
      const answer = await client.testPolicy({ text: source, checks });
      session.out.answer(answer, () => {
        session.out.line("The text is a valid policy.");
        for (const decision of answer.decisions) printDecision(session, decision);
      });
    });

  command
    .command("explain")
    .argument("<principal>", "who")
    .addArgument(new Argument("<action>", "what").choices(ACTIONS))
    .description("what is decided now, and which policies decide it")
    .addOption(new ChoiceOption("--role <names>", "roles to assume; comma-separated", ROLES, { many: true }))
    .option("--key <key>", "on which key")
    .option("--source <name>", "from where, e.g. rest/tls/192.0.2.7 or pkcs11")
    .option("--at <time>", "when (ISO 8601 or +90d; default: now)", instant("--at"))
    .action(async (principal: string, action: Action, options: CheckOptions) => {
      const client = await session.client();
      const { role: roles, key, source, at } = options;
      const decision = await client.explainPolicy(given({ principal, action, roles, key, source, at }));
      session.out.answer(decision, () => printDecision(session, decision));
      if (!decision.allowed) process.exitCode = EXIT.refused;
    });
}
