import type { Command } from "commander";
import { whole } from "../../parse.ts";
import type { Session } from "../../session.ts";
import type { Client, Key } from "@casemate/sdk";

interface MoveOptions {
  readonly version?: number;
  readonly reason?: string;
}

interface Move {
  readonly name: string;
  readonly summary: string;
  readonly done: string;
  readonly reason: boolean;
  readonly run: (client: Client, name: string, options: MoveOptions) => Promise<Key>;
}

/** Moves that need no more than a name, a version and perhaps a reason. */
const MOVES: readonly Move[] = [
  {
    name: "activate",
    summary: "from pre-active to active",
    done: "active",
    reason: false,
    run: (client, name, options) => client.activateKey(name, options),
  },
  {
    name: "suspend",
    summary: "no use until resumed",
    done: "suspended",
    reason: true,
    run: (client, name, options) => client.suspendKey(name, options),
  },
  {
    name: "resume",
    summary: "from suspended back to active",
    done: "active again",
    reason: false,
    run: (client, name, options) => client.resumeKey(name, options),
  },
  {
    name: "deactivate",
    summary: "only checks and decrypts from now on",
    done: "deactivated",
    reason: true,
    run: (client, name, options) => client.deactivateKey(name, options),
  },
  {
    name: "compromise",
    summary: "mark as known to others, for ever",
    done: "marked compromised",
    reason: true,
    run: (client, name, options) => client.compromiseKey(name, options),
  },
];

const version = whole("--version", 1, 1_000_000);

function report(session: Session, key: Key, sentence: string): void {
  session.out.answer(key, () => {
    session.out.line(sentence);
    session.out.warnings(key.warnings);
  });
}

function defineMove(command: Command, session: Session, move: Move): void {
  const sub = command
    .command(move.name)
    .argument("<key>", "name of the key")
    .description(move.summary)
    .option("--version <number>", "only this version (default: all)", version);
  if (move.reason) sub.option("--reason <text>", "kept in the audit log");
  sub.action(async (name: string, options: MoveOptions) => {
    const client = await session.client();
    const key = await move.run(client, name, options);
    report(session, key, `Key ${name} is ${move.done}.`);
  });
}

function destroySentence(key: Key): string {
  const waiting = key.versions.find((row) => row.destroyAt !== undefined && row.destroyedAt === undefined);
  if (waiting?.destroyAt === undefined) {
    if (key.versions.some(({ replaced }) => replaced)) return `Key ${key.name} is destroyed.`;
    return `Key ${key.name} is destroyed; its material is gone from ${key.device}.`;
  }
  return `Key ${key.name} will be destroyed at ${waiting.destroyAt}; until then \`casemate key restore ${key.name}\` brings it back.`;
}

export function defineKeyLifecycle(command: Command, session: Session): void {
  command
    .command("rotate")
    .argument("<key>", "name of the key")
    .description("make a new version and use it from now on")
    .action(async (name: string) => {
      const client = await session.client();
      const key = await client.rotateKey(name);
      report(session, key, `Key ${name} rotated: version ${key.primaryVersion} is used from now on.`);
    });
  for (const move of MOVES) defineMove(command, session, move);
  command
    .command("destroy")
    .argument("<key>", "name of the key")
    .description("destroy after a waiting period")
    .option("--version <number>", "only this version (default: all)", version)
    .option("--wait-days <days>", "length of the waiting period (default: 7)", whole("--wait-days", 1, 365))
    .option("--now", "at once, without a way back")
    .action(
      async (
        name: string,
        options: { readonly now?: boolean; readonly waitDays?: number; readonly version?: number },
      ) => {
        const client = await session.client();
        const key = await client.destroyKey(name, options);
        report(session, key, destroySentence(key));
      },
    );
  command
    .command("restore")
    .argument("<key>", "name of the key")
    .description("call off a destruction that waits")
    .option("--version <number>", "only this version (default: all)", version)
    .action(async (name: string, options: { readonly version?: number }) => {
      const client = await session.client();
      const key = await client.restoreKey(name, options);
      report(session, key, `Key ${name} will not be destroyed; it is ${key.state}.`);
    });
}
