import type { Command } from "commander";
import { EXIT } from "../failure.ts";
import type { Session } from "../session.ts";
import { CHECKS } from "../doctor/checks.ts";
import type { Finding } from "../doctor/finding.ts";

const MARKS = { ok: ["green", "ok     "], note: ["yellow", "note   "], bad: ["red", "bad    "] } as const;

export function define(command: Command, session: Session): void {
  command.action(async () => {
    const findings: Finding[] = [];
    for (const check of CHECKS) {
      session.out.progress(`looking at ${check.about} …`);
      findings.push(...(await check.look(session)));
    }
    session.out.progress("");
    session.out.answer(findings, () => {
      for (const { state, about, found, hint } of findings) {
        const [colour, word] = MARKS[state];
        session.out.line([{ style: colour, text: word }, ` ${about}: ${found}`]);
        if (hint !== undefined) session.out.line(`         ${hint}`);
      }
    });
    if (findings.some(({ state }) => state === "bad")) process.exitCode = EXIT.refused;
  });
}
