import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { EXIT } from "../failure.ts";
import { readInput, writeOutput } from "../files.ts";
import { given, whole } from "../parse.ts";
import type { Session } from "../session.ts";

interface MacOptions {
  readonly in?: string;
  readonly out?: string;
  readonly check?: string;
  readonly scheme?: string;
  readonly version?: number;
}

interface Mac {
  readonly version: number;
  readonly scheme: string;
  readonly mac: string;
  readonly warnings: readonly string[];
}

interface Verdict {
  readonly version: number;
  readonly scheme: string;
  readonly valid: boolean;
  readonly warnings: readonly string[];
}

export function define(command: Command, session: Session): void {
  command
    .argument("<key>", "name of the key")
    .option("--in <file>", "message (default: standard input)")
    .option("--out <file>", "the code's raw bytes (default: hexadecimal on standard output)")
    .option("--check <file>", "check the code in this file (raw bytes) instead")
    .option("--scheme <name>", "hmac-sha256, aes-cmac, … (default: the key's own)")
    .option("--version <number>", "key version (default: the primary)", whole("--version", 1, 1_000_000))
    .action(async (key: string, options: MacOptions) => {
      const input = await readInput(options.in);
      const api = await session.api();
      const { scheme, version } = options;
      const path = `/v1/keys/${encodeURIComponent(key)}`;
      if (options.check !== undefined) {
        const body = given({ input, mac: readFileSync(options.check), scheme, version });
        const answer = await api.post<Verdict>(`${path}/mac-verify`, body);
        session.out.answer({ key, ...answer }, () =>
          session.out.line(answer.valid ? `Code ok: ${key} (${answer.scheme}).` : `Code NOT valid for ${key}.`),
        );
        if (!answer.valid) process.exitCode = EXIT.refused;
        return;
      }
      const answer = await api.post<Mac>(`${path}/mac`, given({ input, scheme, version }));
      const bytes = Uint8Array.fromBase64(answer.mac);
      for (const warning of answer.warnings) session.out.note(`Note: ${warning}`);
      if (options.out !== undefined) writeOutput(session, options.out, bytes);
      session.out.answer({ key, ...answer }, () => {
        if (options.out === undefined) session.out.line(bytes.toHex());
      });
    });
}
