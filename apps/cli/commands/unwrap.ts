import type { Command } from "commander";
import type { Session } from "../session.ts";
import { defineImport } from "./key/import.ts";

export function define(command: Command, session: Session): void {
  defineImport(command, session);
}
