import type { Command } from "commander";
import type { Session } from "../session.ts";
import { defineKeyAdopt } from "./key/adopt.ts";
import { defineKeyCreate } from "./key/create.ts";
import { defineKeyExport } from "./key/export.ts";
import { defineKeyLifecycle } from "./key/lifecycle.ts";
import { defineKeyList } from "./key/list.ts";
import { defineKeyMaterial } from "./key/material.ts";
import { defineKeyPublic } from "./key/public.ts";
import { defineKeyImport } from "./key/import.ts";
import { defineKeyUpdate } from "./key/update.ts";

export function define(command: Command, session: Session): void {
  defineKeyCreate(command, session);
  defineKeyList(command, session);
  defineKeyPublic(command, session);
  defineKeyExport(command, session);
  defineKeyImport(command, session);
  defineKeyAdopt(command, session);
  defineKeyUpdate(command, session);
  defineKeyLifecycle(command, session);
  defineKeyMaterial(command, session);
}
