/** Every operation that needs a token. A new file of operations is named here. */
import type { Operation } from "../operation.ts";
import { accessOperations } from "./access.ts";
import { auditOperations } from "./audit.ts";
import { deviceOperations } from "./devices.ts";
import { keyOperations } from "./keys.ts";
import { lifecycleOperations } from "./lifecycle.ts";
import { materialOperations } from "./material.ts";
import { useOperations } from "./use.ts";

export const OPERATIONS: readonly Operation[] = [
  ...keyOperations,
  ...lifecycleOperations,
  ...useOperations,
  ...materialOperations,
  ...deviceOperations,
  ...accessOperations,
  ...auditOperations,
];
