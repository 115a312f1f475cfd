import type { Check } from "./finding.ts";
import { isolation } from "./isolation.ts";
import { clock, dataDirectoryAndDisk, node, server } from "./machine.ts";
import { memory } from "./memory.ts";
import { programs } from "./programs.ts";
import { witness } from "./witness.ts";

/** In the order in which they are printed. */
export const CHECKS: readonly Check[] = [
  node,
  server,
  witness,
  dataDirectoryAndDisk,
  clock,
  memory,
  isolation,
  programs,
];
