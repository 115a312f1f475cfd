import type { Command } from "commander";
import type { Session } from "../session.ts";
import { defineDeviceAdd } from "./device/add.ts";
import { defineDeviceList } from "./device/list.ts";
import { defineDeviceState } from "./device/state.ts";

export function define(command: Command, session: Session): void {
  defineDeviceList(command, session);
  defineDeviceAdd(command, session);
  defineDeviceState(command, session);
}
