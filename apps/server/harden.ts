import { asCasemateError } from "@casemate/foundation/errors";
import { nativeCalls, type ProcessCalls } from "@casemate/foundation/ffi";

interface Step {
  /** What does not hold when it fails, as a sentence. */
  readonly otherwise: string;
  readonly apply: (calls: ProcessCalls) => void;
}

/** Unlike a boundary, the server needs files, sockets and children: these are the steps that it can do without harm. */
const STEPS: readonly Step[] = [
  {
    otherwise: "other processes of this account can read the server's memory",
    apply: (calls) => calls.setNotDumpable(),
  },
  { otherwise: "a crash of the server can leave a core file", apply: (calls) => calls.forbidCoreFiles() },
  {
    otherwise: "programs that the server starts could gain rights",
    apply: (calls) => calls.setNoNewPrivileges(),
  },
];

/** Takes rights away from the server's own process. Answers a sentence for each step that is not possible here. */
export function hardenServer(): readonly string[] {
  const { processCalls } = nativeCalls();
  if (!processCalls.available) return STEPS.map(({ otherwise }) => `${otherwise} (${processCalls.reason})`);
  const remarks: string[] = [];
  for (const { otherwise, apply } of STEPS) {
    try {
      apply(processCalls);
    } catch (error) {
      remarks.push(`${otherwise} (${asCasemateError(error).message})`);
    }
  }
  return remarks;
}
